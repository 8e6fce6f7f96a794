"""Brings prompts to images: scaled from another size, checked against edges and frames."""

from __future__ import annotations

import math
from dataclasses import replace

from ..errors import InputError
from .prompts import Prompts


def rescale(prompts: Prompts, source: tuple[float, float] | None, size: tuple[int, int]) -> Prompts:
    """Scale prompts from an image of one size (H, W), in which they lie, to another."""
    if source is None:
        return prompts
    height, width = size
    sx, sy = width / source[1], height / source[0]
    return replace(
        prompts,
        points=tuple(
            replace(p, x=below(p.x * sx, width), y=below(p.y * sy, height)) for p in prompts.points
        ),
        boxes=tuple(
            replace(
                b,
                x1=b.x1 * sx,
                y1=b.y1 * sy,
                x2=min(b.x2 * sx, width),
                y2=min(b.y2 * sy, height),
            )
            for b in prompts.boxes
        ),
    )


def from_fractions(prompts: Prompts, size: tuple[int, int], name: str) -> Prompts:
    """Scale prompts in fractions, 0..1 of the image's sides, to an image of size (H, W).

    Raises InputError for what lies outside the image; boxes are cut off at its edge.
    """
    for index, point in enumerate(prompts.points):
        if not (0 <= point.x <= 1 and 0 <= point.y <= 1):
            raise InputError(
                f"{name}: point {index} at ({point.x:g}, {point.y:g}) lies outside the image; "
                'accepted with "unit": "fraction" are numbers from 0 to 1. Move it, or leave the '
                "unit out where these are pixels."
            )
    boxes = fit(Prompts(boxes=prompts.boxes), (1.0, 1.0), name).boxes
    return rescale(replace(prompts, boxes=boxes), (1.0, 1.0), size)


def check_unit(prompts: Prompts, name: str) -> None:
    """Raise InputError for prompts that may be pixels or fractions: all numbers are within 0..1,
    and not all are whole."""
    values = [value for point in prompts.points for value in (point.x, point.y)]
    values += [side for box in prompts.boxes for side in (box.x1, box.y1, box.x2, box.y2)]
    if all(0 <= value <= 1 for value in values) and not all(map(float.is_integer, values)):
        raise InputError(
            f"{name}: found only numbers within 0..1, which may be fractions of the image or "
            'pixels. Accepted: {"unit": "fraction", "points": [[0.5, 0.5]]} for fractions, '
            '{"unit": "pixel", "points": [[0.5, 0.5]]} for pixels.'
        )


def below(value: float, limit: float) -> float:
    """Rounding must not carry a point over the image's edge."""
    return min(value, math.nextafter(limit, 0.0))


def fit(prompts: Prompts, size: tuple[float, float], name: str) -> Prompts:
    """Refuse points outside an image of size (H, W); cut boxes off at its edge."""
    height, width = size
    for index, point in enumerate(prompts.points):
        if not (0 <= point.x < width and 0 <= point.y < height):
            raise InputError(
                f"{name}: point {index} at ({point.x:g}, {point.y:g}) lies outside the image, "
                f"which is {width:g} wide and {height:g} high; accepted are 0 <= x < {width:g} and "
                f'0 <= y < {height:g}. Move it, or give the "size" of the image it was made on.'
            )
    boxes = []
    for index, box in enumerate(prompts.boxes):
        if box.x1 >= width or box.y1 >= height or box.x2 <= 0 or box.y2 <= 0:
            raise InputError(
                f"{name}: box {index} from ({box.x1:g}, {box.y1:g}) to ({box.x2:g}, {box.y2:g}) "
                f"lies outside the image, which is {width:g} wide and {height:g} high. Move it, or "
                'give the "size" of the image it was made on.'
            )
        corners = {"x1": max(box.x1, 0.0), "y1": max(box.y1, 0.0)}
        boxes.append(replace(box, **corners, x2=min(box.x2, width), y2=min(box.y2, height)))
    return replace(prompts, boxes=tuple(boxes))


def check_frames(prompts: Prompts, batch: int, name: str = "points") -> None:
    """Raise InputError for the first prompt on a frame that a batch of images does not have."""
    kinds = (("point", prompts.points), ("box", prompts.boxes), ("mask", prompts.masks))
    for kind, given in kinds:
        for index, prompt in enumerate(given):
            if prompt.frame is not None and prompt.frame >= batch:
                found = (
                    "1 image, frame 0" if batch == 1 else f"{batch} images, frames 0 to {batch - 1}"
                )
                raise InputError(
                    f"{name}: {kind} {index} is on frame {prompt.frame}; the batch has {found}. "
                    "Remove it, give a frame of the batch, or connect the batch it was made on."
                )
