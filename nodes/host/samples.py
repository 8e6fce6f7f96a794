"""The pictures that the templates open, put into ComfyUI's input folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import folder_paths

# Beside ComfyUI's own example, and never mistaken for a user's file.
PREFIX = "segment_anywhere_"
_PICTURES = Path(__file__).parents[2] / "workflows" / "images"
_SUFFIXES = (".jpg", ".webp")
log = logging.getLogger(__name__)


def place_samples(pictures: Path = _PICTURES) -> None:
    """Copy each picture of a folder into ComfyUI's input folder, unless one of its name is there.

    Nothing is ever replaced. What cannot be written is logged: the nodes do not need it.
    """
    folder = Path(folder_paths.get_input_directory())
    if not folder.is_dir():
        return
    for picture in sorted(pictures.glob("*")):
        target = folder / (PREFIX + picture.name)
        if picture.suffix in _SUFFIXES and not target.exists():
            try:
                _copy(picture, target)
            except OSError as error:
                log.warning("the picture of the templates is not in %s: %s", folder, error)
                return


def _copy(picture: Path, target: Path) -> None:
    """Write a file that is whole as soon as it has its name."""
    # Two ComfyUI on one folder may start at once.
    part = target.with_suffix(f".{os.getpid()}.part")
    try:
        part.write_bytes(picture.read_bytes())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
