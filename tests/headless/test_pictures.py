"""A picture that cannot be read, in the same words on a server and in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from headless.errors import WorkflowError
from headless.local.core_nodes import LoadImage
from headless.pictures import Pictures, check_picture
from headless.remote.runner import ServerRunner
from tests.support.fake_comfy import serving
from tests.support.local_runs import given, graph, photo


def _cut(path: Path, keep: float) -> Path:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    return path


def _cut_jpeg(folder: Path) -> Path:
    return _cut(photo(folder / "cut.jpg", size=(640, 480)), 0.5)


def _cut_png(folder: Path) -> Path:
    path = folder / "cut.png"
    Image.effect_noise((64, 64), 50).save(path)
    return _cut(path, 0.5)


def _cut_animation(folder: Path) -> Path:
    path = folder / "cut.gif"
    frames = [Image.effect_noise((64, 64), 50 + i) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    return _cut(path, 0.7)


def _empty(folder: Path) -> Path:
    path = folder / "empty.jpg"
    path.touch()
    return path


def _page(folder: Path) -> Path:
    path = folder / "page.png"
    path.write_text("<!doctype html><html></html>")
    return path


DAMAGED = {
    _empty: "empty.jpg: the file is empty. Save or copy the picture again.",
    _cut_jpeg: "cut.jpg: the picture is cut off or damaged (",
    _cut_png: "cut.png: the picture is cut off or damaged (",
    _cut_animation: "cut.gif: the picture is cut off or damaged (",
    _page: "page.png: this is no picture that can be read, whatever its name says.",
    lambda folder: folder / "gone.png": "gone.png: no such file. Check the path.",
}


@pytest.mark.parametrize(("make", "says"), DAMAGED.items(), ids=list(DAMAGED.values()))
def test_nothing_goes_up_that_a_server_would_fill_in(make, says, tmp_path):
    with serving() as comfy, ServerRunner(comfy.url, poll_seconds=0.001) as runner:
        with pytest.raises(WorkflowError) as caught:
            runner.run(graph(), "1", given(make(tmp_path)))
        assert says in str(caught.value)
        assert not caught.value.stops_run
        assert not comfy.uploads and not comfy.prompts


@pytest.mark.parametrize(
    ("make", "says"), list(DAMAGED.items())[:-1], ids=list(DAMAGED.values())[:-1]
)
def test_load_image_says_the_same(make, says, tmp_path):
    path = make(tmp_path)
    node = LoadImage.reading(Pictures({"input": tmp_path}))
    with pytest.raises(WorkflowError) as caught:
        node().execute(path.name)
    assert says in str(caught.value)


def test_what_this_pillow_does_not_know_is_the_servers_to_read(tmp_path):
    path = tmp_path / "photo.heif-of-tomorrow"
    path.write_bytes(b"\0\0\0\x18ftypheic")
    check_picture(path)
    path.write_bytes(b"")
    with pytest.raises(WorkflowError, match="is empty"):
        check_picture(path)
