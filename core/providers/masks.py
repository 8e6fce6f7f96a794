"""Reads the masks of an answer: pictures of any kind, at any size, become [H, W] uint8."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..results.compact_mask import INSIDE
from ..results.rle import MAX_PIXELS
from ..tensors import resize_mask
from .wire import CallFailed, Failure, FailureKind, FoundMask, Reading, Url

_FORMATS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WEBP"}
# A mask has few pixels between black and white, and no colour.
_EXTREME = 24
_MASK_SHARE = 0.95
_GREY_SPREAD = 8
# JPEG alone moves a channel by up to about this much.
_CHANGE = 24
# The changed part of a cut-out on plain ground is one colour.
_PLAIN = 12
_MANY_VALUES = 16
_MAX_CATEGORIES = 255


def picture_format(data: bytes) -> str | None:
    """PNG, JPEG or WEBP by the first bytes, None for anything else."""
    return next((name for magic, name in _FORMATS.items() if data.startswith(magic)), None)


def read_masks(found: FoundMask, frame: Tensor) -> list[Tensor]:
    """Read one found mask for its frame: masks [H, W] uint8, 255 = inside, of the frame's size.

    frame: [H, W, 3] float32, 0..1, as it was before it was sent. There are several masks where the
    picture has categories, and none where nothing is inside. Raises CallFailed where the picture is
    broken, of another format, too large, or no mask under the reading that was asked for.
    """
    if isinstance(found.content, Url):
        raise TypeError(f"the picture at {found.content.address} has to be fetched first")
    if isinstance(found.content, np.ndarray):
        arrays = [found.content]
    else:
        arrays = _read_picture(found.content, found.reading, frame)
    size = (frame.shape[0], frame.shape[1])
    masks = [_fit(_place(array, found), size) for array in arrays if array.any()]
    return [mask for mask in masks if mask.any()]


def read_picture(masks: Sequence[FoundMask], size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """The provider's own picture of an image of (H, W): a cut-out, or the image with a mark on it.

    Returns [H, W, 3] uint8, None where there are masks alone. Raises CallFailed as `read_masks`.
    """
    for mask in masks:
        if isinstance(mask.content, bytes):
            return _own_picture(mask.content, mask.reading, size)
    return None


def _own_picture(data: bytes, reading: Reading, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    if reading in (Reading.LUMA, Reading.CATEGORIES):
        return None
    image = _decode(data)
    if _guess(image) is Reading.LUMA:
        return None
    height, width = size
    picture = image.convert("RGB")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _read_picture(data: bytes, reading: Reading, frame: Tensor) -> list[NDArray[np.uint8]]:
    image = _decode(data)
    is_jpeg = image.format == "JPEG"
    if reading is Reading.CATEGORIES:
        return _categories(image, is_jpeg)
    if reading is Reading.AUTO:
        reading = _guess(image)
    if reading is Reading.ALPHA:
        return [_alpha(image)]
    if reading is Reading.DIFFERENCE:
        return [_difference(image, frame)]
    return [_luma(image, is_jpeg)]


def _decode(data: bytes) -> Image.Image:
    name = picture_format(data)
    if name is None:
        start = data[:40].decode("ascii", "replace") if data else "nothing"
        raise _broken(f"a PNG, JPEG or WebP picture is expected, found {start!r}")
    try:
        with warnings.catch_warnings():
            # The limit below is stricter than the one that Pillow warns about.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=[name])
        if image.width * image.height > MAX_PIXELS:
            raise _broken(f"its picture has {image.width} x {image.height} pixels")
        image.load()
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        # UnidentifiedImageError is an OSError; ValueError is about chunks beside the pixels.
        raise _broken(f"its {name} picture is damaged or was cut off ({error})") from error
    return image


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
    pixels = np.asarray(image.convert("RGB")).astype(np.int16)
    spread = pixels.max(axis=2) - pixels.min(axis=2)
    grey = pixels.mean(axis=2)
    extreme = (grey < _EXTREME) | (grey > 255 - _EXTREME) | (grey.max() <= 1)
    return bool(np.mean(extreme & (spread <= _GREY_SPREAD)) >= _MASK_SHARE)


def _alpha(image: Image.Image) -> NDArray[np.uint8]:
    if not image.has_transparency_data:
        raise _unclear("it has no transparency")
    return np.asarray(image.convert("RGBA"))[..., 3]


def _luma(image: Image.Image, is_jpeg: bool) -> NDArray[np.uint8]:
    grey = _grey(image)
    pixels = np.asarray(grey)
    if is_jpeg:
        return np.where(pixels > 127, np.uint8(255), np.uint8(0))
    # Some masks hold 0 and 1, or 0 and a class number.
    values = [value for value, count in enumerate(grey.histogram()) if count]
    if len(values) == 2 and values[0] == 0:
        return np.where(pixels > 0, np.uint8(255), np.uint8(0))
    return pixels * np.uint8(255) if values[-1] == 1 else pixels


def _grey(image: Image.Image) -> Image.Image:
    """Brightness in eight bits; what has more of them is spread over the range that it uses."""
    if not image.mode.startswith("I") and image.mode != "F":
        return image.convert("L")
    wide = np.asarray(image, np.float32)
    spread = wide * (255.0 / max(float(wide.max()), 1.0))
    return Image.fromarray(spread.clip(0, 255).astype(np.uint8))


def _difference(image: Image.Image, frame: Tensor) -> NDArray[np.uint8]:
    """Where a picture differs from the frame; turned round where it differs by plain ground."""
    import cv2

    shown = np.asarray(image.convert("RGB"))
    height, width = shown.shape[:2]
    sent = (frame.detach().cpu().numpy() * 255.0).round().astype(np.uint8)
    if sent.shape != shown.shape:
        sent = cv2.resize(sent, (width, height), interpolation=cv2.INTER_AREA)
    change = np.abs(shown.astype(np.int16) - sent).max(axis=2)
    changed = cv2.medianBlur((change > _CHANGE).astype(np.uint8), 5) > 0
    if changed.all():
        raise _unclear("every pixel differs from the image that was sent")
    if changed.any() and _is_plain(shown[changed]):
        changed = ~changed
    return np.where(changed, np.uint8(255), np.uint8(0))


def _is_plain(pixels: NDArray[np.uint8]) -> bool:
    """Nearly all of [N, 3] pixels have one colour."""
    away = np.abs(pixels - np.median(pixels, axis=0)).max(axis=1)
    return bool(np.mean(away <= _PLAIN) >= _MASK_SHARE)


def _categories(image: Image.Image, is_jpeg: bool) -> list[NDArray[np.uint8]]:
    """One mask per value of a categorical picture; 0, or else the commonest value, is ground."""
    if is_jpeg:
        return [_luma(image, is_jpeg)]
    ids = np.asarray(image if image.mode in ("1", "L", "P") else image.convert("RGB"))
    if image.mode.startswith("I"):
        ids = np.asarray(image)
    ids = ids.astype(np.int64)
    if ids.ndim == 3:
        ids = ids[..., 0] << 16 | ids[..., 1] << 8 | ids[..., 2]
    values, counts = np.unique(ids, return_counts=True)
    if values.size > _MANY_VALUES and _is_mask(image):
        # The many values are those of a soft edge.
        return [_luma(image, is_jpeg)]
    if values.size > _MAX_CATEGORIES:
        raise _broken(f"its mask holds {values.size} different values")
    ground = 0 if 0 in values else values[counts.argmax()]
    return [(ids == value).astype(np.uint8) * np.uint8(255) for value in values if value != ground]


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
    mask = torch.from_numpy(np.array(array))
    if mask.shape == size:
        return mask
    scaled = resize_mask(mask[None].float(), size)[0]
    is_hard = bool(((mask == 0) | (mask == 255)).all())
    return (scaled >= INSIDE).byte() * 255 if is_hard else scaled.round().clamp(0, 255).byte()
