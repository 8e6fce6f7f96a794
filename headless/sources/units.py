"""What is run on, as plain data that another process can take."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

SCHEME = "://"


@dataclass(frozen=True)
class Sampling:
    """Which frames of a clip are wanted.

    fps: so many of each second, None for all; a frame is never taken twice. start, end: seconds
    from the first frame, the end exclusive and None for the clip's own.
    """

    fps: float | None = None
    start: float = 0.0
    end: float | None = None

    @property
    def is_all(self) -> bool:
        """Whether the whole clip is wanted, every frame of it."""
        return self == Sampling()


@dataclass(frozen=True)
class Frame:
    """A frame of a clip. number: its place among all of the clip's frames, from 0. pts: its time
    stamp in the file, in units of the stream's time base.
    """

    number: int
    pts: int


@dataclass(frozen=True)
class Source:
    """What one run of the graph is given: a picture file, a clip, or some frames of a clip.

    place: the path of a file, or an address such as s3://bucket/dog.jpg. sampling: None for a
    picture. frames: those of one unit of work, None for all that are wanted. stamp: what tells
    that the content of an address has changed; a file is asked for its own.
    """

    place: str
    sampling: Sampling | None = None
    frames: tuple[Frame, ...] | None = None
    stamp: str = ""

    def __str__(self) -> str:
        if not self.frames:
            return self.place
        first, last = self.frames[0].number, self.frames[-1].number
        return f"{self.place}, frame {first}" + (f" to {last}" if last != first else "")

    @property
    def is_clip(self) -> bool:
        """Whether it is frames of a video, and not a picture file."""
        return self.sampling is not None

    @property
    def is_elsewhere(self) -> bool:
        """Whether it has to be fetched first."""
        return SCHEME in self.place

    @property
    def name(self) -> str:
        """The file's name, with its suffix."""
        return (PurePosixPath if self.is_elsewhere else Path)(self.place).name

    @property
    def suffix(self) -> str:
        """What the name ends in, with the dot."""
        return PurePosixPath(self.name).suffix

    def identity(self) -> str:
        """The same for every way to name the file."""
        return self.place if self.is_elsewhere else str(Path(self.place).resolve())

    def at(self, path: Path) -> Source:
        """The same from a file on this machine."""
        return replace(self, place=os.path.abspath(path))


@dataclass(frozen=True)
class Job:
    """One run of the graph: a unit of work, which is done as a whole or again.

    `stem` begins the name of every file that the run writes; `source` is None when the graph runs
    as it is.
    """

    stem: str
    source: Source | None = None
