"""Masks to look at while prompts are being edited: decoded on the CPU from kept embeddings."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

from .engines.families import check_prompts, family_named
from .errors import EmbeddingGone, InputError
from .prompt_formats import parse_points
from .prompt_inputs import SocketPrompts, join_prompts
from .segmenter import MaskChoice, Segmenter
from .thumbnails import prompt_picture

MAX_PROMPTS = 1000
# Images of one model whose prompts are being edited at the same time.
_MAX_SOURCES = 16


@dataclass(frozen=True)
class Preview:
    """A picture (see thumbnails.prompt_picture), and how many objects were asked for and found."""

    png: bytes
    asked: int
    found: int


@dataclass(frozen=True)
class _Source:
    """An image, by its key in the embedding cache, and the prompts that came with its last run."""

    image: str
    sockets: SocketPrompts


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
            if len(self._sources) > _MAX_SOURCES:
                self._sources.popitem(last=False)
        return key

    def preview(self, key: str, points: str, choice: MaskChoice, side: int) -> Preview:
        """Decode the text of a `points` input on a remembered image.

        side: the longest side of the picture in pixels; it is never larger than the image.
        Raises EmbeddingGone where the key or its embedding is not kept, InputError for prompts that
        cannot be used or are more than MAX_PROMPTS.
        """
        with self._lock:
            source = self._sources.get(key)
        embedding = self._cache.get(source.image) if source else None
        if embedding is None:
            raise EmbeddingGone("This image is not encoded, or no longer. Run the node once.")
        given = parse_points(points, embedding.size)
        if len(given.points) + len(given.boxes) > MAX_PROMPTS:
            raise InputError(
                f"points: found {len(given.points) + len(given.boxes)} prompts; a preview takes "
                f"{MAX_PROMPTS}. Remove some, or run the node without the preview."
            )
        prompts = join_prompts(given, source.sockets)
        check_prompts(self._family, [prompts])
        size = _fit(embedding.size, side)
        found = self._decoder.find(embedding, prompts, choice, size=size)
        layers = [(each.id, each.mask) for instances in found for each in instances]
        return Preview(prompt_picture(layers, size), len(prompts), sum(map(bool, found)))


def _content(sockets: SocketPrompts) -> str:
    mask = sockets.mask
    digest = "" if mask is None else hashlib.sha256(mask.numpy()).hexdigest()
    return f"{sockets.prompts} {sockets.negative} {sockets.alone} {digest}"


def _fit(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(H, W) shrunk so that the longest side is at most `side`."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
