"""The files of a dataset: written whole or not at all, by one program at a time."""

from __future__ import annotations

import io
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..results.segments import Instance
from ..tensors import rgb_frame

log = logging.getLogger(__name__)

IMAGES = "images"
PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jfif", ".avif"}
)
LOCK = ".segments.lock"
# A program that writes a batch of large pictures takes seconds.
_PATIENCE = 120.0
# Of a free lock nobody is told: one who waits looks so often.
_POLL = 0.005
_PNG_LEVEL = 4
# What no file system of the three platforms takes in a name.
_FORBIDDEN = re.compile(r'[<>:"/\\|?*%\x00-\x1f\x7f]+')
_LONGEST = 200


@dataclass(frozen=True)
class Picture:
    """A picture of a dataset, and what is in it.

    stem: its name without a suffix, what every file about it begins with. file: the name of the
    picture's own file. size: (H, W). objects: with at least one pixel each, labelled with their
    class. content: a PNG file to be saved under that name, None where the file is somebody else's.
    """

    stem: str
    file: str
    size: tuple[int, int]
    objects: tuple[Instance, ...]
    content: bytes | None = None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the only program that writes into a dataset; the lock of one that dies is free at once.

    Raises InputError where another one does not let go of it.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=_PATIENCE, poll_interval=_POLL)
    except Timeout:
        raise InputError(
            f"filename_prefix: another program has been writing into {folder} for "
            f"{_PATIENCE:.0f} seconds. Wait for it, or save into another folder."
        ) from None
    except NotImplementedError:
        log.warning("no locks in %s: let one program at a time write there", folder)
    try:
        yield
    finally:
        lock.release()


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file so that it is there whole or not at all; its folder is made. Returns its path.

    What was there before stays until then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        # An interrupt is no Exception.
        with suppress(OSError):
            os.unlink(name)
        raise
    return path


def _umask() -> int:
    # The only way to read it is to set it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_picture(folder: Path, picture: Picture) -> list[Path]:
    """Save the picture itself into a folder, where it is to be saved; the paths written."""
    if picture.content is None:
        return []
    return [write_whole(folder / picture.file, picture.content)]


def frame_png(image: Tensor, frame: int) -> bytes:
    """A frame of an IMAGE [B, H, W, C] as a PNG file.

    Raises InputError where it holds NaN.
    """
    pixels = (rgb_frame(image, frame) * 255.0).round().byte().cpu().numpy()
    return png(Image.fromarray(pixels))


def png(image: Image.Image) -> bytes:
    """A picture as a PNG file."""
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=_PNG_LEVEL)
    return stream.getvalue()


def grey_png(pixels: NDArray[np.uint8]) -> bytes:
    """A mask [H, W] of 0..255 as a grey PNG file."""
    return png(Image.fromarray(np.ascontiguousarray(pixels)))


def stems(folder: Path) -> set[str]:
    """The names in a folder without their suffixes, of files and folders alike."""
    return {path.stem for path in folder.iterdir()} if folder.is_dir() else set()


def plain_name(text: str) -> str:
    """A text as one part of a file's name on every platform; empty where nothing is left of it."""
    return _FORBIDDEN.sub("_", text).strip(". ")[:_LONGEST].strip(". ")


def last_part(name: str) -> str:
    """A file's name without the folders before it, of any platform."""
    return name.replace("\\", "/").rpartition("/")[2]


def split_suffix(name: str) -> tuple[str, str]:
    """A picture's name without its suffix, and that suffix; one that no picture has is none."""
    path = Path(name)
    known = path.suffix.lower() in PICTURE_SUFFIXES
    return (path.stem, path.suffix) if known else (name, "")
