"""Which files a graph may read: those in ComfyUI's folders, and those the user names; and what is
wrong with a picture that cannot be read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .errors import PictureError
from .graph import GIVEN
from .sources.units import Sampling, Source

# As the host writes them: a file's name, and in which folder it is where that is not the input.
_ANNOTATED = re.compile(r"(?P<name>.*) \[(?P<folder>input|output|temp)\]", re.DOTALL)


class Pictures:
    """The files that LoadImage and LoadVideo may open.

    A graph may come from anywhere, and may send them away.

    Args:
        folders: ComfyUI's input, output and temp folder, by these names; none has to exist.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders
        self._named: set[str] = set()
        self._given: dict[str, Source] = {}

    def admit(self, name: str) -> str | None:
        """Let a file be read that the user has named; its path, None where it is no file."""
        path = os.path.abspath(os.path.expanduser(name))
        if not os.path.isfile(path):
            return None
        self._named.add(os.path.realpath(path))
        return path

    def give(self, source: Source) -> str:
        """Let one source be read, the last one no more; the name that stands for it in a graph."""
        path = os.path.abspath(source.place)
        name = path
        if source.is_clip:
            # The frames belong to the name: nodes keep results by it.
            name = f"{path}#{hashlib.sha256(repr(source).encode()).hexdigest()[:16]}"
        self._named.add(os.path.realpath(path))
        self._given = {name: source}
        return name

    def clip(self, name: str) -> Source:
        """Return the clip that a name stands for: frames that were given, or a whole file.

        Raises:
            ValueError: as `find`.
        """
        return self._given.get(name) or Source(self.find(name), Sampling())

    def check(self, name: str) -> None:
        """Make sure that a name stands for a file that may be read, or for one that a run gives.

        Raises:
            ValueError: as `find`.
        """
        if name != GIVEN:
            self.find(name)

    def find(self, name: str) -> str:
        """Return the path of a picture that a graph names, as ComfyUI finds it.

        Raises:
            ValueError: there is no such file, or it is not in the folder; with what to do.
        """
        if os.path.isabs(name) and os.path.realpath(name) in self._named:
            return name
        annotated = _ANNOTATED.fullmatch(name)
        kind = annotated["folder"] if annotated else "input"
        folder = os.path.realpath(self._folders[kind])
        path = os.path.join(folder, annotated["name"] if annotated else name)
        if not _is_inside(path, folder):
            raise ValueError(
                f"image {name!r} lies outside of ComfyUI's {kind} folder {folder}; a graph reads "
                "pictures inside it only. Copy it there, or pass it with --image"
            )
        if not os.path.isfile(path):
            raise ValueError(
                f"no image file {name!r} in ComfyUI's {kind} folder {folder}. Put it there, or "
                "pass one with --image"
            )
        return path


def _is_inside(path: str, folder: str) -> bool:
    try:
        return Path(os.path.realpath(path)).is_relative_to(folder)
    except ValueError:  # A name with a zero byte, which no file has.
        return True


def check_picture(path: Path) -> None:
    """Read a picture to its end, as a run in this process does: a server fills in what is missing
    from one that is cut off.

    Raises:
        PictureError: it is not there, empty, cut off, damaged or no picture.
    """
    from PIL import Image, ImageSequence, UnidentifiedImageError

    with explaining(path):
        try:
            with Image.open(path) as opened:
                for frame in ImageSequence.Iterator(opened):
                    frame.load()
        except UnidentifiedImageError:
            # Of a kind that only the server may know.
            if path.suffix.lower() in Image.registered_extensions() or not path.stat().st_size:
                raise


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Say what is wrong with the picture that is read inside, and what to do.

    Raises:
        PictureError: reading it has failed.
    """
    from PIL import UnidentifiedImageError

    try:
        yield
    except FileNotFoundError:
        raise PictureError(f"{path}: no such file. Check the path.") from None
    except MemoryError:
        # The picture may be sound.
        raise
    except Exception as error:
        # A damaged picture can raise almost anything.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if path.is_file() and not path.stat().st_size:
            raise PictureError(
                f"{path.name}: the file is empty. Save or copy the picture again."
            ) from error
        if isinstance(error, UnidentifiedImageError):
            raise PictureError(
                f"{path.name}: this is no picture that can be read, whatever its name says. Save "
                "it as PNG or JPEG."
            ) from error
        raise PictureError(
            f"{path.name}: the picture is cut off or damaged ({reason}). Save or copy it again."
        ) from error
