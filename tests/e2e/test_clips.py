"""A clip through a real ComfyUI: the same masks as without one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from tests.support.paths import ROOT
from tools.demo_clip import pan_over, save_clip

pytestmark = pytest.mark.xdist_group("comfyui")

DAHLIA = ROOT / "workflows" / "images" / "dahlia.jpg"


def _rows(workflow: str, node: str, clip: Path, out: Path, *more: str) -> list[dict[str, Any]]:
    """Run a workflow of this pack on a clip; what is in its table."""
    command = [
        *(sys.executable, str(ROOT / "run_workflow.py")),
        *(str(ROOT / "workflows" / "api" / f"{workflow}.json"), "--image", str(clip)),
        *("--set", f"{node}.points=[[101, 80]]", "--fps", "6", "--range", "0.2:"),
        *("--table", str(out / "all.parquet"), "--out", str(out)),
    ]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return parquet.read_table(out / "all.parquet").to_pylist()


@pytest.mark.parametrize(
    ("workflow", "node"),
    [("track_clicks", "Track Segments"), ("point_segment", "Point Segment")],
)
def test_frames_of_a_clip_are_segmented_as_without_a_server(comfy, tmp_path, workflow, node):
    clip = tmp_path / "pan.mp4"
    with Image.open(DAHLIA) as opened:
        photo = opened.convert("RGB").resize((320, 214))
    save_clip(pan_over(photo), clip)
    there = _rows(workflow, node, clip, tmp_path / "there", "--server", comfy.url)
    assert [row["frame"] for row in there] == [5, 8, 12, 16, 20]
    assert there == _rows(workflow, node, clip, tmp_path / "here")
    names = {path.name for path in (tmp_path / "there").iterdir()}
    assert names == {path.name for path in (tmp_path / "here").iterdir()}
    if workflow == "point_segment":
        assert {f"pan_{row['frame']:06}_mask.png" for row in there} <= names
        return
    with av.open(str(tmp_path / "there" / "pan_mask.mp4")) as container:
        assert len(list(container.decode(video=0))) == 5
        assert container.streams.video[0].average_rate == 6
