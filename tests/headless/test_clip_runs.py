"""Clips through whole runs: as one unit, or in windows of frames; here and on a server."""

from __future__ import annotations

import io
import json
import multiprocessing
import resource
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image
from pycocotools import mask as coco

import run_workflow
from headless.graph import GIVEN, parse_graph
from headless.runs import Outcome, Request, Task, open_runner, prepare, run_job
from headless.sinks.files import RECORD_KIND, Plan
from headless.sinks.joining import cut_clips, join
from headless.sources import clips
from headless.sources.units import Frame, Job, Sampling, Source
from tests.support.fake_comfy import INFO, WORKFLOW, FakeComfy, serving
from tests.support.paths import ROOT
from tests.support.videos import number_of, write_sound, write_video

GREY = {
    "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "grey"}},
}
LOAD_VIDEO = {
    "1": {"class_type": "LoadVideo", "inputs": {"file": "clip.mp4"}},
    "5": {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "grey"}},
    "3": {"class_type": "PreviewAny", "inputs": {"source": ["5", 2]}, "_meta": {"title": "Fps"}},
}
DARK = "Track Segments.points=[[24, 20]]"


@pytest.fixture
def clip(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "comfy"))
    return write_video(tmp_path / "in" / "clip.mp4")


def _run(graph: Any, folder: Path, *arguments: object) -> int:
    path = graph
    if isinstance(graph, dict):
        path = folder / "graph.json"
        path.write_text(json.dumps(graph))
    return run_workflow.main([str(path), "--out", str(folder / "out"), *map(str, arguments)])


def _written(folder: Path, pattern: str = "*.*g") -> dict[str, int]:
    """Which frame each picture shows."""
    found = sorted((folder / "out").glob(pattern))
    return {path.name: number_of(np.asarray(Image.open(path).convert("RGB"))) for path in found}


@pytest.mark.parametrize("graph", [GREY, LOAD_VIDEO])
def test_frames_are_named_by_their_number_in_windows_of_any_size(
    clip, tmp_path, monkeypatch, capsys, graph
):
    wanted = {f"clip_{number:06}_grey.png": number for number in range(6, 18)}
    for frames in (5, 32):
        monkeypatch.setattr(clips, "WINDOW_FRAMES", frames)
        assert _run(graph, tmp_path, "--image", clip, "--range", "0.25:0.75", "--force") == 0
        assert _written(tmp_path) == wanted
    capsys.readouterr()
    assert _run(graph, tmp_path, "--image", clip, "--range", "0.25:0.75") == 0
    assert capsys.readouterr().out == ""
    # Other frames of it are another job.
    assert _run(graph, tmp_path, "--image", clip, "--fps", "2") == 0
    printed = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    pictures = ["clip_000000_grey.png", "clip_000012_grey.png"]
    assert [name for name in printed if name.endswith("png")] == pictures
    assert printed[-1] == "clip_grey.mp4"


def test_the_pictures_of_all_units_become_one_video(clip, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(clips, "WINDOW_FRAMES", 5)
    assert _run(GREY, tmp_path, "--image", clip, "--range", "0.25:0.75") == 0
    video = tmp_path / "out" / "clip_grey.mp4"
    assert capsys.readouterr().out.splitlines()[-1] == str(video)
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        frames = [each.to_ndarray(format="rgb24") for each in container.decode(stream)]
        assert stream.average_rate == 24
    assert [number_of(frame) for frame in frames] == list(range(6, 18))
    # A unit that is done again is in the video.
    before = video.stat().st_mtime_ns
    (tmp_path / "out" / "clip_000011_grey.png").unlink()
    assert _run(GREY, tmp_path, "--image", clip, "--range", "0.25:0.75") == 0
    assert video.stat().st_mtime_ns > before
    video.unlink()
    assert _run(GREY, tmp_path, "--image", clip, "--range", "0.25:0.75") == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(video)
    video.unlink()
    (tmp_path / "out" / "clip_000011_grey.png").write_bytes(b"no picture")
    assert _run(GREY, tmp_path, "--image", clip, "--range", "0.25:0.75") == 1
    assert "clip.mp4: a result cannot be read again" in capsys.readouterr().err
    assert not video.exists()


def test_cut_outs_of_their_own_sizes_become_no_video(clip, tmp_path):
    for number in range(24):
        Image.new("RGB", (48 + number % 2, 32)).save(tmp_path / f"clip_{number:06}_grey.png")
    units = [Job(f"clip_{number:06}", _frame(clip, number)) for number in range(24)]
    plan = Plan(tmp_path, {"2": "grey"})
    for unit in units:
        (tmp_path / f"{unit.stem}.json").write_text(
            json.dumps({"kind": RECORD_KIND, "outputs": [f"{unit.stem}_grey.png"]})
        )
    ((job, cut),) = cut_clips(units)
    assert job.stem == "clip" and cut == units
    assert join(plan, job, units, "") == []
    assert not list(tmp_path.glob("*.mp4"))


def _frame(clip: Path, number: int) -> Source:
    return Source(str(clip), Sampling(), (Frame(number, number),))


def test_load_video_of_a_workflow_itself_is_read_from_comfyuis_folder_alone(clip, tmp_path, capsys):
    (tmp_path / "comfy").mkdir()
    (tmp_path / "in").rename(tmp_path / "comfy" / "input")
    assert _run(LOAD_VIDEO, tmp_path) == 0
    assert len(_written(tmp_path)) == 24
    assert float((tmp_path / "out" / "graph_fps.txt").read_text()) == pytest.approx(24)
    outside = {**LOAD_VIDEO, "1": {"class_type": "LoadVideo", "inputs": {"file": __file__}}}
    assert _run(outside, tmp_path) == 2
    assert "outside of ComfyUI's input folder" in capsys.readouterr().err


def test_a_clip_that_is_followed_is_one_unit_and_comes_back_as_videos(tmp_path, monkeypatch):
    photo = Image.open(ROOT / "workflows" / "images" / "dahlia.jpg").convert("RGB")
    small = np.asarray(photo.resize((96, 64)))
    path = tmp_path / "flower.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 80, 64, "yuv420p"
        for shift in range(6):
            view = np.ascontiguousarray(small[:, shift : shift + 80])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view, format="rgb24")))
        container.mux(stream.encode())
    monkeypatch.setattr(clips, "WINDOW_FRAMES", 2)
    track = ROOT / "workflows" / "api" / "track_clicks.json"
    table = ("--table", tmp_path / "all.parquet")
    options = ("--image", path, "--set", "Track Segments.points=[[44, 34]]", *table)
    assert _run(track, tmp_path, *options, "--fps", "5") == 0
    out = tmp_path / "out"
    assert {each.name for each in out.iterdir()} == {
        "flower.json",
        "flower_mask.mp4",
        "flower_overlay.mp4",
        "objects",
    }
    with av.open(str(out / "flower_mask.mp4")) as container:
        stream = container.streams.video[0]
        frames = [each.to_ndarray(format="rgb24") for each in container.decode(stream)]
        assert stream.average_rate == 5
    masks = [frame[..., 0] >= 128 for frame in frames]
    rows = parquet.read_table(tmp_path / "all.parquet").to_pylist()
    assert [row["frame"] for row in rows] == [0, 2, 4] and len(masks) == 3
    for row, mask in zip(rows, masks, strict=True):
        runs = {"size": [row["height"], row["width"]], "counts": row["rle"]}
        found = coco.decode(runs).astype(bool)
        # What the video shows is what the table says.
        assert (found != mask).sum() <= 0.005 * found.sum() and found.sum() == row["area"] > 200


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("sound.mp4", write_sound, "no pictures in it"),
        ("zero.mp4", lambda path: path.write_bytes(b""), "empty (0 bytes)"),
        ("cut.mp4", lambda path: path.write_bytes(write_video(path).read_bytes()[:900]), "damaged"),
        ("zero.png", lambda path: path.write_bytes(b""), "empty (0 bytes)"),
        ("text.png", lambda path: path.write_text("no picture"), "text.png"),
        ("cut.png", lambda path: _cut_picture(path), "cut.png"),
    ],
)
def test_a_poisoned_file_is_reported_and_the_rest_goes_on(clip, tmp_path, capsys, name, make, says):
    make(clip.parent / name)
    Image.new("RGB", (48, 32), (20, 20, 20)).save(clip.parent / "fine.png")
    assert _run(GREY, tmp_path, "--image", clip.parent) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "failed: " in line]
    assert len(lines) == 1 and name in lines[0] and says in lines[0]
    assert len(_written(tmp_path)) == 25


def _cut_picture(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def test_files_of_one_stem_do_not_meet(clip, tmp_path):
    Image.new("RGB", (48, 32), (20, 20, 20)).save(clip.parent / "clip.png")
    # What a frame of the clip would be called.
    Image.new("RGB", (48, 32), (15, 15, 15)).save(clip.parent / "clip_000004.png")
    assert _run(GREY, tmp_path, "--image", clip.parent) == 0
    found = _written(tmp_path)
    assert len(found) == 26 and sorted(found.values()) == sorted([*range(24), 1, 2])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--fps", "0"), "--fps 0"),
        (("--range", "3:1"), "--range 3:1"),
        (("--table", "all.csv"), "ends in .parquet"),
        (("--table", "foreign.parquet"), "no table of an earlier run"),
        (("--table", "all.parquet"), "no node of the workflow makes segments"),
    ],
)
def test_bad_options_end_before_anything_runs(clip, tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "foreign.parquet").write_bytes(b"PAR1")
    assert _run(GREY, tmp_path, "--image", clip, *arguments) == 2
    error = capsys.readouterr().err
    assert says in error and len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "foreign.parquet").read_bytes() == b"PAR1"


def _run_elsewhere(task: Task, job: Job) -> Outcome:
    with open_runner() as runner:
        return run_job(task, job, runner)


def test_a_unit_of_a_clip_goes_to_another_process(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(clips, "WINDOW_FRAMES", 10)
    sources = [Source(str(clip), Sampling())]
    request = Request(parse_graph(GREY, "test"), "test", tmp_path / "out", sources)
    with open_runner() as runner:
        task = prepare(request, runner)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        outcomes = list(pool.map(_run_elsewhere, [task] * 3, reversed(task.jobs)))
    assert [len(outcome.written) for outcome in outcomes] == [4, 10, 10]
    assert list(_written(tmp_path).values()) == list(range(24))


def test_options_for_clips_need_one(clip, tmp_path, capsys):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert _run(GREY, tmp_path, "--image", tmp_path / "a.png", "--fps", "2") == 2
    assert "names none" in capsys.readouterr().err


def test_a_mask_that_a_clip_has_not_and_a_picture_for_load_video(clip, tmp_path, capsys):
    masked = {**GREY, "3": {"class_type": "MaskPreview", "inputs": {"mask": ["1", 1]}}}
    assert _run(masked, tmp_path, "--image", clip) == 2
    assert "a clip has none" in capsys.readouterr().err
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    named = ("--image", tmp_path / "a.png", "--image-node", "1")
    assert _run(LOAD_VIDEO, tmp_path, *named) == 2
    assert "which takes clips" in capsys.readouterr().err


def test_a_clip_larger_than_the_memory_is_refused_with_numbers(clip, tmp_path, monkeypatch, capsys):
    psutil = pytest.importorskip("psutil")
    free = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    assert _run(GREY, tmp_path, "--image", clip) == 1
    assert "24 frames take 0.0 GiB" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.png"))


def test_a_full_disk_keeps_a_result_whole_or_not_at_all(clip, tmp_path, capsys):
    """The process may write no file of more than some bytes, which one picture fits into."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(clip.parent / "large.png")
    Image.fromarray(noise[:8, :8]).save(clip.parent / "small.png")
    two = {**GREY, "3": {"class_type": "PreviewAny", "inputs": {"source": "before"}}}
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        status = _run(
            two, tmp_path, "--image", clip.parent / "large.png", clip.parent / "small.png"
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert status == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "failed: " in line]
    assert len(lines) == 1 and "large.png" in lines[0] and "the disk is full" in lines[0]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"small.json", "small_grey.png", "small_previewany.txt"}
    assert _run(two, tmp_path, "--image", clip.parent / "large.png") == 0


@pytest.fixture
def comfy(monkeypatch) -> Iterator[FakeComfy]:
    video = {"input": {"required": {"file": [["x.mp4"], {}]}}, "output_node": False}
    parts = {"input": {"required": {"video": ["VIDEO", {}]}}, "output_node": False}
    monkeypatch.setitem(INFO, "LoadVideo", video)
    monkeypatch.setitem(INFO, "GetVideoComponents", parts)
    with serving() as fake:
        yield fake


def test_a_server_gets_the_file_itself_or_its_frames_without_loss(
    clip, tmp_path, monkeypatch, comfy
):
    monkeypatch.setattr(clips, "WINDOW_FRAMES", 16)
    monkeypatch.setitem(INFO, "SegmentAnywhereTrack", INFO["Segment"])
    followed = {**WORKFLOW, "3": {**WORKFLOW["3"], "class_type": "SegmentAnywhereTrack"}}
    server = ("--image", clip, "--server", comfy.url)
    assert _run(followed, tmp_path, *server) == 0
    ((name, data),) = comfy.uploads.items()
    assert data == clip.read_bytes() and name.endswith(".mp4")
    graph = comfy.prompts[0]["prompt"]
    assert graph["1"]["class_type"] == "GetVideoComponents"
    assert graph[graph["1"]["inputs"]["video"][0]]["inputs"] == {"file": name}
    comfy.uploads.clear()
    assert _run(WORKFLOW, tmp_path, *server) == 0
    numbers = []
    for name, data in comfy.uploads.items():
        assert name.endswith(".mov")
        with av.open(io.BytesIO(data)) as container:
            frames = container.decode(video=0)
            numbers.append([number_of(each.to_ndarray(format="rgb24")) for each in frames])
    assert numbers == [list(range(16)), list(range(16, 24))]


def test_a_server_without_the_memory_is_asked_first(clip, tmp_path, comfy, capsys):
    comfy.stats["system"]["ram_free"] = 1000
    assert _run(WORKFLOW, tmp_path, "--image", clip, "--server", comfy.url) == 1
    assert "GiB of memory are free" in capsys.readouterr().err and not comfy.uploads


def test_the_name_that_a_run_gives_is_none_that_a_workflow_can_use(clip, tmp_path, capsys):
    own = {**GREY, "1": {"class_type": "LoadImage", "inputs": {"image": GIVEN}}}
    assert parse_graph(own, "test")
    assert _run(own, tmp_path) == 1
    assert "no image file" in capsys.readouterr().err
