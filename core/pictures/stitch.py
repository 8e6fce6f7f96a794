"""Putting crops back into their images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..masks.distance import is_soft, move_contour, move_levels
from ..masks.inputs import image_frames
from ..tensors import image_size, rgb_frame
from .crops import Place, resize


@dataclass(frozen=True)
class Stitch:
    """What is needed to put crops back.

    image: IMAGE [1 or batch, H, W, C], as it came, not a copy. batch: number of images. places:
    where the crops lie. crops: as they were handed out, [1, h, w, 3] float32, 0..1, one for each
    place.
    """

    image: Tensor
    batch: int
    places: tuple[Place, ...]
    crops: tuple[Tensor, ...]

    @property
    def has_objects(self) -> bool:
        """Whether anything can change: else its one crop stands in for none."""
        return any(place.masks for place in self.places)


def divide_pictures(stitches: Sequence[Stitch], images: Sequence[Tensor]) -> list[list[Tensor]]:
    """What came back for each stitch, in order: [h, w, 3] float32, 0..1, for each of its crops.

    images: IMAGE tensors, of one picture or a batch each, and of any size. Raises InputError where
    there are not as many pictures as crops, and as `rgb_frame`.
    """
    pictures = [
        rgb_frame(image, index) for image in images for index in range(image_size(image)[0])
    ]
    counts = [len(stitch.places) for stitch in stitches]
    if len(pictures) != sum(counts):
        raise InputError(
            f"image: found {len(pictures)} pictures for {sum(counts)} crops; accepted is one "
            "picture for each crop, in their order. Let every crop come through as one picture, "
            "and connect image and stitch to the same Crop Segments."
        )
    remaining = iter(pictures)
    return [[next(remaining) for _ in range(count)] for count in counts]


def stitch_frames(
    stitch: Stitch, pictures: Sequence[Tensor], feather: float, out: Tensor
) -> Iterator[Tensor]:
    """Put crops back, frame by frame.

    pictures: what has become of each crop, [h, w, 3] float32, 0..1; one of another size than its
    rectangle is resized to it. feather: how far outside of the objects' masks the pictures fade
    out, in pixels of the image; what is farther away does not change at all. out: [batch, H, W, 3]
    float32, into which the frames are written; they are given back one by one, as views of it.

    Where crops overlap, the one with the smaller objects is on top. Raises InputError for NaN in
    the image.
    """
    frames = image_frames(stitch.image, stitch.batch)
    for index, frame in enumerate(out):
        original = rgb_frame(frames, index)
        frame.copy_(original)
        for number in _order(stitch.places, index):
            place = stitch.places[number]
            rows, columns = place.within((frame.shape[0], frame.shape[1]))
            inside, part = frame[rows, columns], _shifted(rows, columns, place)
            if _is_untouched(pictures[number], stitch.crops[number][0]):
                # Resizing would blur what stands for the image's own pixels.
                content = original[rows, columns]
            else:
                content = resize(pictures[number], (place.height, place.width))[part].to(frame)
            weight = _faded(place.mask(), feather)[part].to(frame)
            torch.lerp(inside, content, weight[..., None], out=inside)
        yield frame


def _order(places: Sequence[Place], frame: int) -> list[int]:
    """Which places are in a frame, those with the larger objects first."""
    numbers = [number for number, place in enumerate(places) if place.frame == frame]
    return sorted(numbers, key=lambda number: -places[number].area())


def _is_untouched(picture: Tensor, crop: Tensor) -> bool:
    return picture.shape == crop.shape and torch.equal(picture.to(crop.device), crop)


def _shifted(rows: slice, columns: slice, place: Place) -> tuple[slice, slice]:
    """Rows and columns of the image as those of the place's rectangle."""
    return (
        slice(rows.start - place.top, rows.stop - place.top),
        slice(columns.start - place.left, columns.stop - place.left),
    )


def _faded(mask: Tensor, feather: float) -> Tensor:
    """A mask [H, W] float32, 0..1, that fades out over `feather` pixels outside of itself.

    Inside nothing is taken away: there the old object would show through.
    """
    if feather <= 0:
        return mask
    move = move_levels if is_soft(mask) else move_contour
    return torch.maximum(mask, move(mask, feather / 2, max(1.0, feather)))
