"""Reads prompts from text and from sockets: the `points` JSON, KJNodes' strings, boxes, SEGS.

The formats are listed in `parse_points`, `parse_coords` and `parse_boxes`.
`tests/vectors/points.json` is the table of examples that this parser and the editor's share.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, NoReturn

from ..errors import InputError
from ..segs import is_segs
from .fitting import below, check_unit, fit, from_fractions, rescale
from .names import LAST_NUMBER, read_names
from .painted import read_masks
from .prompts import Box, Point, Prompts
from .segs_boxes import segs_boxes

_VERSION = 1
_UNITS = ("pixel", "fraction")
_POINT_FORMATS = (
    'Accepted: [[x, y], ...], [{"x": .., "y": .., "label": 1}], one list of points per object, '
    '{"points": [...], "boxes": [...], "size": [W, H]}, {"positive": [...], "negative": [...]} or '
    "boxes as {x, y, width, height}"
)
_BOX_FORMATS = (
    "Accepted: {x, y, width, height}, (x1, y1, x2, y2), a list of boxes, one list per image, or "
    "SEGS"
)


def parse_points(text: str, size: tuple[int, int], name: str = "points") -> Prompts:
    """Read the `points` input for an image of size (H, W).

    Accepts "" and [] (no prompt); the editor's object (version, size, points, boxes, masks, which
    `read_masks` reads); a bare list of its points; [x, y]; [[x, y], ...]; one list of [x, y] per
    object; KJNodes' {"positive": [], "negative": []}; a box as {x, y, width, height} or a list of
    them, also mixed with points. A point or box written with names may have a "frame": see
    `check_frames`.
    Pixels of the image unless `size`, [W, H] from 1, names another one, which then is scaled, or
    `unit` is "fraction", 0..1 of the image's sides. `names` says what objects are called, by their
    numbers. Boxes are cut off at the image's edge. Raises InputError, naming the entry, for text
    that is not JSON, another shape, a label other than 0 or 1, a frame that is no whole number from
    0, a name that says nothing, a point outside the image, a box of which nothing is inside, and
    for numbers without size and unit that `check_unit` cannot tell from fractions.
    """
    value = _load_json(text, name)
    if value in (None, "", [], {}):
        return Prompts()
    if isinstance(value, dict) and not _is_box(value) and "x" not in value:
        return _parse_object(value, size, name)
    prompts = _parse_list(value, name)
    check_unit(prompts, name)
    return fit(prompts, size, name)


def parse_coords(
    positive: str | None, negative: str | None, size: tuple[int, int]
) -> tuple[tuple[Point, ...], tuple[Point, ...]]:
    """Read KJNodes' two coordinate strings, JSON lists of {x, y}, for an image of size (H, W).

    Its "normalize" option sends fractions: where all values of both strings lie within 0..1 and
    not all are whole, they are scaled to pixels. Raises InputError like `parse_points`.
    """
    height, width = size
    points = [
        replace(point, positive=is_positive, object=0, frame=None)
        for text, is_positive, name in (
            (positive, True, "positive_coords"),
            (negative, False, "negative_coords"),
        )
        for point in _coordinate_list(text, name)
    ]
    values = [value for point in points for value in (point.x, point.y)]
    is_fraction = all(0 <= value <= 1 for value in values)
    if is_fraction and not all(value.is_integer() for value in values):
        points = [
            replace(point, x=below(point.x * width, width), y=below(point.y * height, height))
            for point in points
        ]
    for is_positive, name in ((True, "positive_coords"), (False, "negative_coords")):
        own = tuple(point for point in points if point.positive is is_positive)
        fit(Prompts(own), size, name)
    return (
        tuple(point for point in points if point.positive),
        tuple(point for point in points if not point.positive),
    )


def parse_boxes(
    value: Any, batch: int, size: tuple[int, int], name: str = "bboxes"
) -> list[Prompts]:
    """Read a BOUNDING_BOX, BBOX or SEGS socket for a batch of images of size (H, W), per frame.

    Accepts {x, y, width, height}, a list of those, one such list per frame, (x1, y1, x2, y2) in
    place of the dicts, and SEGS, whose boxes are scaled from the size that it names. A box's text
    label names its instance. Boxes are cut off at the image's edge, which detectors overstep.
    Raises InputError for other shapes, a number of lists that fits neither 1 nor the batch, or a
    box of which nothing is inside the image.
    """
    lists = parse_box_lists(value, batch, size, name)
    return lists * batch if len(lists) == 1 else lists


def parse_box_lists(
    value: Any, batch: int, size: tuple[int, int], name: str = "bboxes"
) -> list[Prompts]:
    """The same as they are given: one for all frames, or one for each."""
    if value is None:
        return [Prompts()]
    if is_segs(value):
        return [segs_boxes(value, size, name)]
    value = value.tolist() if hasattr(value, "tolist") else value
    frames = _boxes_per_frame(value, batch, name)
    return [
        fit(
            Prompts(boxes=tuple(_box(box, f"{name}[{i}]") for i, box in enumerate(boxes))),
            size,
            name,
        )
        for boxes in frames
    ]


def coords_text(points: Iterable[Point]) -> str:
    """Points as KJNodes and the host's nodes read them: a JSON list of {x, y}, whole pixels."""
    return json.dumps([{"x": int(point.x), "y": int(point.y)} for point in points])


def box_dicts(boxes: Iterable[Box]) -> list[dict[str, int]]:
    """Boxes as the host's BOUNDING_BOX: {x, y, width, height}, the whole pixels they touch."""
    corners = [(int(box.x1), int(box.y1), math.ceil(box.x2), math.ceil(box.y2)) for box in boxes]
    return [{"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1} for x1, y1, x2, y2 in corners]


def _load_json(text: str | None, name: str) -> Any:
    if text is None:
        return None
    if not isinstance(text, str):
        raise InputError(
            f"{name}: found a {type(text).__name__}, a text is expected. {_POINT_FORMATS}."
        )
    if not text.strip():
        return None
    try:
        value = json.loads(text)
        # KJNodes sends an empty list as a JSON string within the string.
        return json.loads(value) if isinstance(value, str) and value else value
    except json.JSONDecodeError as error:
        raise InputError(
            f"{name}: not valid JSON ({error.msg} at line {error.lineno}, column {error.colno}). "
            f"{_POINT_FORMATS}."
        ) from error
    except (ValueError, RecursionError) as error:
        reason = "too long a number or too deeply nested"
        raise InputError(f"{name}: not usable JSON ({reason}). {_POINT_FORMATS}.") from error


def _fail(name: str, found: Any, wanted: str, formats: str = _POINT_FORMATS) -> NoReturn:
    raise InputError(f"{name}: found {_shown(found)}, {wanted}. {formats}.")


def _shown(value: Any) -> str:
    """A value as JSON, cut off where it is long; its type where it cannot be written as JSON."""
    try:
        shown = json.dumps(value, default=str)
    except (TypeError, ValueError, RecursionError):
        # Keys that are no text, a list that holds itself, thousands of digits, too many levels.
        return f"a {type(value).__name__} that JSON cannot hold"
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _parse_object(value: dict, size: tuple[int, int], name: str) -> Prompts:
    """An object of points, boxes, masks, positive, negative, of which all are optional but one."""
    if value.get("version", _VERSION) != _VERSION:
        _fail(f"{name}.version", value["version"], f"this pack reads version {_VERSION}")
    if not value.keys() & {"points", "boxes", "masks", "positive", "negative"}:
        _fail(name, value, "points, boxes, masks, positive or negative are expected")
    points = list(_points(value.get("points"), f"{name}.points"))
    for key in ("positive", "negative"):
        points += [
            replace(point, positive=key == "positive")
            for point in _points(value.get(key), f"{name}.{key}")
        ]
    boxes = value.get("boxes") or []
    if not isinstance(boxes, list):
        _fail(f"{name}.boxes", boxes, "a list is expected")
    prompts = Prompts(
        tuple(points),
        tuple(_framed_box(box, f"{name}.boxes[{i}]", 0) for i, box in enumerate(boxes)),
        read_names(value.get("names"), f"{name}.names"),
        read_masks(value.get("masks"), size, f"{name}.masks"),
    )
    source = _source_size(value.get("size"), name)
    unit = value.get("unit")
    if unit not in (None, *_UNITS):
        _fail(f"{name}.unit", unit, 'the unit is "pixel" or "fraction"')
    if unit == "fraction":
        return from_fractions(prompts, size, name)
    if unit is None and source is None:
        check_unit(prompts, name)
    return rescale(fit(prompts, source or size, name), source, size)


def _parse_list(value: Any, name: str) -> Prompts:
    """A point, a box, or a list of points, boxes and, one per object, lists of them."""
    if isinstance(value, dict) or _is_pair(value):
        value = [value]
    if not isinstance(value, list):
        _fail(name, value, "a list or an object is expected")
    if value and all(_is_number(entry) for entry in value):
        _fail(name, value, "a point has two numbers, x and y")
    prompts = Prompts()
    group = 0
    for index, entry in enumerate(value):
        place = f"{name}[{index}]"
        if isinstance(entry, list) and not _is_pair(entry) and all(map(_is_entry, entry)):
            for inner, each in enumerate(entry):
                prompts += _entry(each, f"{place}[{inner}]", group)
            group += 1
        else:
            prompts += _entry(entry, place, 0)
    return prompts


def _entry(value: Any, name: str, number: int) -> Prompts:
    if _is_box(value):
        return Prompts(boxes=(_framed_box(value, name, number),))
    return Prompts((_point(value, name, number),))


def _points(value: Any, name: str) -> Iterable[Point]:
    if value is None:
        return
    if not isinstance(value, list):
        _fail(name, value, "a list of points is expected")
    for index, point in enumerate(value):
        yield _point(point, f"{name}[{index}]")


def _coordinate_list(text: str | None, name: str) -> Iterable[Point]:
    value = _load_json(text, name)
    if value in (None, "", [], {}):
        return ()
    return _points([value] if isinstance(value, dict) else value, name)


def _point(value: Any, name: str, number: int = 0) -> Point:
    if isinstance(value, list) and len(value) == 2:
        return Point(_number(value[0], f"{name}.x"), _number(value[1], f"{name}.y"), object=number)
    if _is_box(value):
        _fail(name, value, "this is a box; boxes go under boxes")
    if not isinstance(value, dict) or "x" not in value or "y" not in value:
        _fail(name, value, "a point is [x, y] or an object with x and y")
    return Point(
        _number(value["x"], f"{name}.x"),
        _number(value["y"], f"{name}.y"),
        _polarity(value.get("label", 1), f"{name}.label"),
        _object_number(value.get("object", number), f"{name}.object"),
        _frame_number(value.get("frame"), f"{name}.frame"),
    )


def _framed_box(value: Any, name: str, number: int) -> Box:
    """A box of a text; those of a socket are on a frame by their place in it."""
    box = _box(value, name, number)
    if not isinstance(value, dict):
        return box
    return replace(box, frame=_frame_number(value.get("frame"), f"{name}.frame"))


def _box(value: Any, name: str, number: int = 0) -> Box:
    if isinstance(value, list | tuple) and len(value) == 4:
        x1, y1, x2, y2 = (_number(entry, name, _BOX_FORMATS) for entry in value)
        return _ordered_box(Box(x1, y1, x2, y2, object=number), value, name)
    if not isinstance(value, dict) or not {"x", "y", "width", "height"} <= value.keys():
        _fail(name, value, "a box is an object with x, y, width and height", _BOX_FORMATS)
    x, y, width, height = (
        _number(value[key], f"{name}.{key}", _BOX_FORMATS) for key in ("x", "y", "width", "height")
    )
    label = value.get("label", 1)
    is_name = isinstance(label, str)
    box = Box(
        x,
        y,
        x + width,
        y + height,
        positive=True if is_name else _polarity(label, f"{name}.label", _BOX_FORMATS),
        object=_object_number(value.get("object", number), f"{name}.object"),
        name=label if is_name else "",
    )
    return _ordered_box(box, value, name)


def _ordered_box(box: Box, value: Any, name: str) -> Box:
    if box.x2 <= box.x1 or box.y2 <= box.y1:
        _fail(name, value, "a box needs a width and height above 0", _BOX_FORMATS)
    return box


def _boxes_per_frame(value: Any, batch: int, name: str) -> list[list]:
    """One list for all frames, or one for each."""
    if isinstance(value, dict) or _is_corners(value):
        return [[value]]
    if not isinstance(value, list | tuple):
        _fail(name, value, "boxes are expected", _BOX_FORMATS)
    value = [entry.tolist() if hasattr(entry, "tolist") else entry for entry in value]
    is_nested = bool(value) and all(
        isinstance(entry, list | tuple) and not _is_corners(entry) for entry in value
    )
    if not is_nested:
        return [list(value)]
    if len(value) not in (1, batch):
        raise InputError(
            f"{name}: found {len(value)} lists of boxes for {batch} images; accepted is one list "
            "for all images or one for each. Connect boxes made from the same batch."
        )
    return [list(boxes) for boxes in value]


def _source_size(value: Any, name: str) -> tuple[float, float] | None:
    """The (H, W) that an editor's `size`, [W, H], names."""
    if value is None:
        return None
    wanted = "the size is [width, height], from 1 pixel"
    if not _is_pair(value):
        _fail(f"{name}.size", value, wanted)
    width, height = (_number(side, f"{name}.size") for side in value)
    # No image is smaller, and scaling from next to nothing has no finite result.
    if width < 1 or height < 1:
        _fail(f"{name}.size", value, wanted)
    return height, width


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _is_corners(value: Any) -> bool:
    is_four = isinstance(value, list | tuple) and len(value) == 4
    return is_four and all(map(_is_number, value))


def _is_box(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.keys() & {"width", "height"})


def _is_entry(value: Any) -> bool:
    return isinstance(value, list | dict)


def _number(value: Any, name: str, formats: str = _POINT_FORMATS) -> float:
    try:
        number = float(value) if _is_number(value) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        _fail(name, value, "a finite number is expected", formats)
    return number


def _polarity(value: Any, name: str, formats: str = _POINT_FORMATS) -> bool:
    if value is None:
        return True
    if not _is_number(value) or value not in (0, 1):
        _fail(name, value, "the label is 1 (on the object) or 0 (not the object)", formats)
    return value == 1


def _object_number(value: Any, name: str) -> int:
    return _whole_number(value, name, "the object is a whole number from 0")


def _frame_number(value: Any, name: str) -> int | None:
    if value is None:
        return None
    return _whole_number(value, name, "the frame is a whole number from 0")


def _whole_number(value: Any, name: str, wanted: str) -> int:
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or not 0 <= int(value) <= LAST_NUMBER:
        _fail(name, value, wanted)
    return int(value)
