"""The objects of a clip that are to be followed, and what shows each of them on its key frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import InputError
from ..prompts.prompts import ObjectPrompt
from ..results.compact_mask import CompactMask
from ..results.segments import Segments, compact_soft, match_segments


@dataclass(frozen=True)
class KeyPrompt:
    """What shows an object on one frame.

    asked: clicks and a box. mask: how the object lies there, roughly or exactly; apart from `asked`
    and compact, for there may be one on every frame of a clip.
    """

    asked: ObjectPrompt
    mask: CompactMask | None = None

    @property
    def is_correction(self) -> bool:
        """Clicks alone, which change what is known of the object from other frames."""
        return self.mask is None and self.asked.box is None

    @property
    def is_drawn(self) -> bool:
        """A mask alone: this is the object, and nothing has to be found there."""
        return self.mask is not None and self.asked.box is None and not self.asked.points

    def prompt(self) -> ObjectPrompt:
        """The same as an engine takes it, the mask as [H, W] float32, 0..1."""
        if self.mask is None:
            return self.asked
        return replace(self.asked, mask=self.mask.pixels().float() / 255.0)


@dataclass(frozen=True)
class Subject:
    """An object to follow. number: its id in the result. keys: what shows it, by frame."""

    number: int
    label: str
    keys: Mapping[int, KeyPrompt]


def read_subjects(
    prompts: Mapping[int, Sequence[ObjectPrompt]],
    found: Segments | None,
    batch: int,
    size: tuple[int, int],
) -> list[Subject]:
    """The objects to follow through a clip of so many frames of (H, W), by their numbers.

    prompts: of each key frame, those of a frame with different numbers. found: objects whose frames
    are key frames; those of a single image belong to the first. Prompts with the number of a found
    object belong to that object. Raises InputError for found objects of another number of images.
    """
    keys: dict[int, dict[int, KeyPrompt]] = {}
    labels: dict[int, str] = {}
    for instance in [] if found is None else _placed(found, batch, size):
        key = KeyPrompt(ObjectPrompt(instance.label, number=instance.id), instance.mask)
        keys.setdefault(instance.id, {})[instance.frame] = key
        labels.setdefault(instance.id, instance.label)
    for frame, prompt in ((frame, each) for frame, own in prompts.items() for each in own):
        before = keys.setdefault(prompt.number, {}).get(frame)
        mask = before.mask if before is not None else None
        if prompt.mask is not None:
            mask = compact_soft(prompt.mask)
        keys[prompt.number][frame] = KeyPrompt(replace(prompt, mask=None), mask)
        labels.setdefault(prompt.number, prompt.label)
    return [Subject(number, labels[number], keys[number]) for number in sorted(keys)]


def _placed(found: Segments, batch: int, size: tuple[int, int]) -> Segments:
    """Found objects at the size of the clip."""
    if found.batch not in (1, batch):
        raise InputError(
            f"segments: found objects of {found.batch} images for a clip of {batch}; accepted are "
            "those of the clip itself, or of one image, which is then its first. Segment the "
            "frames that Track Segments gets, or the first of them."
        )
    return match_segments(found, found.batch, size)
