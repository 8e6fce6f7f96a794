"""A loaded model at work: encodes each image once, decodes prompts into instances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor

from ..cache import RunCache, pixels_key
from ..engines.base import (
    Candidates,
    Detections,
    Detector,
    Embedding,
    Encoder,
    Engine,
    Prepared,
    TrackCache,
    WordModel,
)
from ..engines.families import has_own_scores
from ..errors import EngineError
from ..prompts.prompts import ObjectPrompt
from ..results.compact_mask import compact_all
from ..results.segments import Instance
from ..tensors import rgb_frames
from ..threads import one_ahead
from .ahead import Waiting, grouped, peeked, prepare_pinned
from .examples import ExamplesOn, detect, no_examples

# About 25 images of SAM 2 in fp32 (21 MB each), 50 in half precision.
CACHE_BYTES = 512 * 2**20
# About 170 frames of an object that SAM 2 follows, at 768 kB.
TRACK_BYTES = 128 * 2**20
_PROMPTS_PER_RUN = 32


def run_length(engine: Engine) -> int:
    """Prompts to give an engine at a time, so that between two calls its user can look up, show
    progress or stop. One without weights takes them one by one, and gains nothing by more."""
    return 1 if engine.module is None else _PROMPTS_PER_RUN


class Part(Enum):
    """What of a model is about to work: its encoders with all that reads words, or what decodes
    prompts, which is a hundredth of a large model."""

    ENCODER = "encoder"
    DECODER = "decoder"


class Need(Protocol):
    """Whoever moves a model's weights between devices."""

    def __call__(self, part: Part, count: int) -> None:
        """Called before a part of the model works on so many images or objects."""
        ...

    def at_once(self) -> int:
        """How many images the encoder may take together: 1 on a CPU, which gains nothing by more;
        on a GPU those that there is room for."""
        ...


@dataclass(frozen=True)
class Resident:
    """The `Need` of a model whose weights stay where they are. images: as `at_once` says."""

    images: int = 1

    def __call__(self, part: Part, count: int) -> None:
        pass

    def at_once(self) -> int:
        return self.images


class MaskChoice(str, Enum):
    """Which of an object's candidate masks to keep."""

    BEST = "best"
    LARGEST = "largest"
    SMALLEST = "smallest"
    ALL = "all"


@dataclass
class Counters:
    """Work done since the model was loaded: images encoded, decoder runs."""

    encodes: int = 0
    decodes: int = 0


@dataclass(frozen=True)
class EmbeddedFrame:
    """A frame of a batch: its place in it, its pixels ([H, W, 3] float32, 0..1), its embedding."""

    index: int
    pixels: Tensor
    embedding: Embedding


class Embedder:
    """One model with its embedding cache. Not thread-safe, nor is the host's management."""

    def __init__(self, engine: Encoder, cache_bytes: int = CACHE_BYTES):
        self.engine = engine
        self.need: Need = Resident()
        self.cache = RunCache[Embedding](cache_bytes)
        self.counters = Counters()

    def embed(self, frame: Tensor, key: str = "") -> Embedding:
        """The embedding of a frame ([H, W, 3] float32, 0..1), from the cache where it is there.

        key: the frame's, where it is known already.
        """
        key = key or pixels_key(frame)
        embedding = self.cache.get(key)
        if embedding is None:
            embedding = self._encode({key: self.engine.prepare(frame)})[key]
        return embedding

    def embed_all(
        self, frames: Iterable[tuple[int, Tensor]], keys: Mapping[int, str] | None = None
    ) -> Iterator[EmbeddedFrame]:
        """Frames ([H, W, 3] float32, 0..1), each with its place, and their embeddings.

        keys: the frames', by their place, where they are known already. On a GPU several frames
        are encoded together, while a thread makes the next ones ready.
        """
        most = self.need.at_once()
        seen, frames = peeked(frames, min(most, 2))
        if seen < 2:
            for index, pixels in frames:
                key = keys[index] if keys else ""
                yield EmbeddedFrame(index, pixels, self.embed(pixels, key))
            return
        for group in one_ahead(grouped(self._waiting(frames, keys), most)):
            embeddings = self._embed_group(group)
            for each in group:
                yield EmbeddedFrame(each.index, each.pixels, embeddings[each.key])

    def _waiting(
        self, frames: Iterable[tuple[int, Tensor]], keys: Mapping[int, str] | None
    ) -> Iterator[Waiting]:
        for index, pixels in frames:
            key = keys[index] if keys else pixels_key(pixels)
            ready = self.cache.get(key) or prepare_pinned(self.engine.prepare, pixels)
            yield Waiting(index, pixels, key, ready)

    def _embed_group(self, group: Sequence[Waiting]) -> dict[str, Embedding]:
        """The embeddings of frames by their keys; those that are not known are made together."""
        embeddings: dict[str, Embedding] = {}
        missing: dict[str, Prepared] = {}
        for each in group:
            # An equal frame may have been encoded since this one was made ready.
            ready = self.cache.get(each.key) or each.ready
            if isinstance(ready, Prepared):
                missing[each.key] = ready
            else:
                embeddings[each.key] = ready
        return embeddings | self._encode(missing) if missing else embeddings

    def _encode(self, frames: Mapping[str, Prepared]) -> dict[str, Embedding]:
        """The embeddings of frames of one size by their keys, which the cache then knows."""
        self.need(Part.ENCODER, len(frames))
        encoded = self.engine.encode_batch(list(frames.values()))
        self.counters.encodes += len(frames)
        _check_finite(encoded)
        embeddings = {
            key: replace(embedding, key=key) for key, embedding in zip(frames, encoded, strict=True)
        }
        for key, embedding in embeddings.items():
            self.cache.put(key, embedding)
        return embeddings


class WordEmbedder(Embedder):
    """A model that understands words, with its embedding cache."""

    engine: WordModel


class Segmenter(Embedder):
    """An engine that decodes prompts, with its embedding cache.

    tracks: what was found in earlier runs of objects that were followed.
    """

    engine: Engine

    def __init__(self, engine: Engine, cache_bytes: int = CACHE_BYTES):
        super().__init__(engine, cache_bytes)
        self.tracks: TrackCache = RunCache(TRACK_BYTES)

    def segment(
        self,
        frame: Tensor,
        prompts: Sequence[ObjectPrompt],
        choice: MaskChoice = MaskChoice.BEST,
        index: int = 0,
    ) -> list[Instance]:
        """Segment one frame ([H, W, 3] float32, 0..1); index is the frame's place in its batch.

        Returns one instance per object in the order of the prompts, several for MaskChoice.ALL,
        none where the model finds nothing. A frame without prompts is embedded all the same, so
        that the first prompt is fast.
        """
        self.cache.begin_run()
        found = self.find(self.embed(frame), prompts, choice, index)
        return list(chain.from_iterable(found))

    def find(
        self,
        embedding: Embedding,
        prompts: Sequence[ObjectPrompt],
        choice: MaskChoice,
        index: int = 0,
        size: tuple[int, int] | None = None,
    ) -> list[list[Instance]]:
        """The instances of each prompt in an embedded frame; size: (H, W) of the masks to be made,
        the frame's own where None."""
        if not prompts:
            return []
        self.need(Part.DECODER, len(prompts))
        candidates = self._decode(embedding, prompts, choice)
        return self._instances(prompts, candidates, choice, size or embedding.size, index)

    def for_decoder(self, embedding: Embedding) -> Embedding:
        """What decoding reads of an embedding, where it is read: for many calls of `propose`."""
        self.need(Part.DECODER, 1)
        return self.engine.for_decoder(embedding)

    def propose(self, embedding: Embedding, prompts: Sequence[ObjectPrompt]) -> list[Candidates]:
        """All candidates for each object, as the engine gives them."""
        self.need(Part.DECODER, len(prompts))
        self.counters.decodes += 1
        return self.engine.decode(embedding, prompts, multimask=True)

    def _decode(
        self, embedding: Embedding, prompts: Sequence[ObjectPrompt], choice: MaskChoice
    ) -> list[Candidates]:
        """Decode all prompts, those that want several candidates apart from those that want one.

        A single click is ambiguous, so its candidates compete by score; other prompts use the
        model's single-mask output, as the official SAM predictors advise.
        """
        results: dict[int, Candidates] = {}
        for multimask in (False, True):
            chosen = [
                index
                for index, prompt in enumerate(prompts)
                if (choice is not MaskChoice.BEST or prompt.is_single_click) is multimask
            ]
            if chosen:
                wanted = [prompts[index] for index in chosen]
                decoded = self.engine.decode(embedding, wanted, multimask)
                self.counters.decodes += 1
                results.update(zip(chosen, decoded, strict=True))
        return [results[index] for index in range(len(prompts))]

    def _instances(
        self,
        prompts: Sequence[ObjectPrompt],
        candidates: Sequence[Candidates],
        choice: MaskChoice,
        size: tuple[int, int],
        frame: int,
    ) -> list[list[Instance]]:
        # By score, only what is kept has to be brought to the image's size.
        ranked = [_ranked(scores, choice) for scores in _scores(candidates)]
        logits = (
            each.logits[row : row + 1]
            for each, rows in zip(candidates, ranked, strict=True)
            for row, _ in rows
        )
        masks = iter(compact_all(self.engine.to_masks(each, size)[0] for each in logits))
        is_estimate = has_own_scores(self.engine.family)
        instances = []
        for prompt, rows in zip(prompts, ranked, strict=True):
            found = [
                Instance(next(masks), score, prompt.label, frame, prompt.number, is_estimate)
                for _, score in rows
            ]
            instances.append([each for each in _choose(found, choice) if each.mask])
        return instances


@dataclass(frozen=True)
class SegmentedFrame:
    """A frame ([H, W, 3] float32, 0..1), its place in the batch, its key in the embedding cache,
    and the objects of each of its prompts."""

    index: int
    pixels: Tensor
    key: str
    found: list[list[Instance]]

    @property
    def instances(self) -> list[Instance]:
        """All objects, in the order of the prompts."""
        return list(chain.from_iterable(self.found))


def segment_frames(
    segmenter: Segmenter,
    image: Tensor,
    prompts: Sequence[Sequence[ObjectPrompt]],
    choice: MaskChoice,
) -> Iterator[SegmentedFrame]:
    """Each frame of an IMAGE [B, H, W, C] with the instances of its prompts.

    prompts: of every frame.
    """
    segmenter.cache.begin_run()
    for frame in segmenter.embed_all(rgb_frames(image)):
        found = segmenter.find(frame.embedding, prompts[frame.index], choice, frame.index)
        yield SegmentedFrame(frame.index, frame.pixels, frame.embedding.key, found)


@dataclass(frozen=True)
class Finder:
    """What understands words, with the model that embeds images for it."""

    embedder: Embedder
    detector: Detector

    def find(
        self, frame: Tensor, phrases: Sequence[str], threshold: float
    ) -> tuple[str, list[Detections]]:
        """A frame's key, and what each phrase names in it ([H, W, 3] float32, 0..1)."""
        ((seen, found),) = self.find_all([(0, frame)], phrases, threshold)
        return seen.embedding.key, list(found)

    def find_all(
        self,
        frames: Iterable[tuple[int, Tensor]],
        phrases: Sequence[str],
        threshold: float,
        examples: ExamplesOn = no_examples,
    ) -> Iterator[tuple[EmbeddedFrame, Iterable[Detections]]]:
        """Frames, as for `embed_all`, and what each phrase names in them.

        examples: the boxes beside each phrase on a frame. What was found is walked before the next
        frame is asked for, and phrase by phrase, see `Detector.detect`. Raises InputError for boxes
        that the detector cannot take.
        """
        for frame in self.embedder.embed_all(frames):
            self.embedder.need(Part.ENCODER, 1)
            boxes = examples(frame.index)
            yield frame, detect(self.detector, frame.embedding, phrases, threshold, boxes)


def _check_finite(embeddings: Sequence[Embedding]) -> None:
    features = [feature for each in embeddings for feature in each.features]
    # One question to the device, and not one for each tensor.
    if not torch.stack([torch.isfinite(feature).all() for feature in features]).all():
        # What detectors of known classes keep is worked out in fp32, of what an encoder gave them.
        types = {feature.dtype for feature in features} - {torch.float32}
        dtype = "".join(f" in {each}".replace("torch.", "") for each in types)
        raise EngineError(
            f"precision: the image encoder overflowed{dtype}. Choose bf16 or fp32 in Load SAM."
        )


def _scores(candidates: Sequence[Candidates]) -> list[list[float]]:
    """The scores of each object's candidates, brought from the device together."""
    if not candidates:
        return []
    scores = iter(torch.cat([each.scores for each in candidates]).tolist())
    return [[next(scores) for _ in range(len(each.scores))] for each in candidates]


def _ranked(scores: Sequence[float], choice: MaskChoice) -> list[tuple[int, float]]:
    """The candidates that a choice looks at, best first: their rows, and their scores in 0..1.

    They are ranked as the engine estimates them, and reported as an IoU can be.
    """
    order = sorted(range(len(scores)), key=lambda row: -scores[row])
    considered = order[:1] if choice is MaskChoice.BEST else order
    return [(row, min(max(scores[row], 0.0), 1.0)) for row in considered]


def _choose(found: list[Instance], choice: MaskChoice) -> list[Instance]:
    """Those of an object's candidates, best first, that a choice keeps."""
    if choice in (MaskChoice.BEST, MaskChoice.ALL):
        return found
    areas = [each.mask.pixel_count() for each in found]
    if choice is MaskChoice.LARGEST:
        return [found[areas.index(max(areas))]]
    # An empty candidate is no answer to "smallest" as long as another one found something.
    return [found[areas.index(min(area for area in areas if area or not any(areas)))]]
