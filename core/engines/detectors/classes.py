"""Detectors of the classes that they were trained on, which a folder's config.json names.

They look at an image once, for all classes: what they found of each is the embedding, so that other
phrases, and another threshold, cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import CheckpointError
from ...prompts.labels import choose_labels
from ..base import Detections, Embedding
from ..image_model import Statistics
from .base import DetectorFolder, FolderDetector, detector_family


def known_labels(path: Path) -> tuple[str, ...]:
    """The names of the classes that a detector's folder knows; () for one that understands any
    words. Reads no weights.

    Raises CheckpointError as `load_detector`, and where the classes have no names.
    """
    family, config = detector_family(path)
    if not family.capabilities.classes:
        return ()
    named = config.get("id2label")
    labels = tuple(class_numbers(named)) if isinstance(named, dict) else ()
    if not labels:
        raise CheckpointError(
            f"{path}: config.json has no names for the model's classes; accepted is an id2label "
            'such as {"0": "person", "1": "dog"}. Write them there, or download the whole '
            "repository again."
        )
    return labels


def class_numbers(id2label: Mapping[Any, str]) -> dict[str, tuple[int, ...]]:
    """The numbers of the classes by their name, which several may share; those without are left
    out."""
    numbers: dict[str, tuple[int, ...]] = {}
    for number, name in sorted((int(key), str(name).strip()) for key, name in id2label.items()):
        if name:
            numbers[name] = (*numbers.get(name, ()), number)
    return numbers


class ClassDetector(FolderDetector):
    """A detector of its own classes: the image encoder in `dtype`, all else in fp32.

    Subclasses say what they read of an image (`_features`) and what they find in it (`_find`).
    usual_size: the encoder's input where the folder does not say. normalises: whether pixels are
    brought to mean 0 where the folder does not say. antialias: whether images are smoothed before
    they are shrunk.
    """

    has_tokenizer = False
    usual_size: Mapping[str, int]
    normalises = True
    antialias = True

    def __init__(self, folder: DetectorFolder, dtype: torch.dtype):
        super().__init__(folder, dtype)
        self._numbers = class_numbers(self._config.id2label)
        self._size = _checked_size(folder.image.get("size", self.usual_size))
        self.statistics = _statistics(self.statistics, folder.image, self.normalises)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its classes."""
        return tuple(self._numbers)

    def detect(
        self, embedding: Embedding, phrases: Sequence[str], threshold: float
    ) -> Iterable[Detections]:
        """Find what is of the class that each phrase names, see `choose_labels`.

        Raises InputError for a phrase that names none.
        """
        names = [choose_labels([phrase], self.labels)[0] for phrase in phrases]
        return self._find(embedding, [self._numbers[name] for name in names], threshold)

    def _find(
        self, embedding: Embedding, classes: Sequence[tuple[int, ...]], threshold: float
    ) -> Iterable[Detections]:
        """Find what is of each class, each given by its numbers, phrase by phrase."""
        raise NotImplementedError

    def _resized(self, image: Tensor) -> Tensor:
        size = self._input_size((image.shape[2], image.shape[3]))
        return F.interpolate(image, size=size, mode="bilinear", antialias=self.antialias)

    def _input_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """(h, w) of the model's input for an image of (H, W)."""
        if "height" in self._size:
            return self._size["height"], self._size["width"]
        from transformers.image_transforms import get_size_with_aspect_ratio

        return get_size_with_aspect_ratio(
            size, self._size["shortest_edge"], self._size["longest_edge"]
        )

    @property
    def _largest_area(self) -> int:
        """Pixels of the largest input."""
        first, second = self._size.values()
        return first * second


def check_task(path: Path, config: Mapping[str, Any], accepted: Sequence[str]) -> str:
    """The class of transformers that a config.json names, the first of those accepted where it
    names none.

    Raises CheckpointError for a class of another task.
    """
    named = config.get("architectures") or [accepted[0]]
    if named[0] not in accepted:
        raise CheckpointError(
            f"{path}: config.json names the architecture {named[0]}; accepted: "
            f"{', '.join(accepted)}. Choose another detector in Text Segment."
        )
    return named[0]


def _checked_size(size: Any) -> dict[str, int]:
    """The sides of an encoder's input as a preprocessor_config.json gives them.

    Raises CheckpointError for what is not among the ways to give them.
    """
    if isinstance(size, int):
        return {"height": size, "width": size}
    for names in (("height", "width"), ("shortest_edge", "longest_edge")):
        sides = {name: size.get(name) for name in names} if isinstance(size, Mapping) else {}
        given = {name: side for name, side in sides.items() if isinstance(side, int) and side > 0}
        if len(given) == len(names):
            return given
    raise CheckpointError(
        f"preprocessor_config.json: found the size {size!r}; accepted are a number, height and "
        "width, or shortest_edge and longest_edge. Download the whole repository again."
    )


def _statistics(known: Statistics, image: Mapping[str, Any], normalises: bool) -> Statistics:
    """Mean and deviation of pixels of 0..1, of which a model may read 0..255, normalised or not."""
    factor = image.get("rescale_factor", 1 / 255) if image.get("do_rescale", True) else 1.0
    scale = 255 * factor
    if not image.get("do_normalize", normalises):
        known = Statistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    mean, std = ([part / scale for part in parts] for parts in (known.mean, known.std))
    return Statistics((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))
