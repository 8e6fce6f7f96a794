"""Which frames a clip has, and that reading a part of it gives just these."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headless.errors import WorkflowError
from headless.sources import clips
from headless.sources.clips import check_memory, look_into, read, windows
from headless.sources.units import Sampling, Source
from tests.support.videos import number_of, write_sound, write_video


def _clip(path: Path, *sampling: float | None) -> Source:
    return Source(str(path), Sampling(*sampling))


def _numbers(source: Source) -> list[int]:
    return [number_of(pixels) for pixels in read(source, look_into(source))]


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "mpeg4"),
        ("a.mkv", "libx264"),
        ("a.webm", "libvpx-vp9"),
        # Time stamps that begin above 0; reordered frames without any.
        ("a.ts", "libx264"),
        ("a.mpg", "mpeg2video"),
        ("a.avi", "libx264"),
    ],
)
def test_every_frame_of_every_container_once_and_in_order(tmp_path, name, codec):
    source = _clip(write_video(tmp_path / name, codec=codec))
    clip = look_into(source)
    assert [frame.number for frame in clip.frames] == _numbers(source) == list(range(24))
    assert clip.rate == pytest.approx(24) and clip.pixels == 32 * 48
    parts = [source, *windows(Source(source.place, Sampling(None, 0.5, None)))]
    assert _numbers(parts[1]) == list(range(12, 24))


@pytest.mark.parametrize(
    ("sampling", "numbers"),
    [
        ((None, 0.0, 0.25), [0, 1, 2, 3, 4, 5]),
        # The end is not part of it, the beginning is.
        ((None, 0.5, 0.625), [12, 13, 14]),
        ((None, 0.51, 0.625), [13, 14]),
        ((6.0,), [0, 4, 8, 12, 16, 20]),
        ((6.0, 0.5, 0.9), [12, 16, 20]),
        # What is seen at 0.0, 0.1, 0.2 and so on.
        ((10.0, 0.0, 0.5), [0, 2, 4, 7, 9]),
        ((1.0,), [0]),
        # A frame is never taken twice.
        ((1000.0, 0.9, None), [22, 23]),
        ((None, 0.9, 100.0), [22, 23]),
    ],
)
def test_which_frames_are_wanted(tmp_path, sampling, numbers):
    source = _clip(write_video(tmp_path / "a.mp4"), *sampling)
    assert [frame.number for frame in look_into(source).frames] == _numbers(source) == numbers


def test_a_rate_that_varies_is_sampled_by_time(tmp_path):
    times = [0, 0.1, 0.2, 0.3, 2.0, 2.1, 4.0]
    source = _clip(write_video(tmp_path / "a.mkv", 7, times=times), 1.0)
    # At second 1 frame 3 is still seen, at second 2 frame 4, at second 3 frame 5.
    assert _numbers(source) == [0, 3, 4, 5, 6]
    assert look_into(source).rate == 1.0


@settings(max_examples=20)
@given(count=st.integers(1, 30), frames=st.integers(1, 9))
def test_windows_are_all_frames_in_order_and_the_same_each_time(tmp_path_factory, count, frames):
    path = tmp_path_factory.getbasetemp() / f"{count}.mp4"
    source = _clip(path if path.exists() else write_video(path, count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "WINDOW_FRAMES", frames)
        parts = windows(source)
        assert windows(source) == parts
    assert all(len(part.frames) == frames for part in parts[:-1])
    assert [number for part in parts for number in _numbers(part)] == list(range(count))


def test_windows_of_large_frames_are_short(tmp_path, monkeypatch):
    source = _clip(write_video(tmp_path / "a.mp4", 5))
    monkeypatch.setattr(clips, "WINDOW_BYTES", 2 * 32 * 48 * 12)
    assert [len(part.frames) for part in windows(source)] == [2, 2, 1]
    monkeypatch.setattr(clips, "WINDOW_BYTES", 1)
    assert [len(part.frames) for part in windows(source)] == [1] * 5


def test_a_clip_that_is_larger_than_the_memory_is_refused_with_numbers(tmp_path):
    source = _clip(write_video(tmp_path / "a.mp4"))
    need = 24 * 32 * 48 * 12
    check_memory(source, need)
    check_memory(source, None)
    with pytest.raises(WorkflowError, match=r"24 frames take 0\.0 GiB.*--fps or --range"):
        check_memory(source, need - 1)


def _cut(path: Path) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def _without_frames(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width = stream.height = 32
        container.start_encoding()
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: write_sound(folder / "a.mp4"), "no pictures in it"),
        (lambda folder: _cut(write_video(folder / "a.mp4")), "cannot be read as a video"),
        (lambda folder: _without_frames(folder / "a.mkv"), "no frames"),
        (lambda folder: folder / "gone.mp4", "No such file"),
        (lambda folder: Path(__file__), "cannot be read as a video"),
    ],
)
def test_what_is_no_clip_is_one_sentence(tmp_path, make, says):
    source = _clip(make(tmp_path))
    with pytest.raises(WorkflowError, match=says):
        look_into(source)


def test_a_range_without_frames_says_where_the_clip_ends(tmp_path):
    source = _clip(write_video(tmp_path / "a.mp4"), None, 5.0, None)
    with pytest.raises(WorkflowError, match=r"no frame from second 5 .*0\.958 seconds"):
        look_into(source)


def test_frames_that_are_gone_are_an_error_and_not_left_out(tmp_path):
    source = _clip(write_video(tmp_path / "a.mkv"))
    clip = look_into(source)
    _cut(tmp_path / "a.mkv")
    with pytest.raises(WorkflowError, match=r"of 24 frames cannot be decoded|cannot be read"):
        list(read(source, clip))
