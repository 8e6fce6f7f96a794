"""Reads the masks of an answer: pictures of any kind, at any size, become [H, W] uint8.

What is held at a time is bounded by the image that was sent, whatever an answer claims to be: a few
hundred bytes can stand for gigabytes.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..opencv import cv2
from ..results.compact_mask import INSIDE
from ..tensors import resize_mask
from .images import frame_pixels
from .wire import (
    CallFailed,
    Drawn,
    Failure,
    FailureKind,
    FoundMask,
    Reading,
    Url,
    picture_format,
)

# A mask may have so many times the pixels of the image that was sent; a small image's may have as
# many as a picture of 4096 x 4096.
_TIMES = 4
_ALWAYS_PIXELS = 2**24
# The pixels of all masks of an answer together: so many times the image's, and 16 pictures of
# 4096 x 4096 for a small one, 256 for a large one.
_TIMES_IN_ALL = 1024
_FEWEST_IN_ALL, _MOST_IN_ALL = 2**28, 2**32
# Sides may be rounded, to multiples of 8 or by a twentieth; beyond, a mask has another shape.
_ROUNDED_PIXELS = 8
_ROUNDED_SHARE = 0.05
# A mask has few pixels between black and white, and no colour.
_EXTREME = 24
_MASK_SHARE = 0.95
_GREY_SPREAD = 8
# Lossy formats alone move a channel by up to about this much.
_CHANGE = 24
# The changed part of a cut-out on plain ground is one colour.
_PLAIN = 12
# That ground reaches the image's rim nearly everywhere.
_FRAME_SHARE = 0.5
_MANY_VALUES = 16
_MAX_CATEGORIES = 255
# EXIF's tag for how a camera was held, and what turns its picture upright.
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_all(masks: Sequence[FoundMask], frame: Tensor) -> Iterator[tuple[FoundMask, Tensor]]:
    """Read the masks of one answer, one after the other: each with what was found.

    As `read_masks`; raises CallFailed also where they have too many pixels together.
    """
    wanted = _TIMES_IN_ALL * frame.shape[0] * frame.shape[1]
    most, total = min(_MOST_IN_ALL, max(_FEWEST_IN_ALL, wanted)), 0
    for found in masks:
        for array in _arrays(found, frame):
            total += array.size
            if total > most:
                raise _broken(f"its {len(masks):,} masks have more than {most:,} pixels together")
            yield from ((found, mask) for mask in _finished(array, found, frame))


def read_masks(found: FoundMask, frame: Tensor) -> Iterator[Tensor]:
    """Read one found mask for its frame: masks [H, W] uint8, 255 = inside, of the frame's size.

    frame: [H, W, C] of the IMAGE, as it was before it was sent. There are several masks where the
    picture has categories, and none where nothing is inside. Raises CallFailed where the picture is
    broken, of another format, of more pixels than four times the frame's (and than 16 million), of
    another shape, or no mask under the reading that was asked for.
    """
    for array in _arrays(found, frame):
        yield from _finished(array, found, frame)


def _finished(array: NDArray[np.uint8], found: FoundMask, frame: Tensor) -> Iterator[Tensor]:
    """The mask in its place and of the frame's size, unless nothing is inside."""
    if array.any():
        mask = _fit(_place(array, found), (frame.shape[0], frame.shape[1]))
        # NumPy looks no further than to the first one; PyTorch at all of them.
        if mask.numpy().any():
            yield mask


def _arrays(found: FoundMask, frame: Tensor) -> Iterator[NDArray[np.uint8]]:
    content = found.content
    if isinstance(content, Url):
        raise TypeError(f"the picture at {content.address} has to be fetched first")
    if isinstance(content, bytes):
        image = _decode(content, frame)
        if found.canvas is None:
            _check_shape((image.height, image.width), frame)
        yield from _read_picture(image, _is_lossy(content), found.reading, frame)
        return
    size = content.size if isinstance(content, Drawn) else content.shape
    _check_pixels((size[0], size[1]), frame)
    if found.canvas is None:
        _check_shape((size[0], size[1]), frame)
    yield content.draw() if isinstance(content, Drawn) else content


def _check_pixels(size: tuple[int, int], frame: Tensor) -> None:
    most = max(_ALWAYS_PIXELS, _TIMES * frame.shape[0] * frame.shape[1])
    if size[0] * size[1] > most:
        raise _broken(
            f"its mask has {size[1]} x {size[0]} pixels; up to {most:,} are read for an image of "
            f"{frame.shape[1]} x {frame.shape[0]}"
        )


def _check_shape(size: tuple[int, int], frame: Tensor) -> None:
    """Refuse what would have to be stretched: its objects would not lie on those of the image."""
    height, width = frame.shape[0], frame.shape[1]
    scale = size[1] / width
    fitting = height * scale
    rounded = max(1.0, _ROUNDED_PIXELS * min(1.0, scale), _ROUNDED_SHARE * fitting)
    if abs(size[0] - fitting) > rounded:
        raise _broken(
            f"its mask has {size[1]} x {size[0]} pixels, another shape than the image's "
            f"{width} x {height}"
        )


def read_picture(masks: Sequence[FoundMask], frame: Tensor) -> NDArray[np.uint8] | None:
    """The provider's own picture: a cut-out, or the image with a mark on it, at the image's size.

    frame: as `read_masks` gets it. Returns [H, W, 3] uint8, None where there are masks
    alone. Raises CallFailed as `read_masks`.
    """
    for mask in masks:
        if isinstance(mask.content, bytes):
            return _own_picture(mask.content, mask.reading, frame)
    return None


def _own_picture(data: bytes, reading: Reading, frame: Tensor) -> NDArray[np.uint8] | None:
    if reading in (Reading.LUMA, Reading.CATEGORIES):
        return None
    image = _decode(data, frame)
    if _guess(image) is Reading.LUMA:
        return None
    height, width = frame.shape[0], frame.shape[1]
    picture = image.convert("RGB")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _read_picture(
    image: Image.Image, is_lossy: bool, reading: Reading, frame: Tensor
) -> Iterator[NDArray[np.uint8]]:
    if reading is Reading.AUTO:
        reading = _guess(image)
    if reading is Reading.CATEGORIES and not is_lossy:
        yield from _categories(image)
    elif reading is Reading.ALPHA:
        yield _alpha(image)
    elif reading is Reading.DIFFERENCE:
        yield _difference(image, frame)
    else:
        yield _luma(image, is_lossy)


def _decode(data: bytes, frame: Tensor) -> Image.Image:
    """The picture, upright, and in a mode that Pillow converts without fail."""
    name = picture_format(data)
    if name is None:
        start = data[:40].decode("ascii", "replace") if data else "nothing"
        raise _broken(f"a PNG, JPEG or WebP picture is expected, found {start!r}")
    try:
        with warnings.catch_warnings():
            # Of many pixels, of which fewer are taken here, and of damaged notes beside them.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=[name])
            _check_pixels((image.height, image.width), frame)
            image.load()
            image = _upright(image)
        if image.mode == "P" and image.has_transparency_data:
            image = image.convert("RGBA")
    except CallFailed:
        raise
    except Image.DecompressionBombError:
        raise _broken("its picture has hundreds of millions of pixels") from None
    except Exception as error:
        # Pillow raises errors of any kind for damaged pictures.
        what = str(error) or type(error).__name__
        raise _broken(f"its {name} picture is damaged or was cut off ({what})") from error
    return image


def _is_lossy(data: bytes) -> bool:
    """Its values are near those that were meant; WebP comes in both kinds."""
    name = picture_format(data)
    return name == "JPEG" or (name == "WEBP" and b"VP8L" not in data)


def _upright(image: Image.Image) -> Image.Image:
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        # Damaged notes of a camera beside a good picture, of as many kinds as above.
        return image
    return image if turn is None else image.transpose(turn)


def _broken(detail: str) -> CallFailed:
    return CallFailed(Failure(FailureKind.ANSWER, detail))


def _unclear(detail: str) -> CallFailed:
    return CallFailed(Failure(FailureKind.UNCLEAR, detail))


def _guess(image: Image.Image) -> Reading:
    """What a picture most likely is: a cut-out, a mask, or the photograph with a mark on it."""
    if image.has_transparency_data:
        alpha = _alpha(image)
        if alpha.min() != alpha.max():
            return Reading.ALPHA
    return Reading.LUMA if _is_mask(image) else Reading.DIFFERENCE


def _is_mask(image: Image.Image) -> bool:
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")), 2, 0)
    highest = np.maximum(np.maximum(red, green), blue)
    spread = highest - np.minimum(np.minimum(red, green), blue)
    sums = red.astype(np.uint16)
    sums += green
    sums += blue
    extreme = (sums < 3 * _EXTREME) | (sums > 3 * (255 - _EXTREME)) | (sums.max() <= 3)
    return bool(np.mean(extreme & (spread <= _GREY_SPREAD)) >= _MASK_SHARE)


def _alpha(image: Image.Image) -> NDArray[np.uint8]:
    if not image.has_transparency_data:
        raise _unclear("it has no transparency")
    has_channel = image.mode in ("RGBA", "LA")
    return np.asarray((image if has_channel else image.convert("RGBA")).getchannel("A"))


def _luma(image: Image.Image, is_lossy: bool) -> NDArray[np.uint8]:
    grey = _grey(image)
    pixels = np.asarray(grey)
    if is_lossy:
        return np.where(pixels > 127, np.uint8(255), np.uint8(0))
    # Some masks hold 0 and 1, or 0 and a class number.
    highest, inside = int(pixels.max()), cv2.countNonZero(pixels)
    is_hard = np.count_nonzero(pixels == highest) == inside
    if highest == 1 or (is_hard and inside < pixels.size):
        return np.asarray(cv2.threshold(pixels, 0, 255, cv2.THRESH_BINARY)[1], np.uint8)
    return pixels


def _grey(image: Image.Image) -> Image.Image:
    """Brightness in eight bits; what has more of them is spread over the range that it uses."""
    if not image.mode.startswith("I"):
        return image.convert("L")
    wide = np.asarray(image)
    return Image.fromarray(cv2.convertScaleAbs(wide, alpha=255.0 / max(int(wide.max()), 1)))


def _difference(image: Image.Image, frame: Tensor) -> NDArray[np.uint8]:
    """Where a picture differs from the frame; turned round where it differs by plain ground."""
    shown = np.asarray(image.convert("RGB"))
    height, width = shown.shape[:2]
    sent = frame_pixels(frame[None])
    if sent.shape != shown.shape:
        sent = cv2.resize(sent, (width, height), interpolation=cv2.INTER_AREA)
    red, green, blue = cv2.split(cv2.absdiff(shown, sent))
    change = cv2.max(cv2.max(red, green), blue)
    _, rough = cv2.threshold(change, _CHANGE, 255, cv2.THRESH_BINARY)
    changed = np.asarray(cv2.medianBlur(rough, 5), np.uint8)
    if changed.all():
        raise _unclear("every pixel differs from the image that was sent")
    # An object of one colour may be changed into one colour, too, but it does not frame the image.
    is_turned = _is_frame(changed) and _is_plain(shown, changed)
    return ~changed if is_turned else changed


def _is_frame(changed: NDArray[np.uint8]) -> bool:
    """Whether most of the image's rim is within what has changed."""
    rim = np.concatenate([changed[0], changed[-1], changed[:, 0], changed[:, -1]])
    return bool(np.mean(rim > 0) >= _FRAME_SHARE)


def _is_plain(pixels: NDArray[np.uint8], where: NDArray[np.uint8]) -> bool:
    """Nearly all pixels of [H, W, 3] have one colour, among those that are not 0 in [H, W]."""
    count = cv2.countNonZero(where)
    counts = [cv2.calcHist([pixels], [each], where, [256], [0, 256]) for each in range(3)]
    medians = [int(np.searchsorted(np.cumsum(each), count / 2)) for each in counts]
    lowest = tuple(max(0, median - _PLAIN) for median in medians)
    highest = tuple(min(255, median + _PLAIN) for median in medians)
    alike = cv2.bitwise_and(cv2.inRange(pixels, lowest, highest), where)
    return cv2.countNonZero(alike) >= _MASK_SHARE * count


def _categories(image: Image.Image) -> Iterator[NDArray[np.uint8]]:
    """One mask per value of a categorical picture; 0, or else the commonest value, is ground."""
    ids = _category_ids(image)
    values, counts = np.unique(ids, return_counts=True)
    if values.size > _MANY_VALUES and _is_mask(image):
        # The many values are those of a soft edge.
        yield _luma(image, is_lossy=False)
        return
    if values.size > _MAX_CATEGORIES:
        raise _broken(f"its mask holds {values.size} different values")
    ground = 0 if 0 in values else values[counts.argmax()]
    for value in values:
        if value != ground:
            yield (ids == value).astype(np.uint8) * np.uint8(255)


def _category_ids(image: Image.Image) -> NDArray:
    """A number for each pixel: its value, or its colour."""
    if image.mode.startswith("I"):
        return np.asarray(image)
    if image.mode in ("1", "L", "P"):
        return np.asarray(image, np.uint8)
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")), 2, 0)
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return red
    colours = red.astype(np.uint32)
    for channel in (green, blue):
        colours <<= 8
        colours |= channel
    return colours


def _place(array: NDArray[np.uint8], found: FoundMask) -> NDArray[np.uint8]:
    """Put a mask that was cut to its box back into its picture, without what lies outside of it."""
    if found.canvas is None or array.shape == found.canvas:
        return array
    whole = np.zeros(found.canvas, np.uint8)
    x, y = found.origin
    left, right = max(x, 0), min(x + array.shape[1], whole.shape[1])
    top, bottom = max(y, 0), min(y + array.shape[0], whole.shape[0])
    if left < right and top < bottom:
        whole[top:bottom, left:right] = array[top - y : bottom - y, left - x : right - x]
    return whole


def _fit(array: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """Scale a mask to (H, W); one without soft edges stays without."""
    mask = torch.from_numpy(array if array.flags.writeable else array.copy())
    if mask.shape == size:
        return mask
    is_hard = bool(((mask == 0) | (mask == 255)).all())
    scaled = resize_mask(mask[None].float(), size)[0]
    return (scaled >= INSIDE).byte() * 255 if is_hard else scaled.round().clamp(0, 255).byte()
