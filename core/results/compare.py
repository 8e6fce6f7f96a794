"""Two results on the same images beside each other: what both found, and who missed what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..threads import in_threads
from .overlap import Bits, boundary_f, overlap, pack, ratio, shared_pixels, unite
from .segments import Instance, Segments

# Below this IoU two objects touch rather than being the same one seen twice.
SAME_OBJECT = 0.1


@dataclass(frozen=True)
class Pair:
    """One object that both results have. iou, boundary_f: of its two masks, 0..1."""

    a: Instance
    b: Instance
    iou: float
    boundary_f: float

    @property
    def same_label(self) -> bool:
        """Whether the labels are equal, whatever their case."""
        return _same_label(self.a, self.b)


@dataclass(frozen=True)
class FrameComparison:
    """The objects of one frame: those both have, and those that only one has.

    shared, covered: pixels in the unions of both results, and in either's.
    """

    pairs: tuple[Pair, ...]
    only_a: tuple[Instance, ...]
    only_b: tuple[Instance, ...]
    shared: int
    covered: int

    @property
    def union_iou(self) -> float:
        """IoU of all of a's objects together with all of b's, 1 where neither has any."""
        return ratio(self.shared, self.covered)


@dataclass(frozen=True)
class Comparison:
    """Two results, frame by frame and as a whole."""

    frames: tuple[FrameComparison, ...]

    @property
    def pairs(self) -> list[Pair]:
        return [pair for frame in self.frames for pair in frame.pairs]

    @property
    def only_a(self) -> list[Instance]:
        return [instance for frame in self.frames for instance in frame.only_a]

    @property
    def only_b(self) -> list[Instance]:
        return [instance for frame in self.frames for instance in frame.only_b]

    @property
    def objects(self) -> int:
        """All objects, those that both have counted once."""
        return sum(len(each.pairs) + len(each.only_a) + len(each.only_b) for each in self.frames)

    @property
    def iou(self) -> float:
        """The mean IoU over all objects, 0 for one that the other missed; 1 where none are."""
        return sum(pair.iou for pair in self.pairs) / self.objects if self.objects else 1.0

    @property
    def matched_iou(self) -> float | None:
        """The mean IoU of the pairs, None where there are none."""
        return _mean([pair.iou for pair in self.pairs])

    @property
    def boundary_f(self) -> float | None:
        """The mean boundary F-measure of the pairs, None where there are none."""
        return _mean([pair.boundary_f for pair in self.pairs])

    @property
    def j_and_f(self) -> float | None:
        """DAVIS's J&F: the mean of the pairs' mean IoU and mean boundary F-measure, or None."""
        return _mean([(pair.iou + pair.boundary_f) / 2 for pair in self.pairs])

    @property
    def union_iou(self) -> float:
        """IoU of the unions, over the pixels of all frames; 1 where there are no objects."""
        shared = sum(frame.shared for frame in self.frames)
        return ratio(shared, sum(frame.covered for frame in self.frames))


def compare(a: Segments, b: Segments) -> Comparison:
    """Compare two results on the same images; see `compare_frames`."""
    return Comparison(tuple(compare_frames(a, b)))


def compare_frames(a: Segments, b: Segments) -> Iterator[FrameComparison]:
    """Compare two results on the same images, frame by frame.

    In each frame objects are paired one to one, the pair of the highest IoU first, as COCO's
    evaluation does, down to `SAME_OBJECT`: where this differs from the highest total, it keeps
    the pair that an eye would see. Labels need not be equal; they decide between equal IoUs. A
    pixel is inside from 128 up; an object without any is left out, for nothing was found.

    Raises InputError where the number or the size of the images differ.
    """
    _check(a, b)
    frames = list(zip(_filled(a), _filled(b), strict=True))
    return in_threads(lambda index: _compare_frame(*frames[index], a.size), a.batch)


def _check(a: Segments, b: Segments) -> None:
    if (a.batch, a.size) != (b.batch, b.size):
        found = [f"{each.batch} images of {each.size[1]}x{each.size[0]}" for each in (a, b)]
        raise InputError(
            f"segments_a, segments_b: found {found[0]} and {found[1]}; accepted are results of "
            "the same images. Give both segment nodes the same images."
        )


def _filled(segments: Segments) -> list[list[Instance]]:
    """The objects of each frame that have anything inside."""
    frames: list[list[Instance]] = [[] for _ in range(segments.batch)]
    for instance in segments:
        if instance.mask.pixel_count():
            frames[instance.frame].append(instance)
    return frames


def _compare_frame(
    a: Sequence[Instance], b: Sequence[Instance], size: tuple[int, int]
) -> FrameComparison:
    bits_a, bits_b = ([pack(instance.mask) for instance in side] for side in (a, b))
    matches = _match(_candidates(a, b, bits_a, bits_b))
    pairs = tuple(
        Pair(a[row], b[column], iou, boundary_f(a[row].mask, b[column].mask))
        for (row, column), iou in sorted(matches.items())
    )
    rows, columns = {row for row, _ in matches}, {column for _, column in matches}
    union_a, union_b = unite(bits_a, size), unite(bits_b, size)
    shared = shared_pixels(union_a, union_b)
    return FrameComparison(
        pairs=pairs,
        only_a=tuple(each for row, each in enumerate(a) if row not in rows),
        only_b=tuple(each for column, each in enumerate(b) if column not in columns),
        shared=shared,
        covered=union_a.pixels + union_b.pixels - shared,
    )


def _candidates(
    a: Sequence[Instance], b: Sequence[Instance], bits_a: Sequence[Bits], bits_b: Sequence[Bits]
) -> list[tuple[int, int, float]]:
    """Place in a, place in b and IoU of what may be the same object, the best first."""
    found = [
        (row, column, iou)
        for row, one in enumerate(bits_a)
        for column, other in enumerate(bits_b)
        if (iou := overlap(one, other, SAME_OBJECT)) >= SAME_OBJECT
    ]
    return sorted(found, key=lambda each: _rank(a[each[0]], b[each[1]], each[2]))


def _rank(a: Instance, b: Instance, iou: float) -> tuple[float, bool, list[int]]:
    """Sorts pairs, the best first; the order of objects and of the results changes nothing."""
    return -iou, not _same_label(a, b), sorted((a.id, b.id))


def _match(candidates: Sequence[tuple[int, int, float]]) -> dict[tuple[int, int], float]:
    """The IoU of each pair that is kept, by its places: no object is in two."""
    rows: set[int] = set()
    columns: set[int] = set()
    kept = {}
    for row, column, iou in candidates:
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            kept[row, column] = iou
    return kept


def _same_label(a: Instance, b: Instance) -> bool:
    return a.label.strip().casefold() == b.label.strip().casefold()


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
