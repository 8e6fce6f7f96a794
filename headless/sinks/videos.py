"""Frames as a video file, with PyAV: results to look at, and clips without loss for a server.

A picture of a result is a file's bytes, or the path of one that is written already.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import WorkflowError
from ..extras import load_extra
from ..sources.naming import IMAGE_SUFFIXES
from .files import FileData, NodeResult

if TYPE_CHECKING:
    # A run on a server that gets no clip needs no arrays.
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

Picture: TypeAlias = "bytes | Path"
SUFFIX = ".mp4"
LOSSLESS_SUFFIX = ".mov"
_X264, _PNG = "libx264", "png"
# x264's quality, from 0 for no loss: masks as good as exact, pictures as good as the eye can tell.
_MASK_QUALITY, _PICTURE_QUALITY = "4", "18"
_MAX_DENOMINATOR = 1001
# BT.709, as every player takes HD for that says nothing.
_BT709, _LIMITED_RANGE = 1, 1


def as_videos(results: Sequence[NodeResult], frames: int, rate: float) -> list[NodeResult]:
    """The results of a clip, in which a picture for each frame became one video.

    Args:
        results: what the output nodes made of a clip.
        frames: of the clip.
        rate: of them a second.

    Raises:
        WorkflowError: PyAV is missing, or cannot encode.
    """
    return [
        replace(each, files=[_video([file.data for file in each.files], rate)])
        if _is_video(each.files, frames)
        else each
        for each in results
    ]


def _is_video(files: Sequence[FileData], frames: int) -> bool:
    if len(files) != frames or not all(file.suffix in IMAGE_SUFFIXES for file in files):
        return False
    return is_one_size([file.data for file in files])


def is_one_size(pictures: Iterable[Picture]) -> bool:
    """Whether pictures can be the frames of one video; cut-outs of their own sizes cannot."""
    return len({_size(each) for each in pictures}) == 1


def joined(node_id: str, pictures: Sequence[Path], rate: float) -> NodeResult:
    """What an output node has made of a clip's frames, in several units of work, as one video.

    Args:
        node_id: the node.
        pictures: all of one size, in the order of the frames; read one at a time.
        rate: of the frames a second.

    Raises:
        WorkflowError: PyAV is missing, or cannot encode.
        OSError: a picture cannot be read.
    """
    return NodeResult(node_id, [_video(pictures, rate)])


def _video(pictures: Sequence[Picture], rate: float) -> FileData:
    grey = all(_is_grey(_pixels(picture)) for picture in pictures)
    return FileData(encode((_pixels(each) for each in pictures), rate, exact=grey), SUFFIX)


def _opened(picture: Picture) -> Image.Image:
    from PIL import Image

    return Image.open(picture if isinstance(picture, Path) else io.BytesIO(picture))


def _size(picture: Picture) -> tuple[int, int]:
    with _opened(picture) as opened:
        return opened.size


def _pixels(picture: Picture) -> NDArray[np.uint8]:
    """[H, W, 3] uint8; what is transparent is black, for videos have no transparency."""
    import numpy as np
    from PIL import Image

    with _opened(picture) as opened:
        if not opened.has_transparency_data:
            return np.asarray(opened.convert("RGB"))
        layers = opened.convert("RGBA")
    ground = Image.new("RGBA", layers.size, (0, 0, 0, 255))
    return np.asarray(Image.alpha_composite(ground, layers).convert("RGB"))


def _is_grey(pixels: NDArray[np.uint8]) -> bool:
    import numpy as np

    red, green, blue = (pixels[..., channel] for channel in range(3))
    return np.array_equal(red, green) and np.array_equal(red, blue)


def encode(frames: Iterable[NDArray[np.uint8]], rate: float, *, exact: bool) -> bytes:
    """An MP4 file that every player and browser plays.

    Args:
        frames: [H, W, 3] uint8 each, all of one size, at least one.
        rate: frames a second.
        exact: as for masks, whose grey levels mean something.

    Raises:
        WorkflowError: PyAV is missing, or cannot encode them.
    """
    av = load_extra("av", "av", "Writing a video")
    if _X264 in av.codecs_available:
        quality = _MASK_QUALITY if exact else _PICTURE_QUALITY
        return _encoded(frames, rate, "mp4", _X264, {"crf": quality})
    quality = "1" if exact else "3"
    return _encoded(frames, rate, "mp4", "mpeg4", {"qmin": quality, "qmax": quality})


def lossless(frames: Iterable[NDArray[np.uint8]], rate: float) -> bytes:
    """A file that PyAV reads exactly these frames from, as for `encode`."""
    return _encoded(frames, rate, "mov", _PNG, {})


def _encoded(
    frames: Iterable[NDArray[np.uint8]], rate: float, container: str, codec: str, options: dict
) -> bytes:
    av = load_extra("av", "av", "Writing a video")
    first, rest = _split(frames)
    stream_of_bytes = io.BytesIO()
    try:
        with av.open(stream_of_bytes, "w", format=container) as output:
            stream = output.add_stream(codec, rate=_fraction(rate), options=options)
            _shape(stream, first, codec)
            for pixels in chain([first], rest):
                output.mux(stream.encode(_frame(av, pixels, stream)))
            output.mux(stream.encode())
    except av.error.FFmpegError as error:
        height, width, _ = first.shape
        raise WorkflowError(
            f"Frames of {width}x{height} cannot be written as a video ({error.strerror})."
        ) from error
    return stream_of_bytes.getvalue()


def _split(frames: Iterable[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], Any]:
    rest = iter(frames)
    return next(rest), rest


def _fraction(rate: float) -> Fraction:
    return Fraction(rate).limit_denominator(_MAX_DENOMINATOR)


def _shape(stream: Any, first: NDArray[np.uint8], codec: str) -> None:
    height, width, _ = first.shape
    stream.width, stream.height = width, height
    if codec == _PNG:
        stream.pix_fmt = "rgb24"
        return
    # The format of players halves the colours' sides, which x264 does not do to odd ones.
    is_odd = codec == _X264 and (width % 2 or height % 2)
    stream.pix_fmt = "yuv444p" if is_odd else "yuv420p"
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED_RANGE


def _frame(av: Any, pixels: NDArray[np.uint8], stream: Any) -> Any:
    import numpy as np

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    if stream.pix_fmt == "rgb24":
        return frame
    return frame.reformat(format=stream.pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG")
