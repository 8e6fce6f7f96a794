"""Masks to look at while prompts are being edited: decoded on the CPU from kept embeddings."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..engines.families import check_prompts, family_named
from ..errors import EmbeddingGone, InputError
from ..pictures.thumbnails import prompt_picture
from ..prompts.formats import parse_points
from ..prompts.inputs import SocketPrompts, join_prompts
from ..prompts.prompts import ObjectPrompt
from ..results.segments import Instance
from .segmenter import MaskChoice, Segmenter, run_length

MAX_PROMPTS = 1000
# Images of one model whose prompts are being edited at the same time: a few clips.
_MAX_SOURCES = 1024
# Of their rough masks.
_MAX_MASK_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Preview:
    """A mask picture (see thumbnails.prompt_picture), and of how many objects it is.

    asked: objects that the prompts show. tried: the first of them that were looked for, fewer where
    the preview was stopped. found: those of them that have a mask.
    """

    png: bytes
    asked: int
    tried: int
    found: int


@dataclass(frozen=True)
class _Source:
    """An image, by its key in the embedding cache, and the prompts that came with its last run."""

    image: str
    sockets: SocketPrompts

    @property
    def nbytes(self) -> int:
        return 0 if self.sockets.mask is None else self.sockets.mask.nbytes


def never() -> bool:
    """The `stop` of a caller that waits for the whole preview."""
    return False


class Previewer:
    """Decodes prompts on images that a segmenter has encoded, in another thread than it works in.

    Make it in the thread that runs the model, for it may copy the decoder from the model's device.
    """

    def __init__(self, segmenter: Segmenter):
        self._cache = segmenter.cache
        self._decoder = Segmenter(segmenter.engine.cpu_decoder())
        self._family = family_named(segmenter.engine.family)
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._lock = threading.Lock()

    def holds(self, image: str) -> bool:
        """Whether an image can be decoded on, by the key of its embedding."""
        return image in self._cache

    def remember(self, image: str, sockets: SocketPrompts) -> str:
        """Note what a run has used: the embedding's key and the frame's prompts beside `points`.

        Returns a key for `preview` that goes with their content.
        """
        if sockets.mask is not None:
            # A frame of a batch would keep the whole batch in memory.
            sockets = replace(sockets, mask=sockets.mask.cpu().clone())
        key = hashlib.sha256(f"{image} {_content(sockets)}".encode()).hexdigest()
        with self._lock:
            self._sources[key] = _Source(image, sockets)
            self._sources.move_to_end(key)
            while len(self._sources) > 1 and self._is_full():
                self._sources.popitem(last=False)
        return key

    def _is_full(self) -> bool:
        held = sum(source.nbytes for source in self._sources.values())
        return len(self._sources) > _MAX_SOURCES or held > _MAX_MASK_BYTES

    def preview(
        self,
        key: str,
        points: str,
        choice: MaskChoice,
        side: int,
        stop: Callable[[], bool] = never,
    ) -> Preview:
        """Decode the text of a `points` input on a remembered image.

        side: the longest side of the picture in pixels; it is never larger than the image. stop is
        asked between groups of objects; where it says so, the preview is of those before.
        Raises EmbeddingGone where the key or its embedding is not kept, InputError for prompts that
        cannot be used or are more than MAX_PROMPTS.
        """
        with self._lock:
            source = self._sources.get(key)
        embedding = self._cache.get(source.image) if source else None
        if source is None or embedding is None:
            raise EmbeddingGone("This image is not encoded, or no longer. Run the node once.")
        prompts = self._read(points, source.sockets, embedding.size)
        size = _fit(embedding.size, side)
        length = run_length(self._decoder.engine)
        found: list[list[Instance]] = []
        while len(found) < len(prompts) and not (found and stop()):
            group = prompts[len(found) : len(found) + length]
            found += self._decoder.find(embedding, group, choice, size=size)
        layers = [(each.id, each.mask) for instances in found for each in instances]
        png = prompt_picture(layers, size)
        return Preview(png, len(prompts), len(found), sum(map(bool, found)))

    def _read(
        self, points: str, sockets: SocketPrompts, size: tuple[int, int]
    ) -> list[ObjectPrompt]:
        given = parse_points(points, size)
        if len(given.points) + len(given.boxes) > MAX_PROMPTS:
            raise InputError(
                f"points: found {len(given.points) + len(given.boxes)} prompts; a preview takes "
                f"{MAX_PROMPTS}. Remove some, or run the node without the preview."
            )
        most = max(1, _MAX_MASK_BYTES // (4 * size[0] * size[1]))
        if len(given.masks) > most:
            raise InputError(
                f"points: found {len(given.masks)} painted masks; a preview of an image of this "
                f"size takes {most}. Remove some, or run the node without the preview."
            )
        prompts = join_prompts(given, sockets)
        check_prompts(self._family, [prompts])
        return prompts


def _content(sockets: SocketPrompts) -> str:
    mask = sockets.mask
    digest = "" if mask is None else hashlib.sha256(mask.contiguous().numpy().data).hexdigest()
    return f"{sockets.frame} {sockets.prompts} {sockets.negative} {sockets.alone} {digest}"


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(H, W) shrunk so that the longest side is at most `side`."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
