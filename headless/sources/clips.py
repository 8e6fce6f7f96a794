"""Video files: which frames they have, and reading some of them, one at a time, with PyAV.

Errors do not repeat the file's name: who runs a source says it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import WorkflowError
from ..extras import load_extra
from .units import Frame, Sampling, Source

if TYPE_CHECKING:
    # A run on a server that gets no clip needs no arrays.
    import numpy as np
    from numpy.typing import NDArray

CLIP_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts"}
    | {".wmv", ".flv", ".ogv", ".3gp"}
)
# Frames that are a unit of work together: as many as this takes as float images, and no more.
WINDOW_BYTES = 256 * 2**20
WINDOW_FRAMES = 32
BYTES_PER_PIXEL = 3 * 4
# Of a second: time stamps are whole numbers of a time base, and 1 / 3 of a second is none.
_TOLERANCE = 1e-6
# AVI has no time stamps of its own, and what is made up for it is wrong where frames are reordered.
_WITHOUT_TIMES = "avi"
_NO_FRAMES = "this video has no frames, or was cut short. Choose another file."


@dataclass(frozen=True)
class Clip:
    """What a file has of what is wanted. pixels: of one frame. rate: wanted frames a second.

    frames: the wanted ones, in their order, at least one.
    """

    pixels: int
    rate: float
    frames: tuple[Frame, ...]

    @property
    def image_bytes(self) -> int:
        """What the frames take in memory, as ComfyUI has images."""
        return len(self.frames) * self.pixels * BYTES_PER_PIXEL


def look_into(source: Source) -> Clip:
    """Read what a clip says of itself: without decoding it, but all of its time stamps.

    Args:
        source: a clip on this machine.

    Raises:
        WorkflowError: it cannot be read, or has no frame that is wanted.
    """
    with _opened(source) as (container, stream):
        pixels = stream.width * stream.height
        rate = float(stream.average_rate or 0)
        stamps, base = [], float(stream.time_base or 1)
        if source.frames is None:
            stamps = [each.pts for each in container.demux(stream) if _is_shown(each, stream)]
        if container.format.name == _WITHOUT_TIMES or None in stamps:
            stamps, base = list(range(len(stamps))), 1 / rate if rate else base
    sampling = source.sampling or Sampling()
    frames = source.frames or _chosen(sorted(set(stamps)), base, sampling, rate)
    rate = rate or _rate(frames, base)
    return Clip(pixels, min(rate, sampling.fps or rate), tuple(frames))


def _is_shown(packet: Any, stream: Any) -> bool:
    """Whether a packet becomes a frame of its own."""
    if not packet.size or packet.is_discard:
        return False
    # VP8 has frames that others refer to and nobody sees; a bit of their first byte says so.
    return stream.codec_context.name != "vp8" or bool(bytes(packet)[0] & 0x10)


def _rate(frames: Sequence[Frame], base: float) -> float:
    length = (frames[-1].pts - frames[0].pts) * base
    return (len(frames) - 1) / length if length else 1.0


def _chosen(stamps: Sequence[int], base: float, sampling: Sampling, rate: float) -> list[Frame]:
    if not stamps:
        raise WorkflowError(_NO_FRAMES)
    times = [(stamp - stamps[0]) * base for stamp in stamps]
    end = math.inf if sampling.end is None else sampling.end
    wanted = [
        number
        for number, time in enumerate(times)
        if sampling.start - _TOLERANCE <= time < end - _TOLERANCE
    ]
    if not wanted:
        raise WorkflowError(
            f"no frame from second {sampling.start:g} to {end:g}, as --range has it. The last one "
            f"is at {times[-1]:.3f} seconds."
        )
    if sampling.fps is not None:
        # The last frame is seen for as long as the others.
        end = min(end, times[-1] + (1 / rate if rate else base))
        wanted = _sampled(times, wanted, (sampling.start, end), sampling.fps)
    return [Frame(number, stamps[number]) for number in wanted]


def _sampled(
    times: Sequence[float], wanted: Sequence[int], span: tuple[float, float], fps: float
) -> list[int]:
    """Of the wanted frames those that are seen at start, start + 1 / fps, and so on before end."""
    start, end = span
    count = max(1, math.ceil((end - start) * fps - _TOLERANCE))
    seen = (bisect_right(times, start + each / fps + _TOLERANCE) - 1 for each in range(count))
    return list(dict.fromkeys(max(number, wanted[0]) for number in seen))


def windows(source: Source) -> list[Source]:
    """Cut a clip into units of work of a few frames each, the same ones every time.

    Raises:
        WorkflowError: as `look_into`.
    """
    clip = look_into(source)
    count = WINDOW_BYTES // max(1, clip.pixels * BYTES_PER_PIXEL)
    count = min(WINDOW_FRAMES, max(1, count))
    starts = range(0, len(clip.frames), count)
    return [replace(source, frames=clip.frames[start : start + count]) for start in starts]


def read(source: Source, clip: Clip) -> Iterator[NDArray[np.uint8]]:
    """Decode the wanted frames of a clip, one at a time: [H, W, 3] uint8, upright, all of one size.

    Args:
        source: a clip on this machine.
        clip: from `look_into`.

    Raises:
        WorkflowError: a frame cannot be decoded.
    """
    wanted = {frame.pts for frame in clip.frames}
    first, last = clip.frames[0].pts, clip.frames[-1].pts
    size = None
    with _opened(source) as (container, stream):
        for stamp, frame in _from(container, stream, first):
            if stamp in wanted:
                wanted.discard(stamp)
                size = size or (frame.width, frame.height)
                yield _upright(frame, *size)
            if stamp >= last:
                break
    if wanted:
        raise WorkflowError(
            f"{len(wanted)} of {len(clip.frames)} frames cannot be decoded; the file is "
            "damaged or cut. Choose another one, or leave the place out with --range."
        )


def check_memory(source: Source, free: int | None) -> None:
    """Refuse a clip whose frames do not fit into memory together.

    Args:
        source: a clip on this machine.
        free: bytes where the frames will be, None where that is not known.

    Raises:
        WorkflowError: with what they take and what is free.
    """
    clip = look_into(source)
    if free is not None and clip.image_bytes > free:
        raise WorkflowError(
            f"its {len(clip.frames)} frames take {clip.image_bytes / 2**30:.1f} GiB as "
            f"images, and {free / 2**30:.1f} GiB of memory are free. Take fewer of them with --fps "
            "or --range, or a smaller video."
        )


def _from(container: Any, stream: Any, first: int) -> Iterator[tuple[int, Any]]:
    """All frames with their time stamps, from one at or before `first` on."""
    if container.format.name == _WITHOUT_TIMES:
        yield from enumerate(container.decode(stream))
        return
    if stream.start_time is not None and first > stream.start_time:
        container.seek(first, stream=stream)
    decoded = container.decode(stream)
    frame = next(decoded, None)
    if frame is None or frame.pts is None or frame.pts > first:
        # The file's index is wrong: from the beginning, then.
        container.seek(0)
        decoded = container.decode(stream)
        frame = next(decoded, None)
    if frame is not None:
        yield frame.pts, frame
    for place, frame in enumerate(decoded, 1):
        yield place if frame.pts is None else frame.pts, frame


def _upright(frame: Any, width: int, height: int) -> NDArray[np.uint8]:
    import numpy as np

    pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
    # Telephones store pictures as the sensor lies, and say how it was held.
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


@contextmanager
def _opened(source: Source) -> Iterator[tuple[Any, Any]]:
    av = load_extra("av", "av", "Reading a video")
    try:
        with av.open(source.place) as container:
            if not container.streams.video:
                raise WorkflowError("no pictures in it, only sound or text. Choose another file.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield container, stream
    except av.error.EOFError as error:
        raise WorkflowError(_NO_FRAMES) from error
    except av.error.FFmpegError as error:
        raise WorkflowError(
            f"cannot be read as a video ({error.strerror}). It may be damaged, cut "
            "short, or no video."
        ) from error
