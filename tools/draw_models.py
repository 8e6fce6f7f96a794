"""Draws the README's picture of the built-in engine beside a SAM: python -m tools.draw_models

Each shape of some drawn scenes is clicked once. The SAM is the small SAM 2 of the tests, which was
trained on such scenes, but on none of these. Prints how well both do on more of them.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.pictures.render import Drawing
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point
from segment_anywhere.core.results.segments import Segments
from segment_anywhere.core.tasks.segmenter import MaskChoice, Segmenter
from torch import Tensor

from tests.support.paths import FIXTURES
from tests.support.scenes import Scene, draw_scene, interior_point

from .draw_help import DOCS, drawn, picture, sheet

SIDE = 160
# The scenes that are drawn, and those that are counted.
SHOWN, COUNTED = (2, 4, 15, 17), range(20)
_THUMB = 200


def clicked(segmenter: Segmenter, scene: Scene) -> Segments:
    """One click on each shape, where it is thickest."""
    prompts = [
        ObjectPrompt(f"object {number}", (Point(*interior_point(mask)),), number=number)
        for number, mask in enumerate(scene.masks)
    ]
    image = torch.from_numpy(scene.image)
    found = segmenter.segment(image, prompts, MaskChoice.BEST)
    return Segments.from_instances(found, scene.image.shape[:2], 1)


def overlaps(found: Segments, scene: Scene) -> list[float]:
    """The IoU of each shape with what its click gave, 0 where that is nothing."""
    masks = found.full_masks().numpy() > 127
    ids = found.ids.tolist()
    shares = []
    for number, truth in enumerate(scene.masks):
        mask = masks[ids.index(number)] if number in ids else np.zeros_like(truth)
        shares.append(float((mask & truth).sum() / (mask | truth).sum()))
    return shares


def shown(scene: Scene, found: Segments | None = None) -> Image.Image:
    image: Tensor = torch.from_numpy(scene.image)[None]
    drawing = Drawing(boxes=False, labels=False, opacity=0.75)
    pixels = image[0] if found is None else drawn(image, found, drawing)
    return picture(pixels).resize((_THUMB, _THUMB), Image.Resampling.LANCZOS)


def main() -> None:
    engines = {
        "GrabCut, built in": Segmenter(GrabCutEngine()),
        "a small SAM 2": Segmenter(load_engine(FIXTURES / "sam2_tiny", torch.float32)),
    }
    scenes = [draw_scene(seed, SIDE) for seed in SHOWN]
    rows = [[("the image", shown(scene)) for scene in scenes]]
    for name, segmenter in engines.items():
        rows.append([(name, shown(each, clicked(segmenter, each))) for each in scenes])
    sheet(rows).save(DOCS / "models.jpg", quality=88)
    counted = [draw_scene(seed, SIDE) for seed in COUNTED]
    for name, segmenter in engines.items():
        shares = np.concatenate([overlaps(clicked(segmenter, each), each) for each in counted])
        good = (shares > 0.9).mean()
        print(f"{name}: {len(shares)} clicks, IoU {shares.mean():.2f}, {good:.0%} above 0.9")


if __name__ == "__main__":
    main()
