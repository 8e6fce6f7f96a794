"""What the node's definition tells the editor, and what a remote run leaves for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anywhere.core.providers.credentials import custom_dialects
from segment_anywhere.core.providers.registry import PROVIDERS, variant_title
from segment_anywhere.nodes.host import folders, ui
from segment_anywhere.nodes.remote_editor import DRAWN, ENTRY, editor_facts
from segment_anywhere.nodes.remote_segment import RemoteProviderSegment

from tests.support.servers import KEY, SERVERS, ProviderServer, serving

CLICK = "[[100, 70]]"


def _defined() -> dict[str, dict[str, Any]]:
    """The facts in the definition that ComfyUI sends to the browser, by provider."""
    info = json.loads(json.dumps(RemoteProviderSegment.GET_NODE_INFO_V1()))
    (_, spec) = info["input"]["required"]["provider"]
    inputs = {
        option["key"]: option["inputs"].get("required", {}) | option["inputs"].get("optional", {})
        for option in spec["options"]
    }
    return {key: each["points"][1][ENTRY] for key, each in inputs.items() if "points" in each}


def test_the_definition_says_what_each_provider_takes():
    defined = _defined()
    with_points = {key: p for key, p in PROVIDERS.items() if "points" in {f.name for f in p.fields}}
    assert defined.keys() == with_points.keys()
    for key, provider in with_points.items():
        titled = {each["title"]: each for each in defined[key]["variants"].values()}
        assert titled.keys() == {variant_title(provider, name) for name in provider.variants}
        for name, features in provider.variants.items():
            facts = titled[variant_title(provider, name)]
            assert facts["takes"] == [one for one in DRAWN if getattr(features, one)]
            assert facts["text"] is features.text
            assert facts["joins_objects"] is features.joins_objects


@pytest.mark.parametrize(
    ("key", "by"), [("airefinery", ""), ("segmind", ""), ("fal", "endpoint"), ("custom", "profile")]
)
def test_it_says_which_input_chooses(key, by):
    facts = _defined()[key]
    assert facts["by"] == by
    choices = {field.name: field for field in PROVIDERS[key].fields}
    if by == "endpoint":
        assert tuple(facts["variants"]) == choices[by].choices
    else:
        assert (choices[by].default if by else "") in facts["variants"]


FILE = """
[custom.gpu-box]
dialect = "roboflow"
url = "http://10.0.0.2:9001"
key = "sk-secret"
local = true
[custom.openai]
dialect = "huggingface"
[custom.bare]
url = "https://example.com"
"""


def test_servers_of_your_own_are_known_by_their_dialect_alone(tmp_path):
    path = tmp_path / "providers.toml"
    path.write_text(FILE)
    path.chmod(0o600)
    facts = editor_facts(PROVIDERS["custom"], tmp_path)
    titles = {name: each["title"] for name, each in facts[ENTRY]["variants"].items()}
    assert titles == {
        "openai": "Your server (huggingface)",
        "huggingface": "Your server (huggingface)",
        "roboflow": "Your server (roboflow)",
        "gpu-box": "Your server (roboflow)",
        "bare": "Your server (openai)",
    }
    assert not any(word in json.dumps(facts) for word in ("secret", "10.0.0.2", "example"))


@pytest.mark.parametrize(
    ("text", "mode"), [("[custom", 0o600), (FILE, 0o644), ("custom = 1", 0o600), ("", 0o600)]
)
def test_a_file_that_is_not_to_be_read_leaves_the_built_in_ones(tmp_path, text, mode):
    path = tmp_path / "providers.toml"
    path.write_text(text)
    path.chmod(mode)
    names = ["openai", "huggingface", "roboflow"]
    assert custom_dialects(tmp_path) == {name: name for name in names}


@pytest.fixture
def segmind(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderServer]:
    monkeypatch.setattr(ui, "has_viewer", lambda: True)
    with serving(SERVERS["segmind"](mode="png")) as server:
        monkeypatch.setenv("SEGMENT_ANYWHERE_SEGMIND_URL", server.url)
        monkeypatch.setenv("SEGMIND_API_KEY", KEY)
        yield server


def _run(frames: int = 1, **options: Any) -> Any:
    image = torch.zeros(frames, 120, 160, 3)
    image[:, 40:100, 60:140] = torch.tensor([0.9, 0.2, 0.1])
    image[:, 0, 0] = torch.rand(3)
    options = {"provider": "segmind", "points": "", "prompt": ""} | options
    return asyncio.run(RemoteProviderSegment.execute(image, options))


def _picture(file: dict[str, str]) -> np.ndarray:
    folder = folders.folder_paths.get_temp_directory()
    return np.asarray(Image.open(f"{folder}/{file['subfolder']}/{file['filename']}"))


def test_a_run_leaves_its_image_and_its_mask(segmind):
    output = _run(points=CLICK)
    (state,) = output.ui["segment_anywhere"]
    assert (state["size"], state["points"], state["negative_boxes"]) == ([160, 120], CLICK, True)
    assert _picture(state["image"]).shape == (120, 160, 3)
    np.testing.assert_array_equal(_picture(state["mask"]) > 0, output.args[0][0].numpy() > 0.5)
    assert segmind.billed == 1
    # The editor has it all, and says what the line below the node would.
    assert output.ui.keys() == {"text", "segment_anywhere"}


def test_an_image_is_shown_for_free(segmind):
    (state,) = _run().ui["segment_anywhere"]
    assert _picture(state["image"]).shape == (120, 160, 3)
    assert not _picture(state["mask"]).any()
    assert segmind.billed == 0


def test_a_batch_has_its_pictures_too(segmind):
    ui_value = _run(2, points=CLICK).ui
    assert len(ui_value["images"]) == 2
    assert len(ui_value["segment_anywhere"]) == 1


def test_who_looks_at_nothing_gets_nothing(segmind, monkeypatch):
    monkeypatch.setattr(ui, "has_viewer", lambda: False)
    assert _run(points=CLICK).ui.keys() == {"text"}
