"""Packages that only some runs need: a plain sentence where one is missing."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from .errors import WorkflowError


def load_extra(module: str, package: str, purpose: str) -> Any:
    """Import a module of an optional package.

    Args:
        module: its name in Python.
        package: as pip takes it.
        purpose: what needs it; begins the message.

    Raises:
        WorkflowError: it is not installed, with the command that does it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing_extra(package, purpose) from error


def missing_extra(package: str, purpose: str) -> WorkflowError:
    """The error that tells to install a package."""
    python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return WorkflowError(
        f"{purpose} needs the package {package}, which is not installed. "
        f"Run {python} -m pip install {package}"
    )
