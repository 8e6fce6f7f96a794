"""Models that understand words: read from transformers folders, and what they share.

Nothing of a folder that is there is asked of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import CheckpointError, InputError
from ...results.boxes import nms
from ..base import Detections, WordModel
from ..families import DETECTOR_FAMILIES, family_of_type
from ..files.checkpoints import read_config, read_folder_weights

# Two boxes of one phrase that overlap more than this are one object.
_SAME_OBJECT = 0.7


@dataclass(frozen=True)
class DetectorFolder:
    """A transformers folder, read. image: its preprocessor_config.json, empty where it has none."""

    model: torch.nn.Module
    tokenizer: Any
    image: dict[str, Any]


def load_detector(path: Path, dtype: torch.dtype) -> WordModel:
    """Load a transformers folder of a model that understands words; dtype is the image encoder's.

    Raises CheckpointError where the folder is incomplete, unreadable or of another model type.
    """
    model_type = read_config(path / "config.json").get("model_type")
    family = family_of_type(model_type, DETECTOR_FAMILIES)
    if family is None:
        known = ", ".join(name for each in DETECTOR_FAMILIES for name in each.model_types)
        raise CheckpointError(
            f"{path}: config.json names the model type {model_type!r}; accepted: {known}. Choose "
            "another detector in Text Segment."
        )
    builder = family.builder()
    return builder.from_folder(_read_folder(path, builder.MODEL_CLASSES[model_type]), dtype)


def _read_folder(path: Path, model_class: str) -> DetectorFolder:
    import transformers

    _refuse_incomplete(path)
    # Read here and not by transformers, which would leave the file mapped.
    weights = read_folder_weights(path)
    # No code of the folder runs.
    strict = {"local_files_only": True, "trust_remote_code": False}
    try:
        model, report = getattr(transformers, model_class).from_pretrained(
            None,
            config=transformers.AutoConfig.from_pretrained(path, **strict),
            state_dict=weights,
            dtype=torch.float32,
            output_loading_info=True,
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, **strict)
    except Exception as error:
        # transformers checks folders with errors of its own, of many kinds.
        raise CheckpointError(
            f"{path}: cannot be loaded ({error}). Download the whole repository again."
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{path}: {len(missing)} weights are missing, the first is {missing[0]}. "
            "Download the whole repository again."
        )
    settings = path / "preprocessor_config.json"
    return DetectorFolder(model, tokenizer, read_config(settings) if settings.is_file() else {})


def _refuse_incomplete(path: Path) -> None:
    wanted = {
        "weights (model.safetensors)": ("*.safetensors",),
        "tokenizer (tokenizer.json or vocab.*)": ("tokenizer.json", "vocab.*"),
    }
    for what, patterns in wanted.items():
        if not any(any(path.glob(pattern)) for pattern in patterns):
            raise CheckpointError(
                f"{path}: the {what} is missing beside config.json. Download the whole repository "
                "into this folder; nothing is fetched for a folder that is there."
            )


def check_length(phrase: str, tokens: int, limit: int, model: str) -> None:
    """Refuse a phrase of no or too many tokens.

    Raises InputError naming the phrase, its tokens and the model's limit.
    """
    if not tokens:
        raise InputError(f'prompt: "{phrase}" holds no words. Name an object, such as: dog.')
    if tokens > limit:
        raise InputError(
            f'prompt: "{phrase[:60]}" is {tokens} tokens long; {model} takes {limit} in one '
            "phrase. Shorten it, or split it by commas."
        )


def phrase_tokens(ids: Tensor) -> int:
    """Number of a phrase's own tokens: CLIP's tokenizers add one before and one after it."""
    return ids.shape[-1] - 2


def normalise(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Subtract a mean from each channel of [1, 3, h, w] and divide by a deviation."""
    centre, scale = (torch.tensor(part).reshape(1, 3, 1, 1) for part in (mean, std))
    return (image - centre.to(image.device)) / scale.to(image.device)


def corners(boxes: Tensor) -> Tensor:
    """Boxes [N, 4] from centre, width and height to xyxy."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat([centre - half, centre + half], dim=1)


def collect_boxes(
    scores: Tensor, boxes: Tensor, threshold: float, size: tuple[int, int]
) -> list[Detections]:
    """Give each box to its best phrase and drop repetitions, phrase by phrase.

    scores: [Q, P] of each box and phrase. boxes: [Q, 4] in pixels, xyxy.
    """
    scores, boxes = scores.float().cpu(), _inside(boxes.float().cpu(), size)
    owners = scores.argmax(dim=1)
    is_box = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    results = []
    for phrase in range(scores.shape[1]):
        rows = (owners == phrase) & is_box
        own, places = scores[rows, phrase], boxes[rows]
        reached = own >= threshold
        kept = nms(places[reached], own[reached], _SAME_OBJECT)
        best = float(own.max()) if len(own) else 0.0
        results.append(Detections(own[reached][kept], places[reached][kept], None, best))
    return results


def _inside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes [N, 4] xyxy cut to an image of (H, W)."""
    height, width = size
    limits = torch.tensor([width, height, width, height], dtype=torch.float32)
    return torch.minimum(boxes.clamp(min=0), limits)
