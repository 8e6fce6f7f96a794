"""Draws the pictures of the help pages of Crop and Stitch Segments, and the card of the detailer.

    python -m tools.draw_crops

Every picture is what the code makes of the photograph in workflows/images.
"""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw
from segment_anywhere.core.pictures.crops import Aspect, CropSettings, Place, crop, plan_crops
from segment_anywhere.core.pictures.render import Drawing
from segment_anywhere.core.pictures.stitch import Stitch, stitch_frames
from segment_anywhere.core.results.segments import Segments
from torch import Tensor

from headless.local.core_nodes import ImageBlur

from .draw_help import CLICKS, DOCS, clicked, drawn, half, photograph, picture, sheet
from .templates.writing import card_path

# What the workflow's nodes are set to.
BLUR = (24, 0.5)
FEATHER = 8.0
# Rows and columns of the photograph: where petals meet the dark background.
DETAIL = (slice(64, 171), slice(322, 482))
_COLOURS = ((230, 159, 0), (86, 180, 233))


def blurred(image: Tensor) -> Tensor:
    """What Blur makes of a crop: [1, h, w, 3]."""
    return ImageBlur().execute(image, *BLUR)[0]


def framed(image: Tensor, places: list[Place]) -> Image.Image:
    """The image at half its size, with the rectangles of its crops."""
    shown = picture(image[0])
    for place, colour in zip(places, _COLOURS, strict=True):
        outlined(shown, place, colour)
    return shown.reduce(2)


def outlined(shown: Image.Image, place: Place, colour: tuple[int, int, int]) -> Image.Image:
    """The same picture, into which the rectangle of a crop is drawn."""
    right, bottom = place.left + place.width - 1, place.top + place.height - 1
    ImageDraw.Draw(shown).rectangle((place.left, place.top, right, bottom), outline=colour, width=4)
    return shown


def stitched(image: Tensor, segments: Segments, feather: float) -> Tensor:
    """The image with its blurred crops: [H, W, 3]."""
    places = plan_crops(segments, CropSettings())
    crops = tuple(crop(image, place)[0][None] for place in places)
    back = [blurred(each)[0] for each in crops]
    stitch = Stitch(image, 1, tuple(places), crops)
    (frame,) = stitch_frames(stitch, back, feather, torch.empty_like(image))
    return frame


def crop_sheet(image: Tensor, segments: Segments) -> Image.Image:
    """Where two crops lie, the crops at one size, and their masks."""
    places = plan_crops(segments, CropSettings(padding=15, size=208))
    rows = [
        [("image, and where its crops lie", framed(image, places))],
        [("segments", half(drawn(image, segments, Drawing())))],
    ]
    for place in places:
        pixels, mask = crop(image, place)
        rows[0].append((f"crop: {place.label}", picture(pixels)))
        rows[1].append((f"mask: {place.label}", picture(mask)))
    return sheet(rows)


def stitch_sheet(image: Tensor, segments: Segments) -> Image.Image:
    """A blurred flower put back with edges of several widths, and one of its edges."""
    shown = [(f"feather {each:.0f}", stitched(image, segments, each)) for each in (0.0, 8.0, 40.0)]
    return sheet(
        [
            [(name, half(each)) for name, each in shown],
            [("the edge", picture(each[DETAIL], 2)) for _, each in shown],
        ]
    )


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures side by side, 600 x 400, each cut to its half."""
    page = Image.new("RGB", (600, 400))
    for column, each in enumerate((left, right)):
        page.paste(each.resize((300, 400), Image.Resampling.LANCZOS), (300 * column, 0))
    return page


def detail_thumbnail(image: Tensor, segments: Segments) -> Image.Image:
    """Where a crop lies, and the crop as a sampler gets it, 600 x 400."""
    (place,) = plan_crops(segments, CropSettings(padding=0, size=400, aspect=Aspect.SQUARE))
    pixels, _ = crop(image, place)
    shown = outlined(picture(image[0]), place, _COLOURS[0]).crop((220, 0, 540, 427))
    return beside(shown, picture(pixels[:, 50:350]))


def main() -> None:
    image = photograph()
    both, one, cut_off = (clicked(image, each) for each in (CLICKS, CLICKS[:1], CLICKS[1:]))
    crop_sheet(image, both).save(DOCS / "crop_segments.jpg", quality=88)
    stitch_sheet(image, one).save(DOCS / "stitch_segments.jpg", quality=88)
    detail_thumbnail(image, cut_off).save(card_path("detailer"), quality=88)


if __name__ == "__main__":
    main()
