"""The embedding cache: an image is encoded once per model, whatever the number of prompts."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

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


@dataclass
class _Entry:
    """An embedding on the CPU, and the number of the run that used it last."""

    embedding: Embedding
    run: int


class EmbeddingCache:
    """A bounded cache of embeddings, held on the CPU; what was used longest ago goes first.

    Bounded by bytes and not by count, since engines differ a hundredfold in what they keep. What a
    run has used stays until the next one begins: of a batch that is larger than the cache the first
    frames are kept, and the next run over it encodes only the others, where a plain LRU would have
    lost each frame just before its turn. One embedding is always kept, whatever its size. One
    cache belongs to one model at one precision, so the key needs the pixels alone. Threads may
    share it.
    """

    def __init__(self, max_bytes: int):
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._run = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._entries

    def begin_run(self) -> None:
        """From here on, what earlier runs have used may go."""
        with self._lock:
            self._run += 1

    def get(self, key: str) -> Embedding | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._use(key, entry)
            return entry.embedding

    def put(self, key: str, embedding: Embedding) -> None:
        """Keep an embedding, unless what this run has used fills the cache already."""
        entry = _Entry(embedding.to("cpu"), self._run)
        with self._lock:
            self._entries.pop(key, None)
            while self._entries and self._total() + embedding.nbytes > self._max_bytes:
                oldest = next(iter(self._entries.values()))
                if oldest.run == self._run:
                    return
                self._entries.popitem(last=False)
            self._use(key, entry)

    def _use(self, key: str, entry: _Entry) -> None:
        entry.run = self._run
        self._entries[key] = entry
        self._entries.move_to_end(key)

    @property
    def nbytes(self) -> int:
        with self._lock:
            return self._total()

    def _total(self) -> int:
        return sum(entry.embedding.nbytes for entry in self._entries.values())
