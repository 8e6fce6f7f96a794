"""The embedding cache: an image is encoded once per model, whatever the number of prompts."""

from __future__ import annotations

import threading
from collections import OrderedDict

import xxhash
from torch import Tensor

from ..engines.base import Embedding


def frame_key(frame: Tensor) -> str:
    """A hash of a frame's pixels and shape ([H, W, 3] float32, any device).

    XXH3 of 128 bits, which takes a sixth of SHA-256's time: nobody gains by two equal keys.
    """
    digest = xxhash.xxh3_128(str(tuple(frame.shape)).encode())
    digest.update(frame.contiguous().cpu().numpy().data)
    return digest.hexdigest()


class EmbeddingCache:
    """A bounded LRU of embeddings, held on the CPU.

    Bounded by bytes and not by count, since engines differ a hundredfold in what they keep. The
    newest embedding always stays, even where it alone exceeds the bound. One cache belongs to one
    model at one precision, so the key needs the pixels alone. Threads may share it.
    """

    def __init__(self, max_bytes: int):
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, Embedding] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Embedding | None:
        with self._lock:
            embedding = self._entries.get(key)
            if embedding is not None:
                self._entries.move_to_end(key)
            return embedding

    def put(self, key: str, embedding: Embedding) -> None:
        kept = embedding.to("cpu")
        with self._lock:
            self._entries[key] = kept
            self._entries.move_to_end(key)
            while len(self._entries) > 1 and self._total() > self._max_bytes:
                self._entries.popitem(last=False)

    @property
    def nbytes(self) -> int:
        with self._lock:
            return self._total()

    def _total(self) -> int:
        return sum(embedding.nbytes for embedding in self._entries.values())
