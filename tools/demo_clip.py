"""The clip of `make demo`: a camera that moves over a photograph, and a contact sheet of a result.

python -m tools.demo_clip pan PHOTOGRAPH CLIP.webp (or CLIP.mp4, which needs PyAV)
python -m tools.demo_clip sheet SHEET.jpg FRAME.png...
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from headless.sinks.videos import SUFFIX, encode

FRAMES = 24
_RATE = 24.0
# Of the photograph's sides: what the camera sees, and how far it goes.
_VIEW, _PAN = 0.7, 0.26
# How much larger the last frame shows things, and by how many degrees it is turned.
_ZOOM, _TURN = 1.15, 8.0
_COLUMNS, _TILE = 6, 240


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_subparsers(dest="what", required=True)
    pan = what.add_parser("pan")
    pan.add_argument("photograph", type=Path)
    pan.add_argument("clip", type=Path)
    sheet = what.add_parser("sheet")
    sheet.add_argument("sheet", type=Path)
    sheet.add_argument("frames", type=Path, nargs="+")
    options = parser.parse_args(argv)
    if options.what == "pan":
        save_clip(pan_over(Image.open(options.photograph).convert("RGB")), options.clip)
        print(options.clip)
    else:
        contact_sheet([Image.open(path) for path in options.frames]).save(options.sheet, quality=90)
        print(f"contact sheet: {options.sheet}")


def pan_over(photograph: Image.Image, frames: int = FRAMES) -> list[Image.Image]:
    """What a camera sees that pans from left to right over a photograph, turns and comes nearer."""
    size = (round(photograph.width * _VIEW), round(photograph.height * _VIEW))
    return [_view(photograph, size, index / (frames - 1)) for index in range(frames)]


def _view(photograph: Image.Image, size: tuple[int, int], way: float) -> Image.Image:
    """The camera's picture after a part of its way, 0..1."""
    zoom = 1.0 + (_ZOOM - 1.0) * way
    angle = math.radians(_TURN * way)
    centre_x = photograph.width * (0.5 + _PAN * (way - 0.5))
    centre_y = photograph.height * 0.5
    cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
    # From pixels of the frame to those of the photograph.
    matrix = (
        *(cos, -sin, centre_x - cos * size[0] / 2 + sin * size[1] / 2),
        *(sin, cos, centre_y - sin * size[0] / 2 - cos * size[1] / 2),
    )
    return photograph.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def save_clip(frames: Sequence[Image.Image], path: Path) -> None:
    """Write frames as an animation without loss, which Load Image reads as a batch, or as MP4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == SUFFIX:
        path.write_bytes(encode([np.asarray(frame) for frame in frames], _RATE, exact=False))
        return
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True, duration=42)


def contact_sheet(frames: Sequence[Image.Image]) -> Image.Image:
    """All frames in rows, from left to right."""
    height = round(_TILE * frames[0].height / frames[0].width)
    rows = -(-len(frames) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _TILE, rows * height))
    for place, frame in enumerate(frames):
        tile = frame.convert("RGB").resize((_TILE, height), Image.Resampling.LANCZOS)
        sheet.paste(tile, (place % _COLUMNS * _TILE, place // _COLUMNS * height))
    return sheet


if __name__ == "__main__":
    main()
