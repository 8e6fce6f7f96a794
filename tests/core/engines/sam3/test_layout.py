"""SAM 3's layouts: every published key is used or left out on purpose, and all give one model."""

from __future__ import annotations

import gzip
import json
import logging
import re
import sys
import types
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from segment_anywhere.core.engines.families import family_of_keys
from segment_anywhere.core.engines.files.checkpoints import find_family, load_engine, read_weights
from segment_anywhere.core.engines.sam2.layout import memory_part
from segment_anywhere.core.engines.sam3 import engine as sam3
from segment_anywhere.core.engines.sam3 import layout as sam3_layout
from segment_anywhere.core.engines.sam3.tokens import load_tokenizer
from segment_anywhere.core.engines.sam3.words import ConceptDetector
from segment_anywhere.core.errors import CheckpointError, EngineError, InputError
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.tasks.segmenter import MaskChoice, Segmenter

from tests.support.needs import needs_sam3
from tests.support.paths import FIXTURES
from tests.support.sam3_layouts import as_comfy, as_comfy_31, write_folder

FOLDER = FIXTURES / "sam3_parity"
IMAGE_SIZE = json.loads((FOLDER / "config.json").read_text())["image_size"]
FRAME = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))
CLICK = ObjectPrompt("click", (Point(20, 20),))
LISTS = ("sam3", "sam3_comfy", "sam31_comfy")
pytestmark = needs_sam3


def _published(name: str) -> dict[str, torch.Tensor]:
    with gzip.open(FIXTURES / "sam3_keys" / f"{name}.json.gz", "rt") as file:
        shapes = json.load(file)
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return read_weights(FOLDER / "checkpoint.pt")


@pytest.fixture(scope="module")
def engine(state) -> sam3.Sam3Engine:
    return sam3.from_official(state, torch.float32, IMAGE_SIZE)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer([FOLDER])


# The parts of the files that a still image and words do not need.
LEFT_OUT = re.compile(
    r"\.attn\.freqs_cis$|(convs|sam2_convs)\.3\.|propagation_convs\.|geometry_encoder\.points_"
    r"|encoder\.text_projection$|^tracker\.(model\.)?(mask_downsample|maskmem_|no_mem_pos_enc|no_obj"
    r"|obj_ptr|transformer\.)|^tracker\.model\.(sam_mask_decoder\.|image_pe_layer\."
    r"|interactive_(mask_downsample|obj_ptr)|output_)"
)


@pytest.mark.parametrize("name", LISTS)
def test_every_published_key_is_used_or_left_out_on_purpose(name, caplog):
    published = _published(name)
    assert family_of_keys(published).name == "sam3"
    with caplog.at_level(logging.WARNING):
        model = sam3.from_official(published, torch.float16).module
    assert not caplog.records
    used = {id(tensor) for tensor in sam3_layout.decoder_state(published).values()}
    rest = [
        key
        for key, tensor in published.items()
        if id(tensor) not in used
        and (not key.startswith("detector.") or sam3_layout._UNUSED.search(key))
    ]
    assert [key for key in rest if not LEFT_OUT.search(key)] == []
    trunk = model.config.vision_config.backbone_config
    assert (trunk.num_hidden_layers, trunk.window_size, trunk.pretrain_image_size) == (32, 24, 336)
    windows = [layer.window_size for layer in model.vision_encoder.backbone.layers]
    assert [index for index, size in enumerate(windows) if size == 0] == [7, 15, 23, 31]
    text = model.text_encoder.config
    assert (text.num_hidden_layers, text.vocab_size, text.max_position_embeddings) == (
        24,
        49408,
        32,
    )
    detector = model.detector.config
    assert detector.detr_decoder_config.num_queries == 200
    assert detector.geometry_encoder_config.num_layers == 3
    assert detector.detr_encoder_config.num_layers == detector.detr_decoder_config.num_layers == 6


@pytest.mark.parametrize(("name", "make"), [("sam3_comfy", as_comfy), ("sam31_comfy", as_comfy_31)])
def test_the_layouts_made_here_have_the_published_names(name, make, state):
    """In what is read of them; numbers aside, since the fixture has fewer layers."""

    def names(keys) -> set[str]:
        kept = (key for key in keys if not LEFT_OUT.search(key))
        return {re.sub(r"\.\d+\.", ".N.", re.sub(r"\.\d+\.", ".N.", key)) for key in kept}

    assert names(make(state)) == names(_published(name))
    assert names(state) == names(_published("sam3"))


def _answers(engine: sam3.Sam3Engine, tokenizer) -> list[torch.Tensor]:
    embedding = engine.encode(FRAME)
    (clicked,) = engine.decode(embedding, [CLICK], multimask=True)
    (found,) = ConceptDetector(engine, tokenizer).detect(embedding, ["dog"], 0.0)
    return [*embedding.features, clicked.logits, clicked.scores, found.logits, found.scores]


@pytest.fixture(scope="module")
def expected(engine, tokenizer) -> list[torch.Tensor]:
    return _answers(engine, tokenizer)


def _check_equal(answers: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    # Where weights lie in memory decides how a CPU adds, to the last digit.
    for answer, wanted in zip(answers, expected, strict=True):
        torch.testing.assert_close(answer, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("make", [as_comfy, as_comfy_31])
def test_single_files_give_the_same_model(make, state, tokenizer, expected, tmp_path):
    path = tmp_path / "sam3.safetensors"
    save_file({key: x.contiguous() for key, x in make(state).items()}, path)
    assert find_family(path).name == "sam3"
    engine = sam3.from_official(read_weights(path), torch.float32, IMAGE_SIZE)
    _check_equal(_answers(engine, tokenizer), expected)


def test_the_tracker_of_sam_3_is_read_and_that_of_3_1_is_not(state):
    """The latter is another one, of which transformers has no class."""
    has_memory = [
        sam3.from_official(make(state), torch.float32, IMAGE_SIZE).memory is not None
        for make in (as_comfy, as_comfy_31)
    ]
    assert has_memory == [True, False]


def test_a_transformers_folder_gives_the_same_model(engine, tokenizer, expected, tmp_path):
    folder = write_folder(engine, tmp_path / "sam3")
    assert find_family(folder).name == "sam3"
    loaded = load_engine(folder, torch.float32)
    _check_equal(_answers(loaded, tokenizer), expected)


def test_a_folder_saved_by_transformers_itself(engine, tokenizer, expected, tmp_path):
    """The names in it are the library's own, the image model and the video tracker together."""
    import transformers

    ours = write_folder(engine, tmp_path / "ours")
    config = json.loads((ours / "config.json").read_text())
    # The memory of transformers' class has a width of its own beside the model's.
    width = config["tracker_config"]["mask_decoder_config"]["hidden_size"]
    parts = ("memory_attention_hidden", "memory_encoder_hidden")
    config["tracker_config"] |= {f"{part}_size": width for part in parts}
    parts = ("mask_downsampler", "memory_fuser")
    config["tracker_config"] |= {f"{part}_embed_dim": width for part in parts}
    video = transformers.Sam3VideoConfig(
        detector_config=config["detector_config"], tracker_config=config["tracker_config"]
    )
    model = transformers.Sam3VideoModel(video)
    own = model.state_dict()
    weights = read_weights(ours / "model.safetensors")
    memory = {f"tracker_model.{key}" for key in memory_part(engine.module.state_dict())}
    shared = {
        key: x
        for key, x in weights.items()
        if key in own and own[key].shape == x.shape and key not in memory
    }
    assert weights.keys() - shared.keys() <= {*memory, "tracker_neck.fpn_layers.3.proj1.bias"}
    model.load_state_dict(shared, strict=False)
    model.save_pretrained(tmp_path / "theirs")
    loaded = load_engine(tmp_path / "theirs", torch.float32)
    _check_equal(_answers(loaded, tokenizer), expected)


@pytest.mark.parametrize("model_type", ["sam3_tracker", "sam3_tracker_video"])
def test_a_tracker_alone_takes_prompts_but_no_words(
    model_type, engine, tokenizer, expected, tmp_path
):
    loaded = load_engine(write_folder(engine, tmp_path / "x", model_type), torch.float32)
    embedding = loaded.encode(FRAME)
    assert len(embedding.features) == 3
    (clicked,) = loaded.decode(embedding, [CLICK], multimask=True)
    _check_equal([clicked.logits], expected[4:5])
    with pytest.raises(CheckpointError, match="tracker alone, without the text head"):
        ConceptDetector(loaded, tokenizer)


def test_a_detector_alone_is_refused(engine, tmp_path):
    with pytest.raises(CheckpointError, match="sam3 holds the text head alone.*sam3_video"):
        load_engine(write_folder(engine, tmp_path / "x", "sam3"), torch.float32)


STRUCTURE = [
    "detector.backbone.vision_backbone.trunk.pos_embed",
    "detector.backbone.vision_backbone.trunk.patch_embed.proj.weight",
    "detector.backbone.vision_backbone.trunk.blocks.3.attn.qkv.bias",
    "detector.backbone.vision_backbone.convs.0.conv_1x1.weight",
    "detector.backbone.vision_backbone.sam2_convs.0.conv_1x1.weight",
    "detector.backbone.language_backbone.encoder.token_embedding.weight",
    "detector.backbone.language_backbone.resizer.weight",
    "detector.geometry_encoder.cls_embed.weight",
    "detector.transformer.decoder.query_embed.weight",
    "detector.transformer.decoder.boxRPB_embed_x.layers.1.weight",
    "detector.segmentation_head.pixel_decoder.conv_layers.0.weight",
    "tracker.sam_mask_decoder.mask_tokens.weight",
    "tracker.sam_prompt_encoder.point_embeddings.2.weight",
    "tracker.no_mem_embed",
]


@pytest.mark.parametrize("key", STRUCTURE)
@pytest.mark.parametrize("shape", [None, (1, 3)])
def test_a_weight_that_is_missing_or_of_another_shape(key, shape, state, tmp_path):
    path = tmp_path / "odd.pt"
    changed = {name: tensor for name, tensor in state.items() if name != key}
    torch.save(changed if shape is None else {**changed, key: torch.zeros(shape)}, path)
    with pytest.raises(CheckpointError, match="SAM 3"):
        load_engine(path, torch.float32)


def test_further_weights_are_left_out_and_logged(state, caplog):
    extra = {**state, "detector.extra.weight": torch.ones(2)}
    with caplog.at_level(logging.WARNING):
        sam3.from_official(extra, torch.float32, IMAGE_SIZE)
    assert "1 weights are of no use here, such as detector.extra.weight" in caplog.text


def test_an_old_transformers_says_what_to_update(state, monkeypatch):
    old = types.ModuleType("transformers")
    old.__version__ = "4.57.6"
    monkeypatch.setitem(sys.modules, "transformers", old)
    with pytest.raises(CheckpointError, match=r"SAM 3 needs transformers 5.*4\.57\.6.*pip install"):
        sam3.from_official(state, torch.float32, IMAGE_SIZE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype, state, tokenizer, expected):
    engine = sam3.from_official(state, dtype, IMAGE_SIZE)
    module = engine.module
    for part in (module.vision_encoder, module.text_encoder):
        assert {parameter.dtype for parameter in part.parameters()} == {dtype}
    for part in (module.detector, module.mask_decoder, module.prompt_encoder):
        assert {parameter.dtype for parameter in part.parameters()} == {torch.float32}
    rotary = [buffer for name, buffer in module.named_buffers() if "rotary" in name]
    assert {buffer.dtype for buffer in rotary} == {torch.float32}
    answers = _answers(engine, tokenizer)
    for answer, wanted in zip(answers[:4], expected[:4], strict=True):
        assert answer.dtype == dtype
        error = (answer.float() - wanted).abs().mean() / wanted.abs().mean()
        assert error < {torch.bfloat16: 0.05, torch.float16: 0.01}[dtype]
    assert all(answer.isfinite().all() for answer in answers)


def test_nothing_is_left_on_the_meta_device(engine):
    assert not [name for name, buffer in engine.module.named_buffers() if buffer.is_meta]


def test_one_encoding_serves_clicks_and_words(engine, tokenizer):
    runs = []
    handle = engine.module.vision_encoder.backbone.register_forward_hook(
        lambda *_: runs.append("image")
    )
    text = engine.module.text_encoder.register_forward_hook(lambda *_: runs.append("text"))
    segmenter, detector = Segmenter(engine), ConceptDetector(engine, tokenizer)
    segmenter.segment(FRAME, [CLICK], MaskChoice.BEST)
    embedding = segmenter.embed(FRAME)
    found = list(detector.detect(embedding, ["dog", "red cat", "dog"], 0.0))
    detector.detect(embedding, ["red cat"], 0.0)
    engine.refine(embedding, found[0].boxes, found[0].logits)
    segmenter.segment(FRAME, [ObjectPrompt("box", box=Box(5, 5, 40, 30))], MaskChoice.BEST)
    handle.remove()
    text.remove()
    assert sorted(runs) == ["image", "text", "text"]
    assert torch.equal(found[0].logits, found[2].logits)


def test_masks_are_made_for_what_is_kept_alone(engine, tokenizer):
    embedding = engine.encode(FRAME)
    detector = ConceptDetector(engine, tokenizer)
    (every,) = detector.detect(embedding, ["dog"], 0.0)
    between = float(every.scores[2:4].mean())
    made = []
    head = engine.module.detector.mask_decoder
    handle = head.mask_embedder.register_forward_hook(
        lambda *hooked: made.append(hooked[2].shape[1])
    )
    (some,) = detector.detect(embedding, ["dog"], between)
    (none,) = detector.detect(embedding, ["dog"], 1.0)
    handle.remove()
    assert made == [len(some.scores)] == [int((every.scores >= between).sum())]
    torch.testing.assert_close(some.logits, every.logits[: len(some.scores)])
    assert none.logits.shape == (0, *every.logits.shape[1:])
    assert none.boxes.shape == (0, 4)
    assert none.best == every.best == float(every.scores[0])


def test_refining_is_the_trackers_answer_to_box_and_mask(engine, tokenizer):
    embedding = engine.encode(FRAME)
    (found,) = ConceptDetector(engine, tokenizer).detect(embedding, ["dog"], 0.0)
    refined = engine.refine(embedding, found.boxes, found.logits)
    assert refined.shape == found.logits.shape == (20, IMAGE_SIZE // 14 * 4, IMAGE_SIZE // 14 * 4)
    prompt = ObjectPrompt("", box=Box(*found.boxes[-1].tolist()))
    asked = engine.model_prompts([prompt], embedding.size)
    asked = replace(asked, mask_logits=found.logits[-1:, None])
    alone, _ = engine.predict(embedding, asked, False)
    torch.testing.assert_close(refined[-1], alone[0, 0], atol=1e-4, rtol=0)
    nothing = engine.refine(embedding, found.boxes[:0], found.logits[:0])
    assert nothing.shape == (0, *found.logits.shape[1:])


@pytest.mark.parametrize(
    ("phrase", "message"), [("", "empty phrase"), ("dog " * 31, "accepted are 30")]
)
def test_phrases_that_cannot_be_read(phrase, message, engine, tokenizer):
    with pytest.raises(InputError, match=message):
        ConceptDetector(engine, tokenizer).detect(engine.encode(FRAME), ["dog", phrase], 0.5)


def test_a_tokenizer_of_another_model(engine, tokenizer, monkeypatch):
    monkeypatch.setattr(type(tokenizer), "__len__", lambda self: 49408)
    with pytest.raises(CheckpointError, match="tokenizer has 49408 entries, the text encoder 534"):
        ConceptDetector(engine, tokenizer)


def test_a_text_encoder_that_overflows(state, tokenizer):
    key = "detector.backbone.language_backbone.encoder.ln_final.weight"
    engine = sam3.from_official({**state, key: state[key] * 1e5}, torch.float16, IMAGE_SIZE)
    with pytest.raises(EngineError, match="text encoder overflowed in float16. Choose bf16"):
        ConceptDetector(engine, tokenizer).detect(engine.encode(FRAME), ["dog"], 0.5)
