"""How much memory tensors take at a time, counted while code runs, whatever the device.

On the device `meta`, where tensors have no numbers, official models are counted in seconds.
"""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that are made while it is on, and of those that still live.

    peak: the most at a time. What was there before, such as weights, does not count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._live = 0
        # Held, so that nothing that is made later takes their places.
        self._before: dict[int, torch.UntypedStorage] = {}
        self._sizes: dict[int, int] = {}
        self._owners: Counter[int] = Counter()
        self._tensors: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in _tensors((args, kwargs)):
            if (storage := _storage(tensor)) not in self._sizes:
                self._before[storage] = tensor.untyped_storage()
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            self._note(tensor)
        return result

    def _note(self, tensor: torch.Tensor) -> None:
        storage = _storage(tensor)
        if storage in self._before or id(tensor) in self._tensors:
            return
        if not self._owners[storage]:
            self._sizes[storage] = tensor.untyped_storage().nbytes()
            self._live += self._sizes[storage]
            self.peak = max(self.peak, self._live)
        self._owners[storage] += 1
        self._tensors.add(id(tensor))
        weakref.finalize(tensor, self._forget, id(tensor), storage)

    def _forget(self, tensor: int, storage: int) -> None:
        self._tensors.discard(tensor)
        self._owners[storage] -= 1
        if not self._owners[storage]:
            self._live -= self._sizes.pop(storage)


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata
