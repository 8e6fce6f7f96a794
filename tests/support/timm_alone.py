"""Imports timm where there is no torchvision, which it imports too and the pack does not use.

ComfyUI brings both. Here a torchvision would have to be built for the very PyTorch that is pinned;
of what timm takes from it, the model that MobileSAM is built on uses nothing.
"""

from __future__ import annotations

import enum
import functools
import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest
import transformers
from torch import nn

from tests.support.needs import missing

_NAME = "torchvision"
_MODES = ("NEAREST", "NEAREST_EXACT", "BILINEAR", "BICUBIC", "BOX", "HAMMING", "LANCZOS")


@functools.cache
def import_timm() -> None:
    """Make timm importable for the tests that follow; skips or fails a test where it is missing.

    The Makefile has none for the oldest transformers, which would import it, and so torchvision,
    with most of its detectors.
    """
    if find_spec("timm") is None:
        if transformers.__version__.startswith("4."):
            pytest.skip("timm is not there for the oldest transformers")
        missing("timm is not installed")
    finder = _StandIn()
    has_torchvision = find_spec(_NAME) is not None
    if not has_torchvision:
        sys.meta_path.insert(0, finder)
    try:
        importlib.import_module("timm.models.tiny_vit")
    finally:
        if not has_torchvision:
            sys.meta_path.remove(finder)
            _forget()


def _forget() -> None:
    """Nobody else is to take it for the library."""
    for name in [each for each in sys.modules if each.partition(".")[0] == _NAME]:
        del sys.modules[name]


class _StandIn(MetaPathFinder, Loader):
    """Finds modules that hold whatever is imported from them: classes without any use."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        is_own = fullname.partition(".")[0] == _NAME
        return ModuleSpec(fullname, self, is_package=True) if is_own else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        vars(module)["__getattr__"] = _made
        return module

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


def _made(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name == "InterpolationMode":
        return enum.Enum(name, {mode: mode.lower() for mode in _MODES})
    return type(name, (nn.Module,), {})
