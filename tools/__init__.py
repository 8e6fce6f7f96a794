"""Programs for those who work on the pack."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
