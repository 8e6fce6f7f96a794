"""Draws the pictures of Save Segments: datasets, loaded and drawn by supervision.

    python -m tools.draw_dataset

The command line makes two datasets in a temporary folder, one of clicks on the photograph in
workflows/images and one of words on drawn shapes. What is seen is what supervision's loader reads
from the files and its annotators draw; nothing of this pack has a part in that.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import supervision
from PIL import Image

from tests.support.paths import FIXTURES
from tests.support.scenes import draw_scene

from . import ROOT
from .templates.writing import card_path

WORKFLOWS = ROOT / "workflows"
PHOTOGRAPH = WORKFLOWS / "images" / "dahlia.jpg"
DOCS = ROOT / "web" / "docs"
# The flower in the middle, and the one that the lower border cuts off.
CLICKS = "[[[310, 215]], [[410, 410]]]"
SEEDS, SCENE_SIZE = (3, 7, 11, 12), 480
# Of the square scenes, so that they are as wide as photographs.
ROWS = slice(80, 400)
WORDS = "red, green, blue, yellow, purple, cyan, white"
_QUALITY = 88


def make_dataset(work: Path, workflow: str, images: Path, *settings: str) -> Path:
    """Run a workflow on images from the command line; the folder of the dataset."""
    changes = [part for setting in settings for part in ("--set", setting)]
    subprocess.run(
        [
            *(sys.executable, "run_workflow.py", f"workflows/api/{workflow}.json"),
            *("--image", str(images), "--models", str(work / "models")),
            *("--out", str(work / workflow), *changes),
        ],
        cwd=ROOT,
        check=True,
    )
    return work / workflow / "dataset"


def pictures(dataset: Path) -> list[Image.Image]:
    """What supervision makes of a COCO dataset: every picture with its objects."""
    loaded = supervision.DetectionDataset.from_coco(
        str(dataset / "images"), str(dataset / "annotations.json"), force_masks=True
    )
    shown = []
    for _, picture, found in loaded:
        labels = [loaded.classes[number] for number in found.class_id]
        picture = supervision.MaskAnnotator(opacity=0.45).annotate(picture.copy(), found)
        picture = supervision.PolygonAnnotator(thickness=2).annotate(picture, found)
        picture = supervision.LabelAnnotator(text_scale=0.6).annotate(picture, found, labels)
        shown.append(Image.fromarray(np.ascontiguousarray(picture[..., ::-1])))
    return shown


def tiled(shown: Sequence[Image.Image], size: tuple[int, int]) -> Image.Image:
    """Four pictures in two rows, each of half this size (width, height)."""
    page = Image.new("RGB", size)
    half = (size[0] // 2, size[1] // 2)
    for place, picture in enumerate(shown):
        page.paste(picture.resize(half), (place % 2 * half[0], place // 2 * half[1]))
    return page


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        shutil.copytree(FIXTURES / "clipseg_tiny", work / "models" / "clipseg" / "trained")
        (work / "photos").mkdir()
        for seed in SEEDS:
            pixels = (draw_scene(seed, SCENE_SIZE).image[ROWS] * 255).round().astype(np.uint8)
            Image.fromarray(pixels).save(work / "photos" / f"shapes_{seed:02}.png")
        (flower,) = pictures(
            make_dataset(
                work,
                "dataset",
                PHOTOGRAPH,
                f"Point Segment.points={CLICKS}",
                "Save Segments.classes=dahlia",
            )
        )
        scenes = pictures(
            make_dataset(
                work,
                "dataset_words",
                work / "photos",
                "Load SAM.model=grabcut (built in)",
                "Text Segment.detector=clipseg/trained",
                f"Text Segment.prompt={WORDS}",
                f"Save Segments.classes={WORDS}",
            )
        )
    flower.resize((600, 400)).save(card_path("dataset"), quality=_QUALITY)
    tiled(scenes, (600, 400)).save(card_path("dataset_words"), quality=_QUALITY)
    flower.save(DOCS / "load_segments.jpg", quality=_QUALITY)
    tiled(scenes, (1000, 668)).save(DOCS / "save_segments.jpg", quality=_QUALITY)


if __name__ == "__main__":
    main()
