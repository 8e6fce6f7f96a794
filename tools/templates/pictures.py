"""The pictures that templates open. Those that are drawn are drawn here.

They lie in workflows/images, and the pack puts them into ComfyUI's input folder under the names
that templates use (`nodes/host/samples.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.grids import draw_grid
from tests.support.large_scenes import draw_large_scene
from tests.support.scenes import draw_scene

from .. import ROOT
from ..demo_clip import pan_over

FOLDER = ROOT / "workflows" / "images"
# What the file is called in ComfyUI's input folder.
PREFIX = "segment_anywhere_"
# The clip: its photograph's size, how many frames it has and how long each is shown, in ms.
_CLIP_SIZE, _CLIP_FRAMES, _CLIP_PACE = (460, 307), 16, 80


@dataclass(frozen=True)
class Picture:
    """A file of workflows/images. words: what can be seen in it, for a prompt to name."""

    file: str
    size: tuple[int, int]
    words: tuple[str, ...]

    @property
    def path(self) -> Path:
        return FOLDER / self.file

    @property
    def input_name(self) -> str:
        """Its name for Load Image."""
        return PREFIX + self.file


PICTURES = {
    "dahlia": Picture("dahlia.jpg", (640, 427), ("flower", "dahlia", "orange flower")),
    "pan": Picture("dahlia_pan.webp", (322, 215), ("flower", "dahlia", "orange flower")),
    "shapes": Picture(
        "shapes.jpg", (512, 512), ("red triangle", "yellow circle", "white triangle")
    ),
    "alike": Picture(
        "alike.jpg", (512, 512), ("yellow", "red", "blue", "green", "square", "triangle", "circle")
    ),
    "small": Picture("small.jpg", (960, 960), ("red", "blue", "yellow")),
}


def draw_missing() -> None:
    """Draw the pictures and the clip that are not there: encoders differ, and prompts fit these."""
    if not PICTURES["shapes"].path.exists():
        _save(draw_scene(16, 512).image, "shapes")
    if not PICTURES["alike"].path.exists():
        _save(draw_grid(89, 512).image, "alike")
    if not PICTURES["small"].path.exists():
        _save(draw_large_scene(3, 960, 44, 12).image, "small")
    if not PICTURES["pan"].path.exists():
        _draw_clip()


def _draw_clip() -> None:
    """A camera that moves over the photograph."""
    with Image.open(PICTURES["dahlia"].path) as opened:
        photograph = opened.convert("RGB").resize(_CLIP_SIZE, Image.Resampling.LANCZOS)
    first, *others = pan_over(photograph, _CLIP_FRAMES)
    first.save(
        PICTURES["pan"].path,
        save_all=True,
        append_images=others,
        duration=_CLIP_PACE,
        quality=75,
        method=6,
    )


def _save(pixels: np.ndarray, name: str) -> None:
    """Write an image, float32 [H, W, 3], 0..1."""
    picture = Image.fromarray((pixels * 255).round().astype(np.uint8))
    picture.save(PICTURES[name].path, quality=88)
