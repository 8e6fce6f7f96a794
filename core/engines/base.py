"""The protocols of all models: encode an image once, decode prompts or words as often as needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn

from ..cache import RunCache, Tensors
from ..prompts.prompts import Box, ObjectPrompt


@dataclass(frozen=True)
class Embedding:
    """What an engine needs of an image to decode prompts. features: tensors of any shape and type.

    size: (H, W) of the image in pixels. key: what the cache calls the image, "" before it does.
    """

    features: tuple[Tensor, ...]
    size: tuple[int, int]
    key: str = ""

    def to(self, device: torch.device | str) -> Embedding:
        return replace(self, features=tuple(tensor.to(device) for tensor in self.features))

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.features)


@dataclass(frozen=True)
class Prepared:
    """A frame on its way to an encoder. pixels: as `Encoder.prepare` leaves them. size: (H, W) of
    the frame."""

    pixels: Tensor
    size: tuple[int, int]


@dataclass(frozen=True)
class Candidates:
    """The masks an engine proposes for one object, in its own order.

    logits: [K, h, w] float32, above 0 inside, at the engine's own resolution. scores: [K] float32,
    the engine's estimate of each mask's IoU; SAM's and HQ-SAM's may lie a little outside 0..1.
    """

    logits: Tensor
    scores: Tensor


@dataclass(frozen=True)
class Detections:
    """What was found of one phrase in an image, best first. Tensors on any device.

    scores: [N] float32, 0..1. boxes: [N, 4] float32, xyxy in pixels of the image, inside it.
    logits: [N, h, w] float32, above 0 inside, over the whole image at the model's own resolution;
    None from a model that finds boxes only. best: the highest score, kept or not; 0 where the model
    proposes nothing. surest: [N, 2] float32, (x, y) in pixels of the image where the logits were
    highest, once `without_masks` let go of them.
    """

    scores: Tensor
    boxes: Tensor
    logits: Tensor | None
    best: float
    surest: Tensor | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def first(self, count: int | None) -> Detections:
        """The best so many, None for all."""
        logits, surest = (
            None if each is None else each[:count] for each in (self.logits, self.surest)
        )
        scores, boxes = self.scores[:count], self.boxes[:count]
        return replace(self, scores=scores, boxes=boxes, logits=logits, surest=surest)

    def without_masks(self, size: tuple[int, int]) -> Detections:
        """What another model draws the masks from, in an image of (H, W): boxes and surest places.

        The logits of a batch's frames together would take gigabytes.
        """
        if self.logits is None:
            return self
        height, width = self.logits.shape[-2:]
        best = self.logits.flatten(1).argmax(dim=1)
        places = torch.stack([best % width, best // width], dim=1) + 0.5
        scale = places.new_tensor([size[1] / width, size[0] / height])
        return replace(self, logits=None, surest=places * scale)


class MaskDetail(Enum):
    """What a detector's own masks are worth: it has none, rough outlines, or none are better: a
    SAM's, or those of classes that a SAM does not know."""

    NONE = 0
    ROUGH = 1
    EXACT = 2


class LocalModel(Protocol):
    """What all local models share. They hold no images and no results between calls."""

    @property
    def family(self) -> str:
        """The name of its `families.Family`."""
        ...

    @property
    def module(self) -> nn.Module | None:
        """The weights, None for an engine without any. The host moves it between devices."""
        ...

    def activation_bytes(self) -> int:
        """An estimate of the memory that one image, or one tile of it, takes beside the weights."""
        ...


class Encoder(LocalModel, Protocol):
    """A model that embeds images."""

    def encode(self, frame: Tensor) -> Embedding:
        """Embed one frame ([H, W, 3] float32, 0..1, any device) on the model's device."""
        ...

    def prepare(self, frame: Tensor) -> Prepared:
        """What of encoding a frame the host does alone, wherever the weights are: a thread of its
        own may do it ahead."""
        ...

    def encode_batch(self, frames: Sequence[Prepared]) -> list[Embedding]:
        """Embed frames of one size together, as `encode` does each, up to rounding."""
        ...


class Matting(LocalModel, Protocol):
    """A model that says how much of each pixel in an uncertain band belongs to an object."""

    @property
    def multiple(self) -> int:
        """Of which the sides of its tiles are, in pixels."""
        ...

    def alphas(self, tiles: Sequence[Tensor]) -> Tensor:
        """The alphas of tiles of one size, [h, w, 4] each (red, green, blue and the trimap: 0, 0.5,
        1; float32, 0..1, any device): [N, h, w] float32, 0..1, on the model's device."""
        ...


class Detector(Protocol):
    """What understands words. It reads embeddings that an encoder made."""

    @property
    def mask_detail(self) -> MaskDetail:
        """What its own masks are worth."""
        ...

    def detect(
        self, embedding: Embedding, phrases: Sequence[str], threshold: float
    ) -> Iterable[Detections]:
        """Find what each phrase names with a score of at least the threshold, phrase by phrase.

        To be walked once: a phrase's masks may be made when it is asked for, so that whoever lets
        go of one before the next never has the masks of two. Raises InputError, before the walk,
        for a phrase that holds no words or is too long for the model.
        """
        ...


class WordModel(Encoder, Detector, Protocol):
    """A model that understands words and nothing else: it reads its own embeddings."""


@runtime_checkable
class RefiningDetector(Detector, Protocol):
    """A detector whose model can draw its masks anew, from the embedding they were found in."""

    def for_decoder(self, embedding: Embedding) -> Embedding:
        """What `refine` reads of an embedding, on the model's device: for many calls."""
        ...

    def refine(self, embedding: Embedding, found: Detections) -> Detections:
        """The same detections with better logits; those must be there."""
        ...


@runtime_checkable
class DrawingDetector(Detector, Protocol):
    """A detector that finds boxes, and draws masks of its own when it is asked in another way."""

    def drawing(self) -> Detector:
        """The same model, whose detections have logits."""
        ...


@runtime_checkable
class ExampleDetector(Detector, Protocol):
    """A detector that reads example boxes beside words."""

    def detect_like(
        self,
        embedding: Embedding,
        phrases: Sequence[str],
        examples: Sequence[tuple[Box, ...]],
        threshold: float,
    ) -> Iterable[Detections]:
        """As `detect`, with boxes around what is meant, or is not meant, beside each phrase.

        examples: of each phrase, in pixels of the image; any number.
        """
        ...


class Engine(Encoder, Protocol):
    """A model that understands points, boxes and masks."""

    def for_decoder(self, embedding: Embedding) -> Embedding:
        """What decoding reads of an embedding, on the model's device: for many decoder runs.

        `decode` takes either; from another device it copies an embedding each time.
        """
        ...

    def decode(
        self, embedding: Embedding, prompts: Sequence[ObjectPrompt], multimask: bool
    ) -> list[Candidates]:
        """Propose masks for each object; multimask asks for several where the model has them."""
        ...

    def to_logits(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Bring logits [K, h, w] to the image's size: [K, H, W] float32."""
        ...

    def to_masks(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Bring logits [K, h, w] to the image's size and threshold them: [K, H, W] bool."""
        ...

    def cpu_decoder(self) -> Engine:
        """An engine for a thread of its own that decodes on the CPU; it cannot encode.

        Call it where the weights are in use, for it may copy them from their device.
        """
        ...

    def track(self, frames: int, known: TrackCache | None = None) -> TrackSession:
        """Begin to follow objects through a clip of so many frames, whose embeddings have keys.

        known: what earlier sessions found, where the engine makes use of it.
        """
        ...


TrackCache: TypeAlias = RunCache[Tensors]
"""What sessions of one model found, by all that it depends on."""


@dataclass(frozen=True)
class ClipFrame:
    """A frame of a clip: its place in it, its pixels ([H, W, 3] float32, 0..1), its embedding."""

    index: int
    pixels: Tensor
    embedding: Embedding


class TrackSession(Protocol):
    """Objects on their way through a clip, frame by frame, in either direction.

    Objects are known by numbers that the caller gives. What is found of an object in a frame is
    `Candidates` of one mask; a mask that is below 0 everywhere says that the object is not seen
    there. A session holds what it needs of earlier frames, which does not grow with their number.
    """

    @property
    def method(self) -> str:
        """How it follows objects, for whoever reads the result: "memory" or "optical flow"."""
        ...

    @property
    def looks_ahead(self) -> bool:
        """Whether a key frame changes what is found in the frames before it."""
        ...

    def begin_pass(self) -> None:
        """Forget all frames but key frames: another way through the clip begins."""
        ...

    def start(self, frame: ClipFrame, prompts: Mapping[int, ObjectPrompt]) -> dict[int, Candidates]:
        """Make this a key frame of objects: their masks by their prompts alone.

        A prompt of nothing but a mask says how the object lies there, and is not decoded.
        """
        ...

    def correct(
        self, frame: ClipFrame, prompts: Mapping[int, ObjectPrompt]
    ) -> dict[int, Candidates]:
        """Make this a key frame of objects that are on their way: follow them to it, and change
        what is found by their prompts."""
        ...

    def step(self, frame: ClipFrame, objects: Sequence[int]) -> dict[int, Candidates]:
        """Follow objects to this frame. Where it is an object's key frame, what was found then."""
        ...

    def to_logits(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Bring logits [K, h, w] to the frame's size: [K, H, W] float32."""
        ...
