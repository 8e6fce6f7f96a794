"""SAM and HQ-SAM: their layouts, how an image lies in the model's square, and what they propose."""

from __future__ import annotations

import copy
import functools
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file
from segment_anywhere.core.engines.families import family_of_keys
from segment_anywhere.core.engines.files.checkpoints import find_family, load_engine, read_weights
from segment_anywhere.core.engines.lineage.prompted import ModelPrompts
from segment_anywhere.core.engines.sam import encoder as sam_encoder
from segment_anywhere.core.engines.sam import engine as sam
from segment_anywhere.core.engines.sam import hq as sam_hq
from segment_anywhere.core.engines.sam import layout as sam_layout
from segment_anywhere.core.engines.sam.engine import SamEngine
from segment_anywhere.core.errors import CheckpointError
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.tasks.segmenter import MaskChoice, Segmenter

from tests.support.paths import FIXTURES
from tests.support.predictor_cases import Reference

FAMILIES = ("sam", "sam_hq")
REFERENCES = {family: Reference(FIXTURES / f"{family}_parity") for family in FAMILIES}
CLASSES = {
    "sam": (transformers.SamConfig, transformers.SamModel),
    "sam_hq": (transformers.SamHQConfig, transformers.SamHQModel),
}
FRAME = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))
CLICK = ObjectPrompt("click", (Point(20, 30),))
BOX = ObjectPrompt("box", box=Box(10, 5, 50, 35))
MASK = ObjectPrompt("mask", mask=(torch.arange(60) < 30).float().expand(40, 60))


@functools.cache
def _engine(family: str) -> SamEngine:
    return load_engine(REFERENCES[family].checkpoint, torch.float32)


@functools.cache
def _state(family: str) -> dict[str, torch.Tensor]:
    return read_weights(REFERENCES[family].checkpoint)


OFFICIAL = [
    (family, name)
    for family, reference in REFERENCES.items()
    for name, official in reference.official.items()
    if official["encoder"]
]


@pytest.mark.parametrize(("family", "name"), OFFICIAL)
def test_every_official_size_is_recognised(family, name):
    """The keys and shapes of all six releases give the official architecture and fit."""
    state = REFERENCES[family].official_state(name)
    assert family_of_keys(state).name == family
    official = REFERENCES[family].official[name]
    expected, found = official["encoder"], sam_layout.infer_encoder(state)
    assert found.image_size == expected["image_size"]
    assert found.patch_size == expected["patch_size"]
    assert found.width == expected["embed_dim"]
    assert found.depth == expected["depth"]
    assert found.heads == expected["num_heads"]
    assert list(found.global_blocks) == expected["global_attn_indexes"]
    assert found.window == expected["window_size"]
    assert found.mlp == expected["mlp_dim"]
    model = family_of_keys(state).builder().from_official(state, torch.float32).module
    config = model.config.mask_decoder_config
    decoder = official["decoder"]
    assert config.num_attention_heads == decoder["num_heads"]
    assert config.iou_head_depth == decoder["iou_head_depth"]
    assert config.layer_norm_eps == decoder["transformer_norm_eps"]


def _write_safetensors(family: str, folder: Path) -> Path:
    path = folder / "model.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in _state(family).items()}, path)
    return path


def _write_with_constants(family: str, folder: Path) -> Path:
    path = folder / "model.pth"
    torch.save({**_state(family), "pixel_mean": torch.zeros(3, 1, 1)}, path)
    return path


def _write_transformers_folder(family: str, folder: Path) -> Path:
    """Saved by transformers' own model class, with its own defaults."""
    config_class, model_class = CLASSES[family]
    config = _engine(family).module.config.to_dict()
    del config["mask_decoder_config"]["layer_norm_eps"]
    model = model_class(config_class.from_dict(config))
    model.load_state_dict(sam_layout.to_transformers(_state(family)), strict=True)
    model.save_pretrained(folder / "model")
    return folder / "model"


@pytest.mark.parametrize(
    "write",
    [_write_safetensors, _write_with_constants, _write_transformers_folder],
    ids=lambda write: write.__name__,
)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_layout_gives_the_same_model(family, write, tmp_path):
    path = write(family, tmp_path)
    assert find_family(path).name == family
    expected, engine = _engine(family), load_engine(path, torch.float32)
    embedding, own = expected.encode(FRAME), engine.encode(FRAME)
    for one, other in zip(embedding.features, own.features, strict=True):
        assert torch.equal(one, other)
    for prompt in (CLICK, BOX, MASK):
        (one,), (other,) = (
            each.decode(embedding, [prompt], multimask=True) for each in (expected, engine)
        )
        assert torch.equal(one.logits, other.logits)
        assert torch.equal(one.scores, other.scores)


STRUCTURE = [
    "mask_decoder.mask_tokens.weight",
    "mask_decoder.transformer.layers.0.cross_attn_token_to_image.q_proj.weight",
    "mask_decoder.transformer.layers.0.mlp.lin1.weight",
    "mask_decoder.iou_prediction_head.layers.0.weight",
    "prompt_encoder.point_embeddings.2.weight",
    "prompt_encoder.mask_downscaling.3.weight",
    "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
    "image_encoder.pos_embed",
    "image_encoder.blocks.0.attn.rel_pos_h",
    "image_encoder.blocks.1.attn.rel_pos_w",
    "image_encoder.blocks.3.attn.rel_pos_h",
    "image_encoder.blocks.0.mlp.lin1.weight",
    "image_encoder.blocks.2.mlp.lin2.bias",
    "image_encoder.neck.0.weight",
]
HQ_STRUCTURE = [
    "mask_decoder.hf_mlp.layers.1.weight",
    "mask_decoder.compress_vit_feat.0.weight",
    "mask_decoder.embedding_maskfeature.3.bias",
]


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("shape", [None, (1, 3), (0, 0)])
@pytest.mark.parametrize(
    ("family", "key"),
    [("sam", key) for key in STRUCTURE] + [("sam_hq", key) for key in STRUCTURE + HQ_STRUCTURE],
)
def test_a_weight_that_is_missing_or_of_another_shape(family, key, shape, tmp_path):
    assert key in _state(family)
    path = tmp_path / "odd.pth"
    changed = {name: tensor for name, tensor in _state(family).items() if name != key}
    torch.save(changed if shape is None else {**changed, key: torch.zeros(shape)}, path)
    with pytest.raises(CheckpointError, match="SAM"):
        load_engine(path, torch.float32)


def test_hq_sam_without_its_token_is_not_taken_for_sam(tmp_path):
    path = tmp_path / "cut.pth"
    state = {key: x for key, x in _state("sam_hq").items() if "hf_token" not in key}
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="unknown weights.*mask_decoder"):
        load_engine(path, torch.float32)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_encoder_as_it_was_and_as_it_runs_here(family, dtype, tmp_path):
    _, model_class = CLASSES[family]
    untouched = model_class.from_pretrained(_write_transformers_folder(family, tmp_path))
    encoder = untouched.vision_encoder.eval().requires_grad_(False).to(dtype)
    streamlined = copy.deepcopy(encoder)
    sam_encoder.streamline(streamlined)
    pixels = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(1)).to(dtype)
    expected, found = encoder(pixels), streamlined(pixels)
    assert set(encoder.state_dict()) == set(streamlined.state_dict())
    one, other = expected.last_hidden_state.float(), found.last_hidden_state.float()
    error = (one - other).abs().mean() / one.abs().mean()
    assert error < {torch.float32: 1e-6, torch.bfloat16: 0.02, torch.float16: 0.002}[dtype]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((100, 100), (256, 256)),
        ((512, 1024), (128, 256)),
        ((1200, 1600), (192, 256)),
        ((333, 500), (170, 256)),
        ((500, 333), (256, 170)),
        ((1, 5000), (1, 256)),
        ((1, 1), (256, 256)),
    ],
)
def test_where_an_image_lies_in_the_models_square(size, expected):
    engine = _engine("sam")
    pixels = engine._pixels(engine._host_pixels(torch.ones(*size, 3)))
    assert pixels.shape == (1, 3, 256, 256)
    inside = (pixels != 0).all(dim=1)[0]
    height, width = expected
    assert inside[:height, :width].all()
    assert inside.sum() == height * width
    (corners,), _ = engine._points([ObjectPrompt("", box=Box(0, 0, size[1], size[0]))], size)
    assert corners.tolist() == [[0, 0], [pytest.approx(width), pytest.approx(height)]]


def test_a_mask_prompt_lies_where_its_image_does():
    """The left half of a wide image; the padding below is not in the mask."""
    (logits,) = _engine("sam")._mask_logits([MASK])
    assert logits.shape == (1, 64, 64)
    assert (logits[0, :43, :31] == 10).all()
    assert (logits[0, :43, 33:] == -10).all()
    assert (logits[0, 43:] == -10).all()


@pytest.mark.parametrize("size", [(40, 60), (300, 80), (1, 700), (256, 256)])
def test_masks_come_back_at_the_size_of_the_image(size):
    """What is inside in the model's square is inside in the image, at the same place."""
    engine = _engine("sam")
    height, width = sam._fit(size, 64)
    logits = torch.full((1, 64, 64), -8.0)
    logits[:, : height // 2 + 1, : width // 2] = 8.0
    (mask,) = engine.to_masks(logits, size)
    assert mask.shape == size
    assert mask[: size[0] // 2, : size[1] // 2 - size[1] // 32].all()
    assert not mask[:, size[1] // 2 + size[1] // 32 + 1 :].any()


@pytest.mark.parametrize("family", FAMILIES)
def test_objects_of_all_kinds_in_one_call_equal_those_alone(family):
    both = ObjectPrompt("", (Point(30, 20), Point(5, 5, positive=False)), Box(10, 5, 50, 35))
    rough = ObjectPrompt("", (Point(20, 30),), mask=MASK.mask)
    pair = ObjectPrompt("", (Point(20, 30), Point(50, 10, positive=False)))
    prompts = [CLICK, BOX, both, MASK, rough, pair, BOX, CLICK]
    engine = _engine(family)
    embedding = engine.encode(FRAME)
    together = engine.decode(embedding, prompts, multimask=True)
    for prompt, found in zip(prompts, together, strict=True):
        (alone,) = engine.decode(embedding, [prompt], multimask=True)
        torch.testing.assert_close(found.logits, alone.logits, atol=1e-4, rtol=0)
        torch.testing.assert_close(found.scores, alone.scores, atol=1e-5, rtol=0)
    distinct = {tuple(found.logits[0, 0, :8].tolist()) for found in together[:6]}
    assert len(distinct) == 6


@pytest.mark.parametrize(("family", "count"), [("sam", 3), ("sam_hq", 1)])
def test_how_many_masks_are_proposed(family, count):
    engine = _engine(family)
    embedding = engine.encode(FRAME)
    for multimask in (False, True):
        (found,) = engine.decode(embedding, [CLICK], multimask)
        number = count if multimask else 1
        assert found.logits.shape == (number, 64, 64)
        assert found.scores.shape == (number,)


@pytest.mark.parametrize("choice", MaskChoice)
def test_every_choice_of_mask_gives_hq_sams_one(choice):
    """Best, largest and smallest of one are that one, and so are all."""
    segmenter = Segmenter(_engine("sam_hq"))
    (found,) = segmenter.segment(FRAME, [CLICK], choice)
    (best,) = segmenter.segment(FRAME, [CLICK], MaskChoice.BEST)
    assert torch.equal(found.mask.pixels(), best.mask.pixels())
    assert found.score == best.score
    assert segmenter.counters.encodes == 1


@pytest.mark.parametrize("shift", [-3.0, 3.0])
def test_scores_beyond_an_iou_rank_and_are_reported_as_one(shift):
    """SAM's score is a regression without bounds."""
    engine = load_engine(REFERENCES["sam"].checkpoint, torch.float32)
    engine.module.mask_decoder.iou_prediction_head.proj_out.bias.add_(shift)
    segmenter = Segmenter(engine)
    (candidates,) = engine.decode(segmenter.embed(FRAME), [CLICK], multimask=True)
    assert ((candidates.scores < 0) | (candidates.scores > 1)).all()
    (found,) = segmenter.segment(FRAME, [CLICK], MaskChoice.BEST)
    assert found.score == (0.0 if shift < 0 else 1.0)
    best = candidates.logits[[int(candidates.scores.argmax())]]
    assert torch.equal(found.mask.pixels() > 0, engine.to_masks(best, (40, 60))[0])


def test_hq_sam_adds_to_the_best_of_sams_masks():
    """Without the high-quality part, what is left is the candidate with the highest score."""
    engine = load_engine(REFERENCES["sam_hq"].checkpoint, torch.float32)
    decoder = engine.module.mask_decoder
    decoder.hq_mask_mlp.proj_out.weight.zero_()
    decoder.hq_mask_mlp.proj_out.bias.zero_()
    embedding = engine.encode(FRAME)
    points, labels = engine._points([CLICK], embedding.size)
    sparse, dense = engine._embed_prompts(ModelPrompts(points, labels, None, has_boxes=False))
    image, _ = embedding.features
    position = engine.module.get_image_wide_positional_embeddings()
    tokens, attended = sam_hq._attend(decoder, image + dense, position, sparse)
    masks, scores = sam_hq._sam_masks(decoder, tokens, sam_hq._upscale(decoder, attended), True)
    assert masks.shape[1] == 3
    (found,) = engine.decode(embedding, [CLICK], multimask=True)
    best = scores[0].argmax()
    assert found.scores[0] == scores[0, best]
    torch.testing.assert_close(found.logits[0], masks[0, best])


def test_the_memory_asked_for_grows_with_the_model_and_its_number_type():
    states = [REFERENCES["sam"].official_state(f"vit_{size}") for size in "blh"]
    wanted = [sam.from_official(s, torch.float32).activation_bytes() for s in states]
    assert wanted == sorted(wanted)
    assert sam.from_official(states[0], torch.float16).activation_bytes() < wanted[0]
