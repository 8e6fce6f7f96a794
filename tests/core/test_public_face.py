"""What a plain script gets from `core`: names that are there, and an example that runs."""

from __future__ import annotations

import doctest
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anywhere import core

from tests.support.paths import FIXTURES, ROOT

PHOTO = ROOT / "workflows" / "images" / "dahlia.jpg"
# Nothing of the host is needed, and nothing heavy is read before it is used.
IMPORT_ALONE = """
import sys, types
package = types.ModuleType("segment_anywhere")
package.__path__ = [{root!r}]
sys.modules["segment_anywhere"] = package
from segment_anywhere import core
found = {{name.split(".")[0] for name in sys.modules}}
assert not found & {{"comfy", "comfy_api", "folder_paths", "server"}}, found
assert not found & {{"cv2", "transformers", "huggingface_hub", "aiohttp"}}, found
"""


def test_the_names_are_sorted_and_there():
    assert core.__all__ == sorted(core.__all__)
    assert len(set(core.__all__)) == len(core.__all__)
    for name in core.__all__:
        assert getattr(core, name) is not None


def test_importing_asks_for_no_host_and_is_light():
    code = IMPORT_ALONE.format(root=str(ROOT))
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_the_example_runs_and_finds_the_flower(monkeypatch):
    monkeypatch.chdir(ROOT)
    (example,) = doctest.DocTestFinder(recurse=False).find(core, globs={})
    assert 8 <= len(example.examples) <= 12
    runner = doctest.DocTestRunner()
    runner.run(example, clear_globs=False)
    assert runner.summarize(verbose=False).failed == 0
    (mask,) = core.union_masks(example.globs["segments"])
    share = float(mask.mean())
    assert mask[215, 310] == 1 and 0.05 < share < 0.6
    # The flower is pink, what is around it is not.
    red, green, _ = (np.asarray(Image.open(PHOTO).convert("RGB")) / 255.0).transpose(2, 0, 1)
    inside = mask.numpy() > 0
    assert (red - green)[inside].mean() > (red - green)[~inside].mean() + 0.1


@torch.inference_mode()
def test_a_file_is_opened_on_the_device_that_is_named():
    checkpoint = FIXTURES / "sam2_parity" / "checkpoint.pt"
    segmenter = core.open_model(str(checkpoint), core.Precision.FP32, "cpu")
    assert segmenter.engine.family == "sam2"
    devices = {parameter.device.type for parameter in segmenter.engine.module.parameters()}
    assert devices == {"cpu"}
    frame = torch.rand(48, 64, 3, generator=torch.Generator().manual_seed(0))
    (found,) = segmenter.segment(frame, [core.ObjectPrompt("it", points=(core.Point(30, 20),))])
    assert found.label == "it" and found.mask.size == (48, 64)


def test_a_file_that_is_missing_is_an_error_of_the_packs_own(tmp_path):
    with pytest.raises(core.CheckpointError, match="gone.pt"):
        core.open_model(tmp_path / "gone.pt")


@torch.inference_mode()
def test_words_find_with_a_detector_that_a_script_opens():
    finder = core.open_finder(FIXTURES / "clipseg_tiny", core.Precision.FP32, "cpu")
    image = torch.rand(2, 48, 64, 3, generator=torch.Generator().manual_seed(0))
    query = core.read_query("red circle", "", 0.01, 1)
    found = core.segment_words(image, query, finder, core.family_named("grabcut"), core.open_model)
    assert set(found.segments.labels) <= {"red circle"}
    assert found.segments.batch == 2 and found.segments.size == (48, 64)
