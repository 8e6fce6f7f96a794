"""Video files whose frames tell their number: each is grey, brighter than the one before."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

STEP = 5


def write_video(
    path: Path,
    count: int = 24,
    *,
    rate: float = 24,
    size: tuple[int, int] = (32, 48),
    codec: str = "libx264",
    times: Sequence[float] | None = None,
) -> Path:
    """Write a video of `count` frames of (H, W).

    times: when each is seen, in seconds, for a rate that varies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 8
        stream.bit_rate = 2_000_000
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(count):
            pixels = np.full((*size, 3), 10 + STEP * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def number_of(pixels: np.ndarray) -> int:
    """Which frame it is, of pixels of 0..255."""
    return round((float(pixels.mean()) - 10) / STEP)


def write_sound(path: Path) -> Path:
    """Write a file with sound and no pictures."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
