"""The masks that the editor shows while it edits."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.errors import EmbeddingGone, InputError
from segment_anywhere.core.pictures.render import PALETTE
from segment_anywhere.core.prompts.formats import parse_points
from segment_anywhere.core.prompts.inputs import (
    PromptInputs,
    join_prompts,
    read_prompts,
    read_sockets,
)
from segment_anywhere.core.tasks import live_preview
from segment_anywhere.core.tasks.live_preview import Previewer
from segment_anywhere.core.tasks.segmenter import MaskChoice, Segmenter

from tests.support.engines import MODELS, engine_of
from tests.support.paths import FIXTURES

SIZE = (48, 64)
CLICK = "[[20, 30]]"
BEST = MaskChoice.BEST


def _frame(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 4, 5, generator=generator)
    return torch.nn.functional.interpolate(coarse, SIZE)[0].permute(1, 2, 0).contiguous()


def _prepare(segmenter: Segmenter, inputs: PromptInputs | None = None) -> tuple[Previewer, str]:
    previewer = Previewer(segmenter)
    sockets = read_sockets(inputs or PromptInputs(), 1, SIZE)[0]
    return previewer, previewer.remember(segmenter.embed(_frame()).key, sockets)


def _indices(png: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(png))
    assert (picture.mode, picture.info["transparency"]) == ("P", 0)
    assert tuple(picture.getpalette()[3:6]) == PALETTE[0]
    return np.asarray(picture)


@pytest.mark.parametrize("name", ["grabcut", *MODELS])
def test_a_preview_at_full_size_is_the_mask_of_the_run(name):
    segmenter = Segmenter(engine_of(name))
    previewer, key = _prepare(segmenter)
    prompts = read_prompts(PromptInputs(CLICK), 1, SIZE)[0]
    for choice in MaskChoice:
        shown = previewer.preview(key, CLICK, choice, 64)
        run = segmenter.segment(_frame(), prompts, choice)
        union = torch.stack([one.mask.pixels() for one in run]).amax(dim=0).numpy() >= 128
        assert (shown.asked, shown.tried, shown.found) == (1, 1, 1)
        np.testing.assert_array_equal(_indices(shown.png) > 0, union)


@pytest.mark.parametrize("name", ["grabcut", "sam2"])
def test_a_preview_of_a_painted_mask_is_the_mask_of_the_run(name):
    segmenter = Segmenter(engine_of(name))
    previewer, key = _prepare(segmenter)
    painted = {"size": [4, 4], "counts": [5, 2, 2, 2, 5]}
    text = json.dumps({"masks": [painted]})
    (prompt,) = read_prompts(PromptInputs(text), 1, SIZE)[0]
    (run,) = segmenter.segment(_frame(), [prompt], BEST)
    shown = previewer.preview(key, text, BEST, 64)
    assert (shown.asked, shown.found) == (1, 1)
    np.testing.assert_array_equal(_indices(shown.png) > 0, run.mask.pixels().numpy() >= 128)


def test_a_preview_draws_no_more_masks_than_it_has_room_for(monkeypatch):
    previewer, key = _prepare(Segmenter(engine_of("grabcut")))
    monkeypatch.setattr(live_preview, "_MAX_MASK_BYTES", 2 * 4 * SIZE[0] * SIZE[1])
    masks = [{"object": each, "size": [1, 2], "counts": [1, 1]} for each in range(3)]
    with pytest.raises(InputError, match="found 3 painted masks; .* takes 2"):
        previewer.preview(key, json.dumps({"masks": masks}), BEST, 64)


def test_a_preview_works_on_the_kept_embedding():
    segmenter = Segmenter(engine_of("sam2"))
    previewer, key = _prepare(segmenter)
    for _ in range(3):
        previewer.preview(key, CLICK, BEST, 64)
    assert (segmenter.counters.encodes, segmenter.counters.decodes) == (1, 0)


@pytest.mark.parametrize("name", MODELS)
def test_the_copy_has_no_encoder_and_shares_the_weights_on_the_cpu(name):
    engine = engine_of(name)
    copy = engine.cpu_decoder()
    assert copy.module is not engine.module
    ours = dict(copy.module.named_parameters())
    theirs = dict(engine.module.named_parameters())
    encoders = ("vision_encoder.", "text_encoder.", "detector.")
    for_clips = (
        "memory_attention.",
        "memory_encoder.",
        "object_pointer_proj.",
        "mask_downsample.",
        "temporal_positional_encoding_projection_layer.",
        "spatial_perceiver.",
    )
    assert {name for name in theirs if not name.startswith((*encoders, *for_clips))} == ours.keys()
    assert all(part.data_ptr() == theirs[name].data_ptr() for name, part in ours.items())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_copy_of_a_model_on_a_gpu_is_on_the_cpu():
    engine = load_engine(FIXTURES / "sam2_parity/checkpoint.pt", torch.float32)
    engine.module.to("cuda")
    parts = engine.cpu_decoder().module.state_dict().values()
    assert {part.device.type for part in parts} == {"cpu"}


def test_a_smaller_picture_shows_the_same():
    previewer, key = _prepare(Segmenter(engine_of("grabcut")))
    whole = _indices(previewer.preview(key, CLICK, BEST, 64).png) > 0
    half = _indices(previewer.preview(key, CLICK, BEST, 32).png) > 0
    assert half.shape == (24, 32)
    blocks = whole.reshape(24, 2, 32, 2).mean(axis=(1, 3))
    assert (half == (blocks > 0.5))[(blocks == 0) | (blocks == 1)].mean() > 0.99


def test_a_picture_is_never_larger_than_the_image():
    previewer, key = _prepare(Segmenter(engine_of("grabcut")))
    assert _indices(previewer.preview(key, CLICK, BEST, 2048).png).shape == SIZE


def test_objects_have_the_colours_of_their_numbers():
    previewer, key = _prepare(Segmenter(engine_of("grabcut")))
    points = [{"x": 20, "y": 30, "object": 2}, {"x": 60, "y": 2, "object": 7}]
    shown = previewer.preview(key, json.dumps(points), BEST, 64)
    assert set(np.unique(_indices(shown.png))) - {0} == {1 + 2, 1 + 7 % len(PALETTE)}


def test_prompts_of_the_sockets_count_too():
    segmenter = Segmenter(engine_of("sam2"))
    box = [{"x": 30, "y": 5, "width": 20, "height": 20}]
    inputs = PromptInputs(positive_coords='[{"x": 3, "y": 3}]', bboxes=[box])
    previewer, key = _prepare(segmenter, inputs)
    prompts = join_prompts(parse_points(CLICK, SIZE), read_sockets(inputs, 1, SIZE)[0])
    run = segmenter.segment(_frame(), prompts, BEST)
    shown = previewer.preview(key, CLICK, BEST, 64)
    assert shown.asked == len(prompts)
    union = torch.stack([one.mask.pixels() for one in run]).amax(dim=0).numpy() >= 128
    np.testing.assert_array_equal(_indices(shown.png) > 0, union)


def test_a_preview_is_of_the_prompts_of_its_frame():
    segmenter = Segmenter(engine_of("sam2"))
    previewer = Previewer(segmenter)
    image = segmenter.embed(_frame()).key
    first, second = (
        previewer.remember(image, sockets) for sockets in read_sockets(PromptInputs(), 2, SIZE)
    )
    points = json.dumps([{"x": 20, "y": 30}, {"x": 60, "y": 2, "object": 7, "frame": 1}])
    assert previewer.preview(first, points, BEST, 64).asked == 1
    assert previewer.preview(second, points, BEST, 64).asked == 2


def test_the_key_goes_with_image_and_sockets():
    segmenter = Segmenter(engine_of("grabcut"))
    previewer, key = _prepare(segmenter)
    image = segmenter.embed(_frame()).key
    plain = read_sockets(PromptInputs(), 1, SIZE)[0]
    masked = read_sockets(PromptInputs(mask=torch.ones(1, *SIZE)), 1, SIZE)[0]
    clicked = read_sockets(PromptInputs(positive_coords="[[1, 2]]"), 1, SIZE)[0]
    assert previewer.remember(image, plain) == key
    others = {
        previewer.remember(image, masked),
        previewer.remember(image, clicked),
        previewer.remember(segmenter.embed(_frame(1)).key, plain),
    }
    assert len(others | {key}) == 4


def test_what_is_not_kept_is_gone():
    segmenter = Segmenter(engine_of("sam2"), cache_bytes=1)
    previewer, key = _prepare(segmenter)
    with pytest.raises(EmbeddingGone, match="Run the node once"):
        previewer.preview("unknown", CLICK, BEST, 64)
    segmenter.segment(_frame(1), [])
    with pytest.raises(EmbeddingGone):
        previewer.preview(key, CLICK, BEST, 64)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("[[64, 1]]", "point 0 at .64, 1. lies outside the image"),
        ('[{"x": 1, "y": 1, "label": 0}]', "only negative prompts"),
        (json.dumps([[1, 1]] * 1001), "found 1001 prompts"),
        ('[[1, 1], {"x": 1, "y": 1, "width": 5, "height": 5, "label": 0}]', "no negative boxes"),
    ],
)
def test_prompts_that_are_refused(points, message):
    previewer, key = _prepare(Segmenter(engine_of("sam2")))
    with pytest.raises(InputError, match=message):
        previewer.preview(key, points, BEST, 64)


@pytest.mark.parametrize(("name", "tried"), [("grabcut", 3), ("sam2", 64)])
def test_a_stopped_preview_is_of_the_first_objects(name, tried):
    """An engine without weights is stopped between objects, a model between groups of them."""
    previewer, key = _prepare(Segmenter(engine_of(name)))
    objects = [[[5 * number % 64, 3 * number % 48]] for number in range(70)]
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == (3 if name == "grabcut" else 2)

    shown = previewer.preview(key, json.dumps(objects), BEST, 64, stop)
    whole = previewer.preview(key, json.dumps(objects[:tried]), BEST, 64)
    assert (shown.asked, shown.tried, shown.found) == (70, tried, whole.found)
    assert (whole.asked, whole.tried) == (tried, tried)
    np.testing.assert_array_equal(_indices(shown.png), _indices(whole.png))


def test_core_needs_no_file(monkeypatch):
    """A preview opens nothing: whatever it shows comes from memory."""
    previewer, key = _prepare(Segmenter(engine_of("grabcut")))
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("a file was opened"))
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("a file was opened"))
    assert previewer.preview(key, CLICK, BEST, 64).found == 1


def test_the_masks_of_a_clip_are_bounded(monkeypatch):
    """The newest are kept, of any size."""
    monkeypatch.setattr(live_preview, "_MAX_MASK_BYTES", 3 * 4 * SIZE[0] * SIZE[1])
    segmenter = Segmenter(engine_of("grabcut"))
    previewer = Previewer(segmenter)
    image = segmenter.embed(_frame()).key
    masks = torch.rand(5, *SIZE)
    keys = [
        previewer.remember(image, sockets)
        for sockets in read_sockets(PromptInputs(mask=masks), 5, SIZE)
    ]
    for key in keys[:2]:
        with pytest.raises(EmbeddingGone):
            previewer.preview(key, "", BEST, 64)
    for key in keys[2:]:
        assert previewer.preview(key, "", BEST, 64).asked == 1
    monkeypatch.setattr(live_preview, "_MAX_MASK_BYTES", 1)
    last = read_sockets(PromptInputs(mask=torch.ones(SIZE)), 1, SIZE)[0]
    assert previewer.preview(previewer.remember(image, last), "", BEST, 64).asked == 1
