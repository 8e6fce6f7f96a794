"""Programs for those who work on the pack, which they see as ComfyUI does: as a package."""

from __future__ import annotations

import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_package = types.ModuleType("segment_anywhere")
_package.__path__ = [str(ROOT)]
sys.modules.setdefault("segment_anywhere", _package)
