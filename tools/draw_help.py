"""Draws the pictures of the help pages, and the card of the template that needs other weights.

    python -m tools.draw_help

Every picture is what the code makes of the photograph in workflows/images or of drawn shapes: run
it again after a change to the refinement, the cut-outs or the drawing. The pages of nodes that have
a workflow show what that gives. Those of Load SAM and Point Segment show the editor and come from
the end-to-end tests, those of crops from `tools.draw_crops`, that of example boxes from
`tools.draw_examples`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.engines.matting.vitmatte import load_matting
from segment_anywhere.core.masks.presets import PRESETS
from segment_anywhere.core.masks.refine import Edge, Refinement, refine
from segment_anywhere.core.pictures.agreement import draw_agreement
from segment_anywhere.core.pictures.cutout import (
    CutOutSettings,
    cut_out,
    read_background,
    selected_area,
)
from segment_anywhere.core.pictures.render import Drawing, Style, draw
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point
from segment_anywhere.core.results.combine import Operation, combine_masks
from segment_anywhere.core.results.segments import Segments, mask_segments, union_masks
from segment_anywhere.core.tasks.key_frames import read_subjects
from segment_anywhere.core.tasks.matting import Matter
from segment_anywhere.core.tasks.segmenter import MaskChoice, Segmenter
from segment_anywhere.core.tasks.tracking import follow
from torch import Tensor

from tests.support.portraits import Portrait, portrait
from tests.support.strands import draw_strands

from . import ROOT
from .demo_clip import pan_over
from .templates.writing import card_path

PHOTOGRAPH = ROOT / "workflows" / "images" / "dahlia.jpg"
DOCS = ROOT / "web" / "docs"
# Templates whose cards the help pages show.
SHOWN = ("text_segment", "text_select_refine", "segment_everything", "local_and_remote")
# The flower in the middle, and the one that the lower border cuts off.
CLICKS = (Point(310, 215), Point(410, 410))
# The flower on the first frame of the clip of `make demo`, and the frames that are shown.
FIRST_CLICK, SHOWN_FRAMES = Point(290, 160), (0, 8, 16, 23)
# What the workflow's node is set to.
CLEAN = Refinement(fill_holes=-1, remove_islands=200, expand=-1.0, smooth=4.0, feather=2.0)
# What a result looks like that a better one is to be told from.
CARELESS = Refinement(expand=4.0, smooth=30.0)
# Rows and columns of the photograph: where petals meet the dark background, and the lower rim.
DETAIL = (slice(64, 134), slice(352, 442))
# And of the drawn portrait: loose hair beside the head.
HAIR = (slice(90, 250), slice(110, 350))
# Drawn hair, how long it is, and the part that is shown.
HAIR_SEED, HAIR_SIZE, HAIR_LENGTH, HAIR_BAND = 5, (1080, 1920), 26.0, 80.0
HAIR_DETAIL = (slice(270, 450), slice(1130, 1340))
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


def clicked(image: Tensor, clicks: Sequence[Point]) -> Segments:
    """What a click on each of some objects gives with the built-in engine."""
    prompts = [
        ObjectPrompt(f"object {number}", (click,), number=number)
        for number, click in enumerate(clicks)
    ]
    found = Segmenter(GrabCutEngine()).segment(image[0], prompts, MaskChoice.BEST)
    return Segments.from_instances(found, (image.shape[1], image.shape[2]), 1)


def cut(
    image: Tensor, mask: Tensor, clean: bool = True, background: str = "", crop: bool = False
) -> Tensor:
    """What Cut Out gives: [h, w, 4], or [h, w, 3] on a background."""
    settings = CutOutSettings(clean, read_background(background))
    area = selected_area(mask) if crop else (slice(0, mask.shape[1]), slice(0, mask.shape[2]))
    out = torch.empty((*mask[:, area[0], area[1]].shape, settings.channels))
    (picture,) = cut_out(image, mask, area, settings, out)
    return picture


def drawn(image: Tensor, segments: Segments, drawing: Drawing) -> Tensor:
    """What Draw Segments gives: [H, W, 3]."""
    (picture,) = draw(image, segments, drawing, torch.empty_like(image))
    return picture


def on_ground(cut: Tensor, ground: float | Tensor) -> Tensor:
    """Lay an [H, W, 4] cut-out on a ground, even or [H, W, 1]: [H, W, 3]."""
    return cut[..., :3] * cut[..., 3:] + ground * (1 - cut[..., 3:])


def on_squares(cut: Tensor) -> Tensor:
    """Lay an [H, W, 4] cut-out on the squares that stand for transparency: [H, W, 3]."""
    y, x = torch.meshgrid(*(torch.arange(side) // 16 for side in cut.shape[:2]), indexing="ij")
    return on_ground(cut, 0.8 + 0.13 * ((x + y) % 2)[..., None])


def half(pixels: Tensor) -> Image.Image:
    """[H, W, 3], 0..1, as a picture of half its size."""
    return picture(pixels).reduce(2)


def picture(pixels: Tensor, zoom: int = 1) -> Image.Image:
    """[H, W] or [H, W, 3], 0..1, as a picture, every pixel `zoom` wide."""
    shown = Image.fromarray((pixels * 255).round().to(torch.uint8).numpy()).convert("RGB")
    return shown.resize((shown.width * zoom, shown.height * zoom), Image.Resampling.NEAREST)


def sheet(rows: list[list[tuple[str, Image.Image]]]) -> Image.Image:
    """Pictures in rows, none larger than the first, each with its name above it."""
    width, height = rows[0][0][1].size
    columns = max(len(row) for row in rows)
    size = (columns * (width + _PAD) + _PAD, len(rows) * (height + _TEXT + _PAD) + _PAD)
    page = Image.new("RGB", size, (245, 245, 245))
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(13)
    for row, pictures in enumerate(rows):
        for column, (name, shown) in enumerate(pictures):
            left = _PAD + column * (width + _PAD)
            top = _PAD + row * (height + _TEXT + _PAD)
            pen.text((left, top), name, fill=_INK, font=font)
            page.paste(shown, (left, top + _TEXT))
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


def presets_sheet(person: Portrait) -> Image.Image:
    """The mask of a portrait before and after each preset, and what is then cut out."""
    rough, image = flawed(person.rough), person.image[None]
    masks = {"the mask": rough[None]}
    masks |= {name: refine(rough[None], each, image) for name, each in PRESETS.items()}
    # What is painted anew, in place of a cut-out.
    ground = {"inpainting": torch.tensor((0.93, 0.2, 0.45))}
    rows = []
    for name, mask in masks.items():
        if name in ground:
            shown = torch.lerp(person.image, ground[name], 0.65 * mask[0][..., None])
        else:
            shown = on_ground(cut(image, mask), 1.0)
        rows.append([(name, picture(mask[0][HAIR])), ("", picture(shown[HAIR]))])
    return sheet(rows)


def flawed(mask: Tensor) -> Tensor:
    """A mask [H, W] with a hole in the hair and a crumb beside it."""
    y, x = torch.meshgrid(*(torch.arange(side) for side in mask.shape), indexing="ij")
    holed = torch.where(torch.hypot(x - 250.0, y - 165.0) < 5, 0.0, mask)
    return torch.where(torch.hypot(x - 130.0, y - 110.0) < 5, 1.0, holed)


def matting_sheet() -> Image.Image:
    """Drawn hair and a mask that has none of it: what each edge makes of that, and its cut-out.

    The model is the one that the tests train on such hair.
    """
    hair = draw_strands(HAIR_SEED, HAIR_SIZE, HAIR_LENGTH)
    image, mask = torch.from_numpy(hair.image)[None], torch.from_numpy(hair.mask)[None]
    model = load_matting(ROOT / "tests" / "fixtures" / "vitmatte_tiny", torch.float32)
    matting = Matter(model).edges(HAIR_BAND)
    masks = [refine(mask, Refinement(edge=edge), image, matting) for edge in Edge]
    drawn = torch.from_numpy(np.dstack([hair.foreground, hair.alpha]))
    cuts = [drawn, *(cut(image, each) for each in masks)]
    names = ["as it was drawn", *(f"edge {edge.value}" for edge in Edge)]
    rows = (
        zip(["the image", *names[1:]], [image[0], *(each[0] for each in masks)], strict=True),
        zip(names, [on_ground(each, 0.97) for each in cuts], strict=True),
    )
    return sheet([[(name, picture(each[HAIR_DETAIL])) for name, each in row] for row in rows])


def edges_sheet(image: Tensor, mask: Tensor) -> Image.Image:
    """The edge of a cut-out on white and on black: as it is, with clean edges, refined before."""
    cuts = (
        ("clean_edges off", cut(image, mask, clean=False)),
        ("clean_edges on", cut(image, mask)),
        ("Mask Refine, then clean_edges on", cut(image, refine(mask, CLEAN, image))),
    )
    return sheet(
        [
            [(name, picture(on_ground(each, ground)[DETAIL], 3)) for name, each in cuts]
            for ground in (1.0, 0.0)
        ]
    )


def draw_sheet(image: Tensor) -> Image.Image:
    """Two flowers in each style."""
    segments, part = clicked(image, CLICKS), (slice(52, 427), slice(150, 470))
    drawings = (
        ("fill", Drawing()),
        ("contour, opacity 1, without boxes", Drawing(Style.CONTOUR, 1.0, boxes=False)),
        ("label map", Drawing(Style.LABEL_MAP)),
    )
    return sheet([[(name, picture(drawn(image, segments, each)[part])) for name, each in drawings]])


def compare_sheet(image: Tensor, mask: Tensor) -> Image.Image:
    """Two flowers, one of them drawn carelessly, and where the two results agree."""
    part = (slice(52, 427), slice(150, 470))
    careful = clicked(image, CLICKS)
    careless = mask_segments(refine(mask, CARELESS, image).roll((8, 14), (1, 2)), "flower")
    names, out = ("a", "b"), torch.empty_like(image)
    (agreement,) = draw_agreement(image, careful, careless, names, out)
    pictures = (
        ("segments_a", drawn(image, careful, Drawing())),
        ("segments_b", drawn(image, careless, Drawing())),
        ("picture", agreement),
    )
    return sheet([[(name, picture(shown[part])) for name, shown in pictures]])


def cut_sheet(image: Tensor, mask: Tensor) -> Image.Image:
    """A flower on transparency, on a colour, and cropped."""
    return sheet(
        [
            [
                ("transparent", half(on_squares(cut(image, mask)))),
                ("background #d8e4ec", half(cut(image, mask, background="#d8e4ec"))),
                ("transparent, crop on", half(on_squares(cut(image, mask, crop=True)))),
            ]
        ]
    )


def subject_thumbnail(image: Tensor, mask: Tensor) -> Image.Image:
    """The photograph beside the cut-out on transparency, cropped, 600 x 400."""
    clean = on_squares(cut(image, refine(mask, CLEAN, image), crop=True))
    page = Image.new("RGB", (600, 400), (245, 245, 245))
    page.paste(picture(image[0, :, 160:456]).resize((300, 400), Image.Resampling.LANCZOS), (0, 0))
    shown = picture(clean)
    shown.thumbnail((300, 400))
    page.paste(shown, (300 + (300 - shown.width) // 2, (400 - shown.height) // 2))
    return page


def tracked(label: str, drawing: Drawing) -> list[Image.Image]:
    """Some frames of the clip, 300 x 200, with what a click on the first one gives."""
    views = pan_over(Image.open(PHOTOGRAPH).convert("RGB"))
    clip = torch.stack([torch.from_numpy(np.array(view, np.float32) / 255) for view in views])
    size = (clip.shape[1], clip.shape[2])
    subjects = read_subjects({0: [ObjectPrompt(label, (FIRST_CLICK,))]}, None, len(clip), size)
    found = follow(Segmenter(GrabCutEngine()), clip, subjects)
    frames = list(draw(clip, found.segments, drawing, torch.empty_like(clip)))
    return [
        picture(frames[index]).resize((300, 200), Image.Resampling.LANCZOS)
        for index in SHOWN_FRAMES
    ]


def in_a_row(pictures: list[Image.Image]) -> Image.Image:
    """Pictures of one size beside each other."""
    width, height = pictures[0].size
    page = Image.new("RGB", (len(pictures) * width, height))
    for column, each in enumerate(pictures):
        page.paste(each, (column * width, 0))
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
    mask = union_masks(clicked(image, CLICKS[:1]))
    refined, cut_outs = DOCS / "SegmentAnywhereMaskRefine", DOCS / "SegmentAnywhereCutOut"
    for folder in (refined, cut_outs):
        folder.mkdir(exist_ok=True)
    steps_sheet(image, mask).save(refined / "steps.png", optimize=True)
    presets_sheet(portrait(512, 5)).save(refined / "presets.png", optimize=True)
    matting_sheet().save(refined / "matting.jpg", quality=90)
    edges_sheet(image, mask).save(cut_outs / "edges.png", optimize=True)
    combine_sheet().save(DOCS / "combine.png", optimize=True)
    draw_sheet(image).save(DOCS / "draw_segments.jpg", quality=88)
    compare_sheet(image, mask).save(DOCS / "compare_segments.jpg", quality=88)
    cut_sheet(image, mask).save(DOCS / "cut_out.jpg", quality=88)
    subject_thumbnail(image, mask).save(card_path("subject_cutout"), quality=88)
    in_a_row(tracked("object 0", Drawing())).save(DOCS / "track_segments.jpg", quality=88)
    for name in SHOWN:
        shutil.copy(card_path(name), DOCS / f"{name}.jpg")


if __name__ == "__main__":
    main()
