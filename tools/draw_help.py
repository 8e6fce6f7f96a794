"""Draws the pictures of the help pages and the thumbnail of Mask Refine's workflow.

    python -m tools.draw_help

Every picture is what the code makes of the photograph in workflows/images or of drawn shapes: run
it again after a change to the refinement. The pages of nodes that have a workflow show what that
gives. Those of Load SAM and Point Segment show the editor and come from the end-to-end tests.
"""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine  # noqa: E402
from segment_anywhere.core.masks.refine import Edge, Refinement, refine  # noqa: E402
from segment_anywhere.core.pictures.render import cutout  # noqa: E402
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point  # noqa: E402
from segment_anywhere.core.results.combine import Operation, combine_masks  # noqa: E402
from segment_anywhere.core.tasks.segmenter import MaskChoice, Segmenter  # noqa: E402
from torch import Tensor

from . import ROOT

PHOTOGRAPH = ROOT / "workflows" / "images" / "dahlia.jpg"
DOCS = ROOT / "web" / "docs"
# Workflows whose thumbnails the help pages show.
SHOWN = ("text_segment", "text_select_refine", "segment_everything", "local_and_remote")
CLICK = Point(310, 215)
# What the workflow's node is set to.
CLEAN = Refinement(fill_holes=-1, remove_islands=200, expand=-1.0, smooth=4.0, feather=2.0)
# Rows and columns of the photograph: where petals meet the dark background, and the lower rim.
DETAIL = (slice(64, 134), slice(352, 442))
STEPS = (
    ("threshold", {"threshold": 0.5}),
    ("fill_holes", {"fill_holes": -1}),
    ("remove_islands", {"remove_islands": 120}),
    ("expand", {"expand": 5.0}),
    ("smooth", {"smooth": 10.0}),
    ("feather", {"feather": 12.0}),
    ("edge", {"edge": Edge.GUIDED}),
    ("invert", {"invert": True}),
)
_PAD = 6
_TEXT = 20
_INK = (40, 40, 40)


def photograph() -> Tensor:
    """[1, H, W, 3] float32, 0..1."""
    pixels = np.array(Image.open(PHOTOGRAPH).convert("RGB"), dtype=np.float32)
    return torch.from_numpy(pixels / 255)[None]


def clicked_mask(image: Tensor) -> Tensor:
    """What one click on the flower gives with the built-in engine: [1, H, W] float32."""
    prompts = [ObjectPrompt("object 0", (CLICK,))]
    (instance,) = Segmenter(GrabCutEngine()).segment(image[0], prompts, MaskChoice.BEST)
    return instance.mask.pixels()[None].float() / 255


def on_ground(cut: Tensor, ground: float) -> Tensor:
    """Lay an [H, W, 4] cut-out on an even ground: [H, W, 3]."""
    return cut[..., :3] * cut[..., 3:] + ground * (1 - cut[..., 3:])


def picture(pixels: Tensor, zoom: int = 1) -> Image.Image:
    """[H, W] or [H, W, 3], 0..1, as a picture, every pixel `zoom` wide."""
    drawn = Image.fromarray((pixels * 255).round().to(torch.uint8).numpy()).convert("RGB")
    return drawn.resize((drawn.width * zoom, drawn.height * zoom), Image.Resampling.NEAREST)


def sheet(rows: list[list[tuple[str, Image.Image]]]) -> Image.Image:
    """Pictures of one size in rows, each with its name above it."""
    width, height = rows[0][0][1].size
    columns = max(len(row) for row in rows)
    size = (columns * (width + _PAD) + _PAD, len(rows) * (height + _TEXT + _PAD) + _PAD)
    page = Image.new("RGB", size, (245, 245, 245))
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(13)
    for row, pictures in enumerate(rows):
        for column, (name, drawn) in enumerate(pictures):
            left = _PAD + column * (width + _PAD)
            top = _PAD + row * (height + _TEXT + _PAD)
            draw.text((left, top), name, fill=_INK, font=font)
            page.paste(drawn, (left, top + _TEXT))
    return page


def damaged(mask: Tensor) -> Tensor:
    """A part of the flower's rim with a hole, an island and haze, for the steps to mend."""
    rough = mask[0, 60:170, 150:260].clone()
    y, x = torch.meshgrid(torch.arange(110), torch.arange(110), indexing="ij")
    rough[torch.hypot(x - 75.0, y - 70.0) < 8] = 0
    rough[torch.hypot(x - 22.0, y - 25.0) < 5] = 1
    haze = (0.45 - torch.hypot(x - 30.0, y - 80.0) / 40).clamp(min=0)
    return torch.maximum(rough, haze)[None]


def steps_sheet(image: Tensor, mask: Tensor) -> Image.Image:
    """Each step after the ones before it."""
    part, rough = image[:, 60:170, 150:260], damaged(mask)
    settings, pictures = Refinement(), [("the mask", picture(rough[0], 2))]
    for name, change in STEPS:
        settings = replace(settings, **change)
        refined = refine(rough, settings, part)[0]
        value = next(iter(change.values()))
        shown = value.value if isinstance(value, Edge) else value
        pictures.append((f"{name} {shown}", picture(refined, 2)))
    return sheet([pictures[:3], pictures[3:6], pictures[6:]])


def edges_sheet(image: Tensor, mask: Tensor) -> Image.Image:
    """The cut-out's edge on white and on black, before and after."""
    plain = torch.cat((image, mask[..., None]), dim=-1)[0]
    clean = cutout(image, refine(mask, CLEAN, image))[0]
    rows = []
    for name, ground in (("on white", 1.0), ("on black", 0.0)):
        before, after = (on_ground(cut, ground)[DETAIL] for cut in (plain, clean))
        rows.append([(f"mask as alpha, {name}", picture(before, 4))])
        rows[-1].append((f"cutout of Mask Refine, {name}", picture(after, 4)))
    return sheet(rows)


def thumbnail(image: Tensor, mask: Tensor) -> Image.Image:
    """The photograph beside the cut-out on a light ground, 600 x 400."""
    clean = cutout(image, refine(mask, CLEAN, image))[0]
    middle = slice(160, 456)
    halves = [picture(half[16:411, middle]) for half in (image[0], on_ground(clean, 0.93))]
    page = Image.new("RGB", (600, 400))
    for column, half in enumerate(halves):
        page.paste(half.resize((300, 400), Image.Resampling.LANCZOS), (300 * column, 0))
    return page


def combine_sheet() -> Image.Image:
    """Two discs with soft rims, and what each operation makes of them."""
    y, x = torch.meshgrid(torch.arange(120.0), torch.arange(180.0), indexing="ij")
    first, second = ((45.0 - torch.hypot(x - at, y - 60.0)) / 12 for at in (65.0, 115.0))
    first, second = first.clamp(0, 1), second.clamp(0, 1)
    results = [(each.value, picture(combine_masks(first, second, each))) for each in Operation]
    return sheet([[("a", picture(first)), ("b", picture(second)), results[0]], results[1:]])


def main() -> None:
    image = photograph()
    mask = clicked_mask(image)
    folder = DOCS / "SegmentAnywhereMaskRefine"
    folder.mkdir(exist_ok=True)
    steps_sheet(image, mask).save(folder / "steps.png", optimize=True)
    edges_sheet(image, mask).save(folder / "edges.png", optimize=True)
    combine_sheet().save(DOCS / "combine.png", optimize=True)
    thumbnail(image, mask).save(ROOT / "workflows" / "mask_refine.jpg", quality=88)
    for name in SHOWN:
        shutil.copy(ROOT / "workflows" / f"{name}.jpg", DOCS / f"{name}.jpg")


if __name__ == "__main__":
    main()
