"""The schemas of all nodes: released names stay, texts are there, defaults are accepted."""

from __future__ import annotations

import inspect
import json
import subprocess

import pytest
from comfy_api.latest import io
from comfy_api.latest._io import WidgetInput
from segment_anywhere.core.engines.families import DETECTOR_FAMILIES, FAMILIES
from segment_anywhere.core.providers.registry import PROVIDERS
from segment_anywhere.nodes import NODES
from segment_anywhere.nodes.remote_inputs import provider_input

from tests.support.paths import ROOT

# What has no widget and must be linked before ComfyUI runs the node.
LINKED = {
    "SegmentAnywhereLoadSAM": set(),
    "SegmentAnywherePoint": {"model", "image"},
    "SegmentAnywhereText": {"model", "image"},
    "SegmentAnywhereEverything": {"model", "image"},
    "SegmentAnywhereRemote": {"image", "provider"},
    "SegmentAnywhereSelect": {"segments"},
    "SegmentAnywhereMaskRefine": set(),
    "SegmentAnywhereCombine": set(),
    "SegmentAnywhereDraw": {"image", "segments"},
    "SegmentAnywhereCutOut": {"image"},
    "SegmentAnywhereCompare": {"segments_a", "segments_b"},
    "SegmentAnywhereTrack": {"model", "images"},
    "SegmentAnywhereFromSAM3Track": {"track_data"},
    "SegmentAnywhereCrop": {"image", "segments"},
    "SegmentAnywhereStitch": {"stitch", "image"},
    "SegmentAnywhereToSEGS": {"segments"},
    "SegmentAnywhereFromSEGS": {"segs"},
    "SegmentAnywhereFromMasks": {"masks"},
    "SegmentAnywhereSave": {"segments"},
    "SegmentAnywhereLoad": set(),
}


def _snapshot() -> dict:
    return {
        schema.node_id: {
            "inputs": {each.id: each.get_io_type() for each in schema.inputs},
            "outputs": {each.id: each.get_io_type() for each in schema.outputs},
        }
        for schema in (node.GET_SCHEMA() for node in NODES)
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def test_released_names_never_change():
    """Saved workflows depend on them: new inputs go to the end and are optional."""
    _check_kept(json.loads((ROOT / "tests" / "vectors" / "nodes.json").read_text()))


def test_the_names_of_the_last_release_are_all_there():
    """As they were then, whatever has become of the file since."""
    tag = _git("describe", "--tags", "--abbrev=0", "--match", "v*")
    if not tag:
        pytest.skip("no release in this copy's history")
    _check_kept(json.loads(_git("show", f"{tag}:tests/vectors/nodes.json")))


def _check_kept(released: dict) -> None:
    current = _snapshot()
    assert list(released) == list(current)[: len(released)]
    for node in NODES:
        schema = node.GET_SCHEMA()
        names = released.get(schema.node_id, {"inputs": {}, "outputs": {}})
        for part in ("inputs", "outputs"):
            kept = list(current[schema.node_id][part].items())[: len(names[part])]
            assert kept == list(names[part].items())
        if names["inputs"]:
            assert all(each.optional for each in schema.inputs[len(names["inputs"]) :])


def test_an_input_that_a_graph_leaves_out_is_for_the_host_to_name():
    """Graphs for the API need not name every widget; the host says which it misses."""
    checked = [node for node in NODES if "validate_inputs" in vars(node)]
    assert len(checked) == 8
    assert all(node.validate_inputs() is True for node in checked)


def test_schemas_are_complete():
    for node in NODES:
        schema = node.GET_SCHEMA()
        assert schema.category == "image/Segment Anywhere"
        # Without it the preview vanishes as soon as the result comes from the cache.
        assert schema.has_intermediate_output is (schema.node_id != "SegmentAnywhereLoadSAM")
        assert schema.search_aliases
        assert (ROOT / "web" / "docs" / f"{schema.node_id}.md").is_file()
        assert schema.description
        assert all(each.tooltip for each in (*schema.inputs, *schema.outputs))


def _words(text: str) -> str:
    """As a search that minds neither case nor what stands between words."""
    return "".join(filter(str.isalnum, text.lower()))


SEARCHED = {
    "SegmentAnywhereLoadSAM": [name for each in FAMILIES for name in (each.name, each.title)],
    "SegmentAnywhereText": [name for each in DETECTOR_FAMILIES for name in (each.name, each.title)],
    "SegmentAnywhereRemote": [
        *(name for each in PROVIDERS.values() for name in (each.key, each.title)),
        *("gitee", "accenture", "imagineo", "roboflow", "huggingface", "evf-sam"),
    ],
    "SegmentAnywhereCombine": ["combine masks"],
}


@pytest.mark.parametrize("node_id", SEARCHED)
def test_a_search_for_a_model_or_a_provider_finds_its_node(node_id):
    [schema] = [s for s in (node.GET_SCHEMA() for node in NODES) if s.node_id == node_id]
    found = {_words(each) for each in schema.search_aliases}
    # "SAM 3 / 3.1" is two names, "Your server" none that anybody would look for.
    wanted = {
        _words(part if part[0].isalpha() else f"sam{part}")
        for name in SEARCHED[node_id]
        for part in name.split(" / ")
    } - {"yourserver", "custom"}
    assert wanted <= found


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_what_must_be_linked(node):
    schema = node.GET_SCHEMA()
    needed = {
        each.id
        for each in schema.inputs
        if not each.optional and getattr(each, "default", None) is None
    }
    assert needed == LINKED[schema.node_id]


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_no_widget_refuses_its_own_default(node):
    for each in node.GET_SCHEMA().inputs:
        default = getattr(each, "default", None)
        options = getattr(each, "options", None)
        if options and default is not None:
            assert default in options, each.id
        elif isinstance(default, int | float) and not isinstance(default, bool):
            assert each.min <= default <= each.max, each.id


def _settings(inputs) -> dict[str, dict]:
    """What each input's widget starts from and accepts."""
    return {
        each.id: {
            name: getattr(each, name)
            for name in ("default", "min", "max", "step")
            if getattr(each, name, None) is not None
        }
        | {
            name: True
            for name in ("multiline", "advanced", "force_input")
            if getattr(each, name, None)
        }
        for each in inputs
        if isinstance(each, WidgetInput) and not isinstance(each, io.DynamicCombo.Input)
    }


def test_what_the_widgets_start_from_and_accept():
    """A default that moves changes what a script gets that leaves it out; a range that shrinks
    makes ComfyUI refuse saved workflows."""
    shown = {schema.node_id: _settings(schema.inputs) for schema in (n.GET_SCHEMA() for n in NODES)}
    for option in provider_input().options:
        own = _settings(option.inputs)
        shown["SegmentAnywhereRemote"] |= {f"{option.key}.{name}": own[name] for name in own}
    expected = json.loads((ROOT / "tests" / "vectors" / "widgets.json").read_text())
    # As JSON: a choice is an enum here and a word there.
    assert json.loads(json.dumps(shown)) == expected


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_a_call_without_an_input_means_the_widgets_default(node):
    widgets = _settings(node.GET_SCHEMA().inputs)
    for name, parameter in inspect.signature(node.execute).parameters.items():
        if parameter.default in (parameter.empty, None):
            continue
        settings = widgets[name]
        default = "" if "force_input" in settings else settings["default"]
        assert parameter.default == default, name
