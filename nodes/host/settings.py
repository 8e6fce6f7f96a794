"""The user's settings in ComfyUI's frontend, which keeps them on the server."""

from __future__ import annotations

import json
from pathlib import Path

import folder_paths

ASK_BEFORE_DOWNLOADING = "SegmentAnywhere.Downloads.AskFirst"
"""The setting that web/js/segment_anywhere.js registers."""


def is_on(name: str) -> bool:
    """Whether a setting is on. A run does not know who queued it: of a ComfyUI with several users
    none has settings here."""
    path = Path(folder_paths.get_user_directory()) / "default" / "comfy.settings.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # As ComfyUI takes a file that is not there, or damaged.
        return False
    return isinstance(settings, dict) and settings.get(name) is True
