"""Draws the picture of example boxes on Text Segment's help page.

    python -m tools.draw_examples

The small SAM 3 of the tests finds what the boxes show, in a drawn scene.
"""

from __future__ import annotations

import torch
from PIL import Image, ImageDraw
from segment_anywhere.core.engines.families import family_named
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.engines.sam3.engine import Sam3Engine
from segment_anywhere.core.engines.sam3.tokens import load_tokenizer
from segment_anywhere.core.engines.sam3.words import ConceptDetector
from segment_anywhere.core.pictures.render import Drawing, draw
from segment_anywhere.core.prompts.phrases import read_query
from segment_anywhere.core.prompts.prompts import Box
from segment_anywhere.core.tasks.segmenter import Finder, Segmenter
from segment_anywhere.core.tasks.words import segment_words
from torch import Tensor

from tests.support.grids import draw_grid
from tests.support.paths import FIXTURES

from .draw_help import DOCS, picture, sheet

WEIGHTS = FIXTURES / "sam3_tiny"
SEED, SIDE = 89, 400
LIKE, UNLIKE = "#56b4e9", "#c62828"


def load_finder() -> Finder:
    """The small SAM 3 with its words."""
    engine = load_engine(WEIGHTS, torch.float32)
    assert isinstance(engine, Sam3Engine)
    return Finder(Segmenter(engine), ConceptDetector(engine, load_tokenizer([WEIGHTS])))


def found(finder: Finder, image: Tensor, prompt: str, box: Box) -> Image.Image:
    """What a phrase and a box find, with the box."""
    query = read_query(prompt, "", 0.5, 0, [(box,)])
    segmenter = finder.embedder
    assert isinstance(segmenter, Segmenter)
    result = segment_words(image, query, finder, family_named("sam3"), lambda: segmenter)
    drawing = Drawing(boxes=False, labels=False, opacity=0.75)
    (shown,) = draw(image, result.segments, drawing, torch.empty_like(image))
    return boxed(picture(shown), box)


def boxed(shown: Image.Image, box: Box) -> Image.Image:
    """A picture with a box on it, in the editor's colours."""
    pen = ImageDraw.Draw(shown)
    corners = (box.x1 - 4, box.y1 - 4, box.x2 + 4, box.y2 + 4)
    pen.rectangle(corners, outline=LIKE if box.positive else UNLIKE, width=4)
    return shown


def main() -> None:
    scene = draw_grid(SEED, SIDE)
    image = torch.from_numpy(scene.image)[None]
    finder = load_finder()
    corners = scene.boxes()[0]
    like, unlike = Box(*corners), Box(*corners, positive=False)
    alone = boxed(picture(image[0]), like)
    alike = found(finder, image, "", like)
    rest = found(finder, image, "shape", unlike)
    small = [each.resize((240, 240), Image.Resampling.LANCZOS) for each in (alone, alike, rest)]
    names = ("a box: like this", "prompt empty", "shape, not like this")
    sheet([list(zip(names, small, strict=True))]).save(DOCS / "example_boxes.jpg", quality=88)


if __name__ == "__main__":
    main()
