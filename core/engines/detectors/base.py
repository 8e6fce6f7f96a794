"""Models that understand words alone: read from transformers folders, and what they share.

Nothing of a folder that is there is asked of the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...errors import CheckpointError, InputError
from ...results.boxes import nms
from ..base import Detections, Embedding, MaskDetail, WordModel
from ..families import DETECTOR_FAMILIES, Family, family_named, family_of_type
from ..files.checkpoints import read_config
from ..files.folders import STRICT, build_model, read_settings, unreadable
from ..image_model import ImageModel, Statistics

if TYPE_CHECKING:
    from transformers import CLIPSegModel, Owlv2Model

# Two boxes of one phrase that overlap more than this are one object.
_SAME_OBJECT = 0.7


@dataclass(frozen=True)
class DetectorFolder:
    """A transformers folder, read. tokenizer: None for a model that reads no text.

    image, generation: its preprocessor_config.json and generation_config.json, empty where it has
    none.
    """

    model: Any
    tokenizer: Any
    image: dict[str, Any]
    generation: dict[str, Any] = field(default_factory=dict)


def load_detector(path: Path, dtype: torch.dtype) -> WordModel:
    """Load a transformers folder of a model that understands words; dtype is the image encoder's.

    Raises CheckpointError where the folder is incomplete, unreadable or of another model type.
    """
    family, config = detector_family(path)
    detector: type[FolderDetector] = family.builder().DETECTOR
    model_class, release = detector.model_class(path, config)
    return detector(_read_folder(path, model_class, release, detector.has_tokenizer), dtype)


def detector_family(path: Path) -> tuple[Family, dict[str, Any]]:
    """The family of a detector's folder, and its config.json; reads no weights.

    Raises CheckpointError where that is unreadable or of another model type.
    """
    config = read_config(path / "config.json")
    model_type = config.get("model_type")
    family = family_of_type(model_type, DETECTOR_FAMILIES)
    if model_type is None or family is None:
        known = ", ".join(name for each in DETECTOR_FAMILIES for name in each.model_types)
        raise CheckpointError(
            f"{path}: config.json names the model type {model_type!r}; accepted: {known}. Choose "
            "another detector in Text Segment."
        )
    return family, config


def find_detector_family(path: Path) -> Family | None:
    """The family of a transformers folder by its config.json, which is all that is read.

    None for a folder of another kind, or one that cannot be loaded: this is for a look through
    folders that are mostly something else.
    """
    try:
        family, config = detector_family(path)
        family.builder().DETECTOR.model_class(path, config)
    except CheckpointError:
        return None
    return family


def _read_folder(path: Path, model_class: str, release: str, has_tokenizer: bool) -> DetectorFolder:
    import transformers

    _refuse_incomplete(path, has_tokenizer)
    model = build_model(path, model_class, release)
    tokenizer = None
    if has_tokenizer:
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, **STRICT)
        except Exception as error:
            raise unreadable(path, error) from error
    image = read_settings(path, "preprocessor_config.json")
    generation = read_settings(path, "generation_config.json")
    return DetectorFolder(model, tokenizer, image, generation)


def _refuse_incomplete(path: Path, has_tokenizer: bool) -> None:
    wanted: dict[str, tuple[str, ...]] = {"weights (model.safetensors)": ("*.safetensors",)}
    if has_tokenizer:
        wanted["tokenizer (tokenizer.json or vocab.*)"] = ("tokenizer.json", "vocab.*")
    for what, patterns in wanted.items():
        if not any(any(path.glob(pattern)) for pattern in patterns):
            raise CheckpointError(
                f"{path}: the {what} is missing beside config.json. Download the whole repository "
                "into this folder; nothing is fetched for a folder that is there."
            )


class FolderDetector(ImageModel):
    """A model of a transformers folder: the image encoder in `dtype`, all else in fp32.

    model_classes: the class of transformers for each model type. has_tokenizer: whether it reads
    text. mask_detail: that of a model that finds boxes alone, unless a subclass has another.
    """

    model_classes: Mapping[str, str]
    has_tokenizer = True
    mask_detail: MaskDetail = MaskDetail.NONE

    def __init__(self, folder: DetectorFolder, dtype: torch.dtype):
        super().__init__(folder.model.float(), dtype)
        self._tokenizer = folder.tokenizer
        self._image = folder.image
        self.statistics = Statistics(
            tuple(folder.image.get("image_mean", self.statistics.mean)),
            tuple(folder.image.get("image_std", self.statistics.std)),
        )

    @classmethod
    def model_class(cls, path: Path, config: Mapping[str, Any]) -> tuple[str, str]:
        """The class of transformers for a folder with this config.json, and its first release.

        Raises CheckpointError for a folder that the model cannot be built from.
        """
        return cls.model_classes[config["model_type"]], "4.57"

    def detect(
        self, embedding: Embedding, phrases: Sequence[str], threshold: float
    ) -> Iterable[Detections]:
        """Find what each phrase names with a score of at least the threshold, phrase by phrase.

        Raises InputError for a phrase that holds no words or is too long for the model.
        """
        raise NotImplementedError

    def _check_length(self, phrase: str, tokens: int, limit: int) -> None:
        """Refuse a phrase of no or too many tokens.

        Raises InputError naming the phrase, its tokens and the model's limit.
        """
        if not tokens:
            raise InputError(f'prompt: "{phrase}" holds no words. Name an object, such as: dog.')
        if tokens > limit:
            title = family_named(self.family).title
            raise InputError(
                f'prompt: "{phrase[:60]}" is {tokens} tokens long; {title} takes {limit} in one '
                "phrase. Shorten it, or split it by commas."
            )


class ClipDetector(FolderDetector):
    """A detector on the two encoders of a CLIP: a phrase is one feature, which is kept."""

    def __init__(self, folder: DetectorFolder, dtype: torch.dtype):
        super().__init__(folder, dtype)
        # transformers' wrapper of Module.to is typed as a plain function, not as a method.
        self._clip.vision_model.to(dtype)  # pyright: ignore[reportArgumentType]
        self._phrase_features = lru_cache(maxsize=1024)(self._encode_phrase)

    @property
    def _clip(self) -> CLIPSegModel | Owlv2Model:
        raise NotImplementedError

    def _encode_phrase(self, phrase: str) -> Tensor:
        """A phrase's feature: [C] float32 on the CPU."""
        return self._text_feature(phrase).cpu()

    def _text_feature(self, phrase: str) -> Tensor:
        """A phrase's feature as the text encoder gives it: [C] float32 on the model's device."""
        tokens = self._tokenizer(phrase, return_tensors="pt")
        # The tokenizer adds one token before the phrase and one after it.
        limit = self._config.text_config.max_position_embeddings - 2
        self._check_length(phrase, tokens.input_ids.shape[-1] - 2, limit)
        pooled = self._clip.text_model(**tokens.to(self._device)).pooler_output
        return self._clip.text_projection(pooled)[0]


def corners(boxes: Tensor) -> Tensor:
    """Boxes [N, 4] from centre, width and height to xyxy."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat([centre - half, centre + half], dim=1)


def collect_boxes(
    scores: Tensor,
    boxes: Tensor,
    threshold: float,
    size: tuple[int, int],
    logits: Tensor | None = None,
) -> list[Detections]:
    """Give each box to its best phrase and drop repetitions, phrase by phrase.

    scores: [Q, P] of each box and phrase. boxes: [Q, 4] in pixels, xyxy. logits: [Q, h, w] of their
    masks, of a model that has any.
    """
    scores, boxes = scores.float().cpu(), inside(boxes.float().cpu(), size)
    owners = scores.argmax(dim=1)
    is_box = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    results = []
    for phrase in range(scores.shape[1]):
        rows = (owners == phrase) & is_box
        own, places = scores[rows, phrase], boxes[rows]
        reached = own >= threshold
        kept = nms(places[reached], own[reached], _SAME_OBJECT)
        best = float(own.max()) if len(own) else 0.0
        masks = None
        if logits is not None:
            masks = logits[rows.nonzero()[reached][kept][:, 0].to(logits.device)]
        results.append(Detections(own[reached][kept], places[reached][kept], masks, best))
    return results


def inside(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes [N, 4] xyxy cut to an image of (H, W)."""
    height, width = size
    limits = torch.tensor([width, height, width, height], dtype=torch.float32)
    return torch.minimum(boxes.clamp(min=0), limits)
