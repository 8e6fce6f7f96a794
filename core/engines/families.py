"""The model families: how each is recognised, built, and which prompts it understands.

Asking imports no model code: a family's module is imported when a model of it is built.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from ..errors import InputError
from ..prompts.prompts import ObjectPrompt
from .sam import layout as sam_layout
from .sam2 import layout as sam2_layout
from .sam3 import layout as sam3_layout


@dataclass(frozen=True)
class Capabilities:
    """The kinds of prompt a family understands. examples: boxes beside words. classes: of words
    those alone that a model's own classes are called by, and no words as all of them."""

    points: bool = True
    boxes: bool = True
    negative_boxes: bool = False
    masks: bool = True
    words: bool = False
    examples: bool = False
    classes: bool = False


@dataclass(frozen=True)
class Family:
    """A kind of model.

    folder: the model folder of ComfyUI that its files belong in, "" for a family without any; other
    packs keep them there as well, so that nothing has to be moved. module: the one of this package
    with the functions `from_official(state, dtype)` and, where transformers has a model of it,
    `from_transformers(config, state, dtype)`; a detector's has its class, `DETECTOR`, and a matting
    model's `load_matting(path, dtype)`.
    is_official: whether a state dict's keys are those of the family's official checkpoints.
    model_types: what transformers calls it in config.json. grid_side: clicks along each side of an
    image that are worth their time when all regions are asked for. unused: finds the names of
    weights that a checkpoint has and the model has not. usual_detector: the family of the detector
    that finds words for it, where it does not understand them itself. redraws_rough_masks: whether
    it draws better outlines than a heat map's. among_checkpoints: whether ComfyUI loads it as well,
    from models/checkpoints, so that people have its file there. among_language_models: whether
    people have its folder in models/LLM. usual_threshold: the lowest score of what words name that
    counts, where none is asked for. has_own_scores: whether a mask's score is the model's own
    estimate of it; one that is not is good for comparing alone, and nobody is shown it.
    """

    name: str
    title: str
    capabilities: Capabilities = Capabilities()
    folder: str = ""
    module: str = ""
    is_official: Callable[[Mapping[str, Any]], bool] | None = None
    model_types: tuple[str, ...] = ()
    grid_side: int = 32
    unused: re.Pattern[str] | None = None
    usual_detector: str = "grounding_dino"
    redraws_rough_masks: bool = True
    among_checkpoints: bool = False
    among_language_models: bool = False
    usual_threshold: float = 0.4
    has_own_scores: bool = True

    def builder(self) -> ModuleType:
        return importlib.import_module(f".{self.module}", __package__)


BUILT_IN = Family(
    "grabcut",
    "GrabCut",
    Capabilities(negative_boxes=True),
    # It takes a good part of a second for each click. Of two photographs 8 x 8 clicks find 6 and 16
    # regions, 6 x 6 find 6 and 15.
    grid_side=6,
    # The smallest, for who downloads no SAM. A heat map knows more of an object than the colours
    # that GrabCut goes by.
    usual_detector="clipseg",
    redraws_rough_masks=False,
    has_own_scores=False,
)
"""The family that needs no file."""
BUILT_IN_CHOICE = f"{BUILT_IN.name} (built in)"
"""What Load SAM calls it."""

FAMILIES = (
    BUILT_IN,
    Family(
        "sam",
        "SAM",
        folder="sams",
        module="sam.engine",
        is_official=sam_layout.is_sam,
        model_types=("sam",),
    ),
    Family(
        "sam_hq",
        "HQ-SAM",
        folder="sams",
        module="sam.hq",
        is_official=sam_layout.is_sam_hq,
        model_types=("sam_hq",),
    ),
    Family(
        "mobile_sam",
        "MobileSAM",
        folder="sams",
        module="sam.mobile",
        is_official=sam_layout.is_mobile_sam,
    ),
    Family(
        "sam2",
        "SAM 2 / 2.1",
        folder="sam2",
        module="sam2.engine",
        is_official=sam2_layout.is_official,
        model_types=("sam2", "sam2_video"),
        unused=sam2_layout.UNUSED,
    ),
    Family(
        "edgetam",
        "EdgeTAM",
        folder="sam2",
        module="sam2.edgetam",
        is_official=sam2_layout.is_edgetam,
        model_types=("edgetam", "edgetam_video"),
        unused=sam2_layout.UNUSED,
    ),
    Family(
        "sam3",
        "SAM 3 / 3.1",
        Capabilities(words=True, examples=True),
        folder="sam3",
        module="sam3.engine",
        is_official=sam3_layout.is_official,
        model_types=("sam3_video", "sam3_tracker", "sam3_tracker_video", "sam3"),
        among_checkpoints=True,
    ),
)


_WORDS_ALONE = Capabilities(points=False, boxes=False, masks=False, words=True)
_CLASSES_ALONE = replace(_WORDS_ALONE, classes=True)
DETECTOR_FAMILIES = (
    Family(
        "grounding_dino",
        "Grounding DINO",
        _WORDS_ALONE,
        folder="grounding-dino",
        module="detectors.grounding_dino",
        model_types=("grounding-dino", "mm-grounding-dino"),
    ),
    Family(
        "owlv2",
        "OWLv2",
        _WORDS_ALONE,
        folder="owlv2",
        module="detectors.owlv2",
        model_types=("owlv2",),
        # Its scores stay low for what is surely there.
        usual_threshold=0.2,
    ),
    Family(
        "clipseg",
        "CLIPSeg",
        _WORDS_ALONE,
        folder="clipseg",
        module="detectors.clipseg",
        model_types=("clipseg",),
    ),
    Family(
        "detr",
        "RT-DETR / D-FINE / RF-DETR",
        _CLASSES_ALONE,
        folder="detection",
        module="detectors.detr",
        model_types=("rt_detr_v2", "rt_detr", "d_fine", "rf_detr"),
        # What transformers' own post-processing begins with.
        usual_threshold=0.5,
    ),
    Family(
        "segformer",
        "SegFormer",
        _CLASSES_ALONE,
        folder="detection",
        module="detectors.segformer",
        model_types=("segformer",),
    ),
    Family(
        "florence2",
        "Florence-2",
        _WORDS_ALONE,
        folder="florence2",
        module="detectors.florence2",
        model_types=("florence2",),
        among_language_models=True,
    ),
)
"""Models that understand words and nothing else, so that Load SAM cannot offer them."""

MATTING_FAMILIES = (
    Family(
        "vitmatte",
        "ViTMatte",
        Capabilities(points=False, boxes=False, masks=False),
        folder="vitmatte",
        module="matting.vitmatte",
        model_types=("vitmatte",),
    ),
)
"""Models that find the edges of masks that are there."""


def family_named(name: str) -> Family:
    """The family of this name, a detector's or a matting model's too."""
    families = (*FAMILIES, *DETECTOR_FAMILIES, *MATTING_FAMILIES)
    return next(each for each in families if each.name == name)


def has_own_scores(name: str) -> bool:
    """Whether the scores of the family of this name are its models' own estimates."""
    return name not in {family.name for family in FAMILIES if not family.has_own_scores}


def model_folders(families: Sequence[Family]) -> tuple[str, ...]:
    """The model folders of ComfyUI that these families' files belong in, each once."""
    return tuple(dict.fromkeys(family.folder for family in families if family.folder))


def family_of_keys(keys: Mapping[str, Any]) -> Family | None:
    """The family whose official checkpoints have these keys, None where no family does."""
    for family in FAMILIES:
        if family.is_official is not None and family.is_official(keys):
            return family
    return None


def family_of_type(model_type: str | None, among: Sequence[Family] = FAMILIES) -> Family | None:
    """The family of a transformers folder, by the model type in its config.json."""
    return next((each for each in among if model_type in each.model_types), None)


def check_prompts(family: Family, frames: Sequence[Sequence[ObjectPrompt]]) -> None:
    """Refuse prompts, per frame and object, that a family cannot take.

    Raises InputError naming the prompt's kind and the families that take it.
    """
    for prompt in (prompt for prompts in frames for prompt in prompts):
        used = {
            "points": bool(prompt.points),
            "boxes": prompt.box is not None,
            "negative_boxes": bool(prompt.negative_boxes),
            "masks": prompt.mask is not None,
        }
        for kind in (kind for kind, is_used in used.items() if is_used):
            if not getattr(family.capabilities, kind):
                takers = [each.title for each in FAMILIES if getattr(each.capabilities, kind)]
                raise InputError(
                    f"{prompt.label}: {family.title} takes no {kind.replace('_', ' ')}; accepted "
                    f"by {', '.join(takers)}. Choose one of them in Load SAM or remove that prompt."
                )


def check_examples(family: Family, has_own_words: bool, count: int, name: str) -> None:
    """Refuse so many example boxes, of the input of that name, where what understands the words
    cannot take them.

    has_own_words: whether that is the family's own model, and no detector. Raises InputError naming
    the families that take them.
    """
    if not count or (has_own_words and family.capabilities.examples):
        return
    takers = ", ".join(each.title for each in FAMILIES if each.capabilities.examples)
    reader = family.title if has_own_words else "a detector"
    raise InputError(
        f"{name}: found {_boxes(count)} for {reader}, which finds by words alone; accepted by "
        f"{takers} with its own words. Choose it in Load SAM and auto as detector, or remove "
        "the boxes."
    )


def _boxes(count: int) -> str:
    return "1 example box" if count == 1 else f"{count} example boxes"
