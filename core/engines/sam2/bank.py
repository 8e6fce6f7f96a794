"""What a tracker keeps of an object, and which of it a frame is told.

Source: `_prepare_memory_conditioned_features` and `select_closest_cond_frames` of the official
implementation (sam2 1.1.0). It keeps every frame; here what no later frame asks for is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from ...cache import key_of

# Maps that a frame is told of, those of key frames not counted, and pointers.
MAPS, POINTERS = 6, 16


@dataclass(frozen=True)
class Trace:
    """What is kept of an object in one frame.

    map: [P, M] bfloat16, the memory of the frame's picture and the object's mask; None where only
    the pointer is left. pointer: [C] float32, what the mask decoder says the object is. key: of all
    that it was made of.
    """

    map: Tensor | None
    pointer: Tensor
    key: str = ""


@dataclass(frozen=True)
class Recall:
    """What a frame is told of an object.

    maps: each with the row of its code among those of time. pointers: each with how many frames it
    is behind, in the direction of the pass. key: of all of it.
    """

    maps: list[tuple[Tensor, int]]
    pointers: list[tuple[Tensor, int]]
    key: str

    @property
    def layout(self) -> tuple[int, int]:
        """Objects with equal layouts can be followed together."""
        return len(self.maps), len(self.pointers)


class Bank:
    """The memory of one object.

    keys: the most key frames that a frame is told of, those nearest to it; None for all.
    """

    def __init__(self, keys: int | None):
        self._most = keys
        self._keys: dict[int, Trace] = {}
        self._recent: dict[int, Trace] = {}

    def __bool__(self) -> bool:
        """Whether there is a key frame."""
        return bool(self._keys)

    def has_key(self, index: int) -> bool:
        return index in self._keys

    def add_key(self, index: int, trace: Trace) -> None:
        self._recent.pop(index, None)
        self._keys[index] = trace

    def add(self, index: int, trace: Trace) -> None:
        """Remember a frame on the way, and forget what is too far from it."""
        self._recent[index] = trace
        for other in list(self._recent):
            distance = abs(index - other)
            if distance >= POINTERS:
                del self._recent[other]
            elif distance > MAPS:
                self._recent[other] = replace(self._recent[other], map=None)

    def forget(self) -> None:
        """All but the key frames."""
        self._recent.clear()

    def recall(self, index: int, step: int, pointers: int) -> Recall:
        """What frame `index` is told in a pass that goes up (step 1) or down (-1).

        pointers: the most that it is told, those of key frames not counted, plus one.
        """
        keys = self._nearest_keys(index)
        near = {at: trace for at, trace in self._keys.items() if at not in keys} | self._recent
        maps = [(trace, MAPS) for trace in keys.values()]
        for distance in range(MAPS, 0, -1):
            trace = near.get(index - step * distance)
            if trace is not None:
                maps.append((trace, distance - 1))
        told = [
            (trace, (index - at) * step) for at, trace in keys.items() if (index - at) * step >= 0
        ]
        for distance in range(1, pointers):
            trace = near.get(index - step * distance)
            if trace is not None:
                told.append((trace, distance))
        return Recall(
            [(trace.map, row) for trace, row in maps if trace.map is not None],
            [(trace.pointer, behind) for trace, behind in told],
            key_of([[(trace.key, place) for trace, place in each] for each in (maps, told)]),
        )

    def _nearest_keys(self, index: int) -> dict[int, Trace]:
        """The key frames that a frame is told of: the next on either side, then the nearest."""
        if self._most is None or len(self._keys) <= self._most:
            return self._keys
        before = [at for at in self._keys if at < index]
        after = [at for at in self._keys if at >= index]
        chosen = [*sorted(before)[-1:], *sorted(after)[:1]]
        others = [at for at in self._keys if at not in chosen]
        others.sort(key=lambda at: abs(at - index))
        chosen += others[: self._most - len(chosen)]
        return {at: self._keys[at] for at in chosen}
