"""Pictures with bytes changed at random: whatever becomes of them, nothing but CallFailed."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anywhere.core.providers.masks import read_masks
from segment_anywhere.core.providers.wire import CallFailed, FoundMask, Reading

SIZE = (24, 32)
FRAME = torch.rand((*SIZE, 3), generator=torch.Generator().manual_seed(1))
EXIF = Image.Exif()
EXIF[0x0112] = 3
# Of each kind of file; 4,000 of each raise nothing else either.
MUTATIONS = 120


def _file(kind: str, mode: str, **options) -> bytes:
    pixels = np.random.default_rng(2).integers(0, 4, (*SIZE, 4), np.uint8) * 85
    image = Image.fromarray(pixels).convert(mode)
    stream = io.BytesIO()
    image.save(stream, kind, exif=EXIF, **options)
    return stream.getvalue()


FILES = {
    "PNG": _file("PNG", "RGBA"),
    "PNG with a palette": _file("PNG", "P", transparency=3),
    "PNG of 16 bits": _file("PNG", "I;16"),
    "PNG of one bit": _file("PNG", "1"),
    "PNG with notes": _file("PNG", "LA", icc_profile=b"\0" * 200, dpi=(72, 72)),
    "JPEG": _file("JPEG", "RGB"),
    "progressive JPEG": _file("JPEG", "CMYK", progressive=True, icc_profile=b"\0" * 200),
    "WebP": _file("WEBP", "RGBA"),
    "lossless WebP": _file("WEBP", "RGB", lossless=True),
    "WebP in motion": _file(
        "WEBP", "RGB", save_all=True, append_images=[Image.new("RGB", SIZE[::-1])]
    ),
}


def _flipped(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 2, 8))):
        data[chance.randrange(8, len(data))] = chance.randrange(256)


def _large(data: bytearray, chance: random.Random) -> None:
    """Four bytes as lengths that lie have them."""
    place = chance.randrange(8, len(data) - 4)
    data[place : place + 4] = chance.choice((b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0" * 4))


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(8, len(data)) :]


def _moved(data: bytearray, chance: random.Random) -> None:
    start, end = sorted(chance.randrange(8, len(data)) for _ in range(2))
    data[end:end] = data[start:end]


CHANGES: tuple[Callable[[bytearray, random.Random], None], ...] = (_flipped, _large, _cut, _moved)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_picture_is_read_or_refused(name):
    chance = random.Random(7)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(MUTATIONS):
        data = bytearray(FILES[name])
        chance.choice(CHANGES)(data, chance)
        for reading in Reading:
            try:
                for mask in read_masks(FoundMask(bytes(data), reading), FRAME):
                    assert mask.shape == SIZE and mask.dtype == torch.uint8
                outcomes["read"] += 1
            except CallFailed:
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 0
