"""Pictures as answers that nobody promised, of all providers: read rightly, or refused."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from segment_anywhere.core.providers.contract import ProviderError
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.scheduler import RunLimits

from tests.support.asks import QUICK, SIZE, SQUARE, ask_for, run, square_image, square_mask
from tests.support.servers import KEY, ProviderServer, faults
from tests.support.servers.vision import b64, picture

ONE = RunLimits(1, 20.0, QUICK.transport)
MASK = square_mask()
GREY = MASK.astype(np.uint8) * 255
ORIENTATION = 0x0112
# By EXIF's number: what was done to the upright picture, which the reader has to undo.
HELD = {
    1: GREY,
    2: GREY[:, ::-1],
    3: GREY[::-1, ::-1],
    4: GREY[::-1],
    5: GREY.T,
    6: np.rot90(GREY, 1),
    7: GREY[::-1, ::-1].T,
    8: np.rot90(GREY, -1),
}


def saved(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def held(kind: str, number: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = number
    return saved(np.ascontiguousarray(HELD[number]), kind, exif=exif)


def frames(kind: str) -> bytes:
    others = [Image.fromarray(255 - GREY), Image.fromarray(GREY[::-1])]
    options = {"lossless": True} if kind == "WEBP" else {}
    first = Image.fromarray(GREY)
    return saved(first, kind, save_all=True, append_images=others, **options)


def palette() -> Image.Image:
    image = Image.fromarray(MASK.astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    return image


def cut_out() -> np.ndarray:
    return np.dstack([np.full((*SIZE, 3), 255, np.uint8), GREY])


def bomb(width: int, height: int) -> bytes:
    """A PNG file of a few hundred kilobytes at the most, black."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    packer, row = zlib.compressobj(9), bytes(width + 1)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def with_bad_exif() -> bytes:
    return saved(GREY, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\xff")


READ: dict[str, bytes] = {
    "16 bits": saved(MASK.astype(np.uint16) * 65535),
    "16 bits, of which few are used": saved(MASK.astype(np.uint16) * 300),
    "one bit": saved(MASK),
    "palette": saved(palette()),
    "palette of two bits": saved(palette(), bits=2),
    "grey with alpha": saved(np.dstack([np.where(MASK, 255, 0).astype(np.uint8), GREY])),
    "JPEG": saved(GREY, "JPEG"),
    "progressive JPEG": saved(GREY, "JPEG", progressive=True),
    "CMYK JPEG": saved(Image.fromarray(GREY).convert("RGB").convert("CMYK"), "JPEG"),
    "JPEG with damaged EXIF": with_bad_exif(),
    "WebP": saved(GREY, "WEBP"),
    "WebP in motion": frames("WEBP"),
    "PNG in motion": frames("PNG"),
    "half the size": picture(MASK[::2, ::2]),
    "twice the size": picture(np.kron(MASK, np.ones((2, 2), bool))),
    "sides rounded up": saved(Image.fromarray(GREY).resize((72, 56), Image.Resampling.NEAREST)),
    **{f"PNG, held as {number}": held("PNG", number) for number in HELD},
    "JPEG, held as 6": held("JPEG", 6),
    "WebP, held as 8": held("WEBP", 8),
}
REFUSED: dict[str, tuple[bytes, str]] = {
    "SVG": (faults.SVG, "expected"),
    "GIF": (saved(GREY, "GIF"), "expected"),
    "GIF in motion": (frames("GIF"), "expected"),
    "BMP": (saved(GREY, "BMP"), "expected"),
    "TIFF": (saved(GREY, "TIFF"), "expected"),
    "a sound": (b"RIFF\x24\0\0\0WAVEfmt ", "expected"),
    "half a picture": (picture(MASK)[:60], "damaged or was cut off"),
    "nothing but its first bytes": (b"\x89PNG\r\n\x1a\n", "damaged or was cut off"),
    "64 million pixels": (bomb(8000, 8000), "8000 x 8000 pixels; up to 16,777,216 are read"),
    "400 million pixels": (bomb(20_000, 20_000), "hundreds of millions of pixels"),
    "height and width exchanged": (
        saved(np.ascontiguousarray(GREY.T)),
        "48 x 64 pixels, another shape than the image's 64 x 48",
    ),
    "a square": (saved(np.zeros((256, 256), np.uint8)), "256 x 256 pixels, another shape"),
    "one pixel": (saved(np.zeros((1, 1000), np.uint8)), "1000 x 1 pixels, another shape"),
}


def in_body(server: ProviderServer, data: bytes) -> None:
    server.faults.append(faults.body(data, "image/png"))


def in_json(server: ProviderServer, body: Any) -> None:
    server.faults.append(faults.status(200, json.dumps(body)))


def in_file(server: ProviderServer, data: bytes) -> None:
    # The file is asked for again in the next run.
    server.file_faults.extend([faults.body(data, "image/png"), None, None])
    server.file_faults.append(faults.body(data, "image/png"))


GIVEN: dict[str, Callable[[Any, bytes], None]] = {
    "imagineo": in_body,
    "segmind": in_body,
    "airefinery": lambda server, data: in_json(server, {"data": [{"b64_json": b64(data)}]}),
    "custom": lambda server, data: in_json(server, {"data": [{"mask": b64(data)}]}),
    "fal": in_file,
}


@pytest.mark.parametrize("key", GIVEN)
@pytest.mark.parametrize("name", READ)
def test_a_picture_is_read(serve, key, name):
    server = serve(key)
    GIVEN[key](server, READ[name])
    segments = run(ask_for(server, key), square_image()).segments
    assert len(segments) == 1
    assert np.abs(segments.boxes[0].numpy() - SQUARE).max() <= 2
    found = segments.mask(0).numpy() >= 128
    assert (found & MASK).sum() / (found | MASK).sum() > 0.9
    assert server.billed <= 1


@pytest.mark.parametrize("key", GIVEN)
@pytest.mark.parametrize("name", REFUSED)
def test_a_picture_is_refused_in_one_sentence(serve, key, name):
    """As the failure of its image alone, and kept, so that the next run sends nothing."""
    data, words = REFUSED[name]
    server, paid = serve(key), Journal()
    GIVEN[key](server, data)
    for _ in range(2):
        with pytest.raises(ProviderError, match=words) as caught:
            run(ask_for(server, key), square_image(3), limits=ONE, paid=paid)
        message = str(caught.value)
        assert re.search("1 of 3 images failed. Image [0-2]: the answer cannot be used", message)
        assert "The answer is kept" in message and KEY not in message
        assert len(server.received) == 3
