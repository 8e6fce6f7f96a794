"""What was worked out once and may be asked for again, within so many bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import torch
import xxhash
from torch import Tensor


def pixels_key(pixels: Tensor) -> str:
    """A hash of the numbers and the shape of a frame or a mask, on any device.

    XXH3 of 128 bits, which takes a sixth of SHA-256's time: nobody gains by two equal keys.
    """
    digest = xxhash.xxh3_128(str(tuple(pixels.shape)).encode())
    digest.update(pixels.contiguous().cpu().numpy().data)
    return digest.hexdigest()


def key_of(*parts: object) -> str:
    """A hash of what a result depends on: texts, numbers, keys, data classes of these."""
    return xxhash.xxh3_128(repr(parts).encode()).hexdigest()


class Kept(Protocol):
    """What a cache can hold."""

    @property
    def nbytes(self) -> int: ...

    def to(self, device: str) -> Any:
        """The same on a device."""
        ...


@dataclass(frozen=True)
class Tensors:
    """Tensors that belong together."""

    values: tuple[Tensor, ...]

    def to(self, device: torch.device | str) -> Tensors:
        return Tensors(tuple(tensor.to(device) for tensor in self.values))

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.values)


Value = TypeVar("Value", bound=Kept)


@dataclass
class _Entry(Generic[Value]):
    """A value on the CPU, and the number of the run that used it last."""

    value: Value
    run: int


class RunCache(Generic[Value]):
    """A bounded cache, held on the CPU; what was used longest ago goes first.

    Bounded by bytes and not by count, since engines differ a hundredfold in what they keep. What a
    run has used stays until the next one begins: of a batch that is larger than the cache the first
    frames are kept, and the next run over it works out only the others, where a plain LRU would
    have lost each frame just before its turn. One value is always kept, whatever its size. Threads
    may share it.
    """

    def __init__(self, max_bytes: int):
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, _Entry[Value]] = OrderedDict()
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

    def get(self, key: str) -> Value | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._use(key, entry)
            return entry.value

    def put(self, key: str, value: Value) -> None:
        """Keep a value, unless what this run has used fills the cache already."""
        with self._lock:
            self._entries.pop(key, None)
            while self._entries and self._total() + value.nbytes > self._max_bytes:
                oldest = next(iter(self._entries.values()))
                if oldest.run == self._run:
                    return
                self._entries.popitem(last=False)
            self._use(key, _Entry(value.to("cpu"), self._run))

    def _use(self, key: str, entry: _Entry[Value]) -> None:
        entry.run = self._run
        self._entries[key] = entry
        self._entries.move_to_end(key)

    @property
    def nbytes(self) -> int:
        with self._lock:
            return self._total()

    def _total(self) -> int:
        return sum(entry.value.nbytes for entry in self._entries.values())
