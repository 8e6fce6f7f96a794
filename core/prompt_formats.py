"""Reads prompts from text and from sockets: the `points` JSON, KJNodes' strings, bounding boxes.

`read_prompts` joins what a node was given; the formats are listed in `parse_points` and
`parse_boxes`. `tests/vectors/points.json` is the table of examples that this parser and the
editor's share.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from torch import Tensor

from .errors import InputError
from .prompts import Box, ObjectPrompt, Point, Prompts, group_by_object
from .tensors import mask_frames

ACCEPTED = (
    'Accepted: [[x, y], ...], [{"x": .., "y": .., "label": 1}], one list of points per object, '
    '{"points": [...], "boxes": [...], "size": [W, H]}, {"positive": [...], "negative": [...]} or '
    "boxes as {x, y, width, height}"
)


@dataclass(frozen=True)
class PromptInputs:
    """The prompt inputs of a node as they arrive; "" and None mean not given."""

    points: str = ""
    positive_coords: str = ""
    negative_coords: str = ""
    bboxes: Any = None
    mask: Tensor | None = None


def read_prompts(
    inputs: PromptInputs, batch: int, size: tuple[int, int]
) -> list[list[ObjectPrompt]]:
    """Join all prompt inputs for a batch of images of size (H, W): a list of objects per frame.

    Points and the two coordinate strings apply to every frame; boxes and masks do too, or there is
    one list or mask for each frame. A mask of zeros is no mask. Raises InputError for whatever
    `parse_points`, `parse_coords`, `parse_boxes` and `mask_frames` refuse.
    """
    common = (
        parse_points(inputs.points, size)
        + parse_coords(inputs.positive_coords, True, size, "positive_coords")
        + parse_coords(inputs.negative_coords, False, size, "negative_coords")
    )
    boxes = parse_boxes(inputs.bboxes, batch, size)
    masks = [None] * batch if inputs.mask is None else mask_frames(inputs.mask, batch, size)
    return [
        group_by_object(common + own, mask if mask is not None and mask.any() else None)
        for own, mask in zip(boxes, masks, strict=True)
    ]


def parse_points(text: str, size: tuple[int, int], name: str = "points") -> Prompts:
    """Read the `points` input for an image of size (H, W).

    Accepts "" and [] (no prompt); the editor's object (version, size, points, boxes); a bare list
    of its points; [x, y]; [[x, y], ...]; one list of [x, y] per object; KJNodes' {"positive": [],
    "negative": []}; a box as {x, y, width, height} or a list of them. Pixels of the image unless
    `size` names another one, which then is scaled. Raises InputError, naming the entry, for text
    that is not JSON, another shape, a label other than 0 or 1, or a place outside the image.
    """
    value = _load_json(text, name)
    if value in (None, "", [], {}):
        return Prompts()
    if isinstance(value, dict):
        prompts = _parse_object(value, size, name)
    else:
        prompts = _parse_list(value, name)
    _check_inside(prompts, size, name)
    return prompts


def parse_coords(text: str, positive: bool, size: tuple[int, int], name: str) -> Prompts:
    """Read KJNodes' coordinate string, a JSON list of {x, y}, for an image of size (H, W).

    Its "normalize" option sends fractions: values that are all within 0..1 and not all whole are
    scaled to pixels. Raises InputError like `parse_points`.
    """
    value = _load_json(text, name)
    if value in (None, "", [], {}):
        return Prompts()
    if isinstance(value, dict):
        value = [value]
    points = _flat_points(value, name)
    if _looks_normalised(points):
        points = [Point(p.x * size[1], p.y * size[0]) for p in points]
    prompts = Prompts(tuple(Point(p.x, p.y, positive) for p in points))
    _check_inside(prompts, size, name)
    return prompts


def parse_boxes(
    value: Any, batch: int, size: tuple[int, int], name: str = "bboxes"
) -> list[Prompts]:
    """Read a BOUNDING_BOX (or BBOX) socket for a batch of images of size (H, W), per frame.

    Accepts {x, y, width, height}, a list of those, one such list per frame, and tuples (x1, y1,
    x2, y2) in place of the dicts. A box's text label names its instance. Raises InputError for
    other shapes, a number of lists that fits neither 1 nor the batch, or a box outside the image.
    """
    if value is None:
        return [Prompts()] * batch
    frames = _boxes_per_frame(value, batch, name)
    prompts = []
    for boxes in frames:
        parsed = Prompts(boxes=tuple(_box(box, f"{name}[{i}]") for i, box in enumerate(boxes)))
        _check_inside(parsed, size, name)
        prompts.append(parsed)
    return prompts


def _load_json(text: str, name: str) -> Any:
    if not text.strip():
        return None
    try:
        value = json.loads(text)
        # KJNodes sends an empty list as a JSON string within the string.
        return json.loads(value) if isinstance(value, str) and value else value
    except json.JSONDecodeError as error:
        raise InputError(
            f"{name}: not valid JSON ({error.msg} at line {error.lineno}, column {error.colno}). "
            f"{ACCEPTED}."
        ) from error


def _fail(name: str, found: Any, wanted: str) -> NoReturn:
    shown = json.dumps(found, default=str)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    raise InputError(f"{name}: found {shown}, {wanted}. {ACCEPTED}.")


def _parse_object(value: dict, size: tuple[int, int], name: str) -> Prompts:
    if "positive" in value or "negative" in value:
        return Prompts(
            tuple(
                Point(point.x, point.y, positive)
                for key, positive in (("positive", True), ("negative", False))
                for point in _flat_points(value.get(key) or [], f"{name}.{key}")
            )
        )
    if "points" not in value and "boxes" not in value:
        return _parse_list([value], name)
    points = value.get("points") or []
    boxes = value.get("boxes") or []
    for key, entries in (("points", points), ("boxes", boxes)):
        if not isinstance(entries, list):
            _fail(f"{name}.{key}", entries, "a list is expected")
    prompts = Prompts(
        tuple(_point(point, f"{name}.points[{i}]") for i, point in enumerate(points)),
        tuple(_box(box, f"{name}.boxes[{i}]") for i, box in enumerate(boxes)),
    )
    return _rescale(prompts, value.get("size"), size, name)


def _parse_list(value: Any, name: str) -> Prompts:
    if not isinstance(value, list):
        _fail(name, value, "a list or an object is expected")
    if all(_is_number(entry) for entry in value):
        return Prompts((_point(value, name),))
    if all(isinstance(entry, dict) and "width" in entry for entry in value):
        return Prompts(boxes=tuple(_box(box, f"{name}[{i}]") for i, box in enumerate(value)))
    if all(_is_list_of_points(entry) for entry in value):
        return Prompts(
            tuple(
                _point(point, f"{name}[{number}][{i}]", number)
                for number, points in enumerate(value)
                for i, point in enumerate(points)
            )
        )
    return Prompts(tuple(_flat_points(value, name)))


def _flat_points(value: Any, name: str) -> list[Point]:
    if not isinstance(value, list):
        _fail(name, value, "a list of points is expected")
    return [_point(point, f"{name}[{index}]") for index, point in enumerate(value)]


def _point(value: Any, name: str, number: int = 0) -> Point:
    if isinstance(value, list) and len(value) == 2:
        return Point(_number(value[0], f"{name}.x"), _number(value[1], f"{name}.y"), object=number)
    if not isinstance(value, dict) or "x" not in value or "y" not in value:
        _fail(name, value, "a point is [x, y] or an object with x and y")
    return Point(
        _number(value["x"], f"{name}.x"),
        _number(value["y"], f"{name}.y"),
        _polarity(value.get("label", 1), f"{name}.label"),
        _object_number(value.get("object", number), f"{name}.object"),
    )


def _box(value: Any, name: str) -> Box:
    if isinstance(value, list | tuple) and len(value) == 4:
        x1, y1, x2, y2 = (_number(entry, name) for entry in value)
        return _ordered_box(Box(x1, y1, x2, y2), value, name)
    if not isinstance(value, dict) or not {"x", "y", "width", "height"} <= value.keys():
        _fail(name, value, "a box is an object with x, y, width and height")
    x, y, width, height = (_number(value[k], f"{name}.{k}") for k in ("x", "y", "width", "height"))
    label = value.get("label", 1)
    is_name = isinstance(label, str)
    box = Box(
        x,
        y,
        x + width,
        y + height,
        positive=True if is_name else _polarity(label, f"{name}.label"),
        object=_object_number(value.get("object", 0), f"{name}.object"),
        name=label if is_name else "",
    )
    return _ordered_box(box, value, name)


def _ordered_box(box: Box, value: Any, name: str) -> Box:
    if box.x2 <= box.x1 or box.y2 <= box.y1:
        _fail(name, value, "a box needs a width and height above 0")
    return box


def _boxes_per_frame(value: Any, batch: int, name: str) -> list[list]:
    if isinstance(value, dict) or (isinstance(value, tuple) and len(value) == 4):
        return [[value]] * batch
    if not isinstance(value, list | tuple):
        _fail(name, value, "boxes are expected")
    is_nested = bool(value) and all(
        isinstance(entry, list | tuple) and not _is_corner_list(entry) for entry in value
    )
    if not is_nested:
        return [list(value)] * batch
    if len(value) not in (1, batch):
        raise InputError(
            f"{name}: found {len(value)} lists of boxes for {batch} images; accepted is one list "
            "for all images or one for each. Connect boxes made from the same batch."
        )
    return [list(boxes) for boxes in value] * (batch if len(value) == 1 else 1)


def _rescale(prompts: Prompts, source: Any, size: tuple[int, int], name: str) -> Prompts:
    if source is None:
        return prompts
    is_pair = isinstance(source, list) and len(source) == 2 and all(map(_is_number, source))
    if not is_pair or min(source) <= 0:
        _fail(f"{name}.size", source, "the size is [width, height] in pixels")
    height, width = size
    sx, sy = width / source[0], height / source[1]
    return Prompts(
        tuple(Point(p.x * sx, p.y * sy, p.positive, p.object) for p in prompts.points),
        tuple(
            Box(b.x1 * sx, b.y1 * sy, b.x2 * sx, b.y2 * sy, b.positive, b.object, b.name)
            for b in prompts.boxes
        ),
    )


def _check_inside(prompts: Prompts, size: tuple[int, int], name: str) -> None:
    height, width = size
    for index, point in enumerate(prompts.points):
        if not (0 <= point.x < width and 0 <= point.y < height):
            raise InputError(
                f"{name}: point {index} at ({point.x:g}, {point.y:g}) lies outside the image, "
                f"which is {width} wide and {height} high; accepted are 0 <= x < {width} and "
                f'0 <= y < {height}. Move it, or give the "size" of the image it was made on.'
            )
    for index, box in enumerate(prompts.boxes):
        if not (0 <= box.x1 and box.x2 <= width and 0 <= box.y1 and box.y2 <= height):
            raise InputError(
                f"{name}: box {index} from ({box.x1:g}, {box.y1:g}) to ({box.x2:g}, {box.y2:g}) "
                f"reaches outside the image, which is {width} wide and {height} high. Move it, or "
                'give the "size" of the image it was made on.'
            )


def _looks_normalised(points: Sequence[Point]) -> bool:
    values = [value for point in points for value in (point.x, point.y)]
    return all(0 <= value <= 1 for value in values) and not all(v.is_integer() for v in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_corner_list(value: Any) -> bool:
    return len(value) == 4 and all(_is_number(entry) for entry in value)


def _is_list_of_points(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, list | dict) for entry in value)


def _number(value: Any, name: str) -> float:
    if not _is_number(value) or not math.isfinite(value):
        _fail(name, value, "a finite number is expected")
    return float(value)


def _polarity(value: Any, name: str) -> bool:
    if isinstance(value, bool) or value not in (0, 1):
        _fail(name, value, "the label is 1 (on the object) or 0 (not the object)")
    return value == 1


def _object_number(value: Any, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        _fail(name, value, "the object is a whole number from 0")
    return value
