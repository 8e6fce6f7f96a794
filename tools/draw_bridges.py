"""Draws the pictures of the help pages of the nodes between this pack's segments and others.

    python -m tools.draw_bridges

Every picture is what the code makes of the photograph in workflows/images.
"""

from __future__ import annotations

import torch
from PIL import Image
from segment_anywhere.core.pictures.render import Drawing
from segment_anywhere.core.results.masks import MaskBatch, masks_to_segments
from segment_anywhere.core.results.segments import Segments
from segment_anywhere.core.results.segs import Cropping, from_segs, to_segs
from torch import Tensor

from .draw_help import CLICKS, DOCS, clicked, drawn, half, photograph, picture, sheet

CROPPING = Cropping(factor=1.4)


def segs_sheet(image: Tensor, segments: Segments) -> Image.Image:
    """Objects, what SEGS hold of them, and the objects that come back."""
    (segs,) = to_segs(segments, [0], CROPPING, image)
    rows = [
        [("segments", half(drawn(image, segments, Drawing())))],
        [("segments again", half(drawn(image, from_segs([segs]), Drawing())))],
    ]
    for seg in segs[1]:
        shown = f"{seg.label}, {seg.confidence:.2f}"
        rows[0].append((f"cropped_image: {shown}", half(torch.from_numpy(seg.cropped_image[0]))))
        rows[1].append(
            (f"cropped_mask: {shown}", picture(torch.from_numpy(seg.cropped_mask)).reduce(2))
        )
    return sheet(rows)


def masks_sheet(image: Tensor, segments: Segments) -> Image.Image:
    """A batch of masks, of which one is empty, and its objects."""
    masks = torch.cat([segments.full_masks() / 255, torch.zeros(1, *segments.size)])
    found = masks_to_segments(masks, MaskBatch.OBJECTS, ["dahlia", "cut off"])
    shown = [(f"masks: {n}", picture(mask).reduce(2)) for n, mask in enumerate(masks)]
    shown.append(("segments", half(drawn(image, found, Drawing()))))
    return sheet([shown[:2], shown[2:]])


def main() -> None:
    image = photograph()
    segments = clicked(image, CLICKS)
    segs_sheet(image, segments).save(DOCS / "segs.jpg", quality=88)
    masks_sheet(image, segments).save(DOCS / "masks_to_segments.jpg", quality=88)


if __name__ == "__main__":
    main()
