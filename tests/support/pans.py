"""Clips whose masks are known on every frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.paths import ROOT
from tools.demo_clip import pan_over, save_clip

_PHOTOGRAPH = ROOT / "workflows" / "images" / "dahlia.jpg"
# Where the flower is in the photograph, as a circle.
_FLOWER = (308, 223, 137)


def write_pan(path: Path, frames: int) -> None:
    """The clip of the demo, with so many frames."""
    save_clip(pan_over(Image.open(_PHOTOGRAPH).convert("RGB"), frames), path)


def flowers_in_pan(frames: int) -> NDArray[np.bool_]:
    """The dahlia on each of its frames: [frames, H, W]."""
    photograph = Image.open(_PHOTOGRAPH)
    x, y, radius = _FLOWER
    columns, rows = np.meshgrid(np.arange(photograph.width), np.arange(photograph.height))
    flower = (np.hypot(columns - x, rows - y) < radius).astype(np.uint8) * 255
    views = pan_over(Image.fromarray(flower), frames)
    return np.stack([np.asarray(view) > 127 for view in views])
