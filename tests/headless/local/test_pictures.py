"""Which picture files a graph reads, and that it reads no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from headless.errors import WorkflowError
from headless.graph import Graph, parse_graph
from tests.support.local_runs import graph, photo, pixels


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a.png", "input/a.png"),
        ("deep/a b.png", "input/deep/a b.png"),
        ("a.png [input]", "input/a.png"),
        ("a.png [output]", "output/a.png"),
        ("deep/a.png [temp]", "temp/deep/a.png"),
        ("deep/../a.png", "input/a.png"),
        ("[temp].png", "input/[temp].png"),
    ],
)
def test_the_graphs_own_pictures_are_where_comfyui_has_them(runner, tmp_path, name, place):
    image = photo(tmp_path / "comfy" / place)
    (tmp_path / "comfy" / "input" / "deep").mkdir(parents=True, exist_ok=True)
    named = graph().with_input("1", "image", name)
    runner.check(named)
    assert pixels(runner.run(named, None, None)[0]).min() == 255
    # As a path it shows in the record of a run when the picture has changed.
    found = runner.localize(named, ()).nodes["1"].inputs["image"]
    assert Path(found).samefile(image)
    photo(image, "black")
    runner.check(runner.localize(named, ()))
    assert pixels(runner.run(runner.localize(named, ()), None, None)[0]).max() == 0


@pytest.mark.parametrize(
    "name",
    [
        "{outside}/secret.png",
        "../../secret.png",
        "../../secret.png [input]",
        "../output/made.png",
        "../input/../../secret.png [temp]",
        "link.png",
        "folder link/secret.png",
        "{outside}/comfy/inputs/near.png",
    ],
)
def test_a_graph_reads_no_picture_outside(runner, tmp_path, name):
    """A workflow comes from anywhere, and its Remote node would send the picture away."""
    secret = photo(tmp_path / "secret.png")
    photo(tmp_path / "comfy" / "output" / "made.png")
    photo(tmp_path / "comfy" / "inputs" / "near.png")
    folder = tmp_path / "comfy" / "input"
    folder.mkdir()
    (folder / "link.png").symlink_to(secret)
    (folder / "folder link").symlink_to(tmp_path)
    made = graph().with_input("1", "image", name.format(outside=tmp_path))
    for tried in (made, runner.localize(made, ())):
        with pytest.raises(WorkflowError, match=r"outside of ComfyUI's \w+ folder .*--image"):
            runner.check(tried)
        with pytest.raises(WorkflowError, match=r"outside of ComfyUI's"):
            runner.run(tried, None, None)


@pytest.mark.parametrize("name", ["", "gone.png", "deep", "~/a.png", "a\0.png", "x" * 5000])
def test_a_name_that_is_no_picture(runner, tmp_path, name):
    (tmp_path / "comfy" / "input" / "deep").mkdir(parents=True)
    made = runner.localize(graph().with_input("1", "image", name), ())
    with pytest.raises(WorkflowError, match="no image file"):
        runner.check(made)


def test_no_link_leads_to_a_picture_outside(runner, tmp_path):
    secret = photo(tmp_path / "secret.png")
    made = graph().with_input("1", "image", ["6", 0])
    text = parse_graph({"6": {"class_type": "PreviewAny", "inputs": {"source": str(secret)}}}, "")
    linked = Graph({**made.nodes, **text.nodes})
    with pytest.raises(WorkflowError, match="image is linked"):
        runner.check(linked)
    with pytest.raises(WorkflowError, match="outside of ComfyUI's input folder"):
        runner.run(linked, None, None)


def test_what_the_user_names_is_read_anywhere(runner, tmp_path, monkeypatch):
    photo(tmp_path / "elsewhere" / "a.png")
    monkeypatch.chdir(tmp_path / "elsewhere")
    made = runner.localize(graph().with_input("1", "image", "a.png"), {"1"})
    runner.check(made)
    assert pixels(runner.run(made, None, None)[0]).min() == 255
