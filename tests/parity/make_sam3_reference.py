"""Write the SAM 3 reference fixtures that the test suite compares its own loader against.

The normal test suite does not need the official implementation: this script runs it once, on a
narrow model with random weights, and stores what it answered. To run it again:

    python3 -m venv sam3-reference
    sam3-reference/bin/pip install torch==2.11.0 torchvision==0.26.0 setuptools sam3==0.1.4
    sam3-reference/bin/pip install iopath ftfy regex pycocotools einops decord
    sam3-reference/bin/python -m tests.parity.make_sam3_reference

Everything runs in float32 on one CPU thread from fixed seeds. Written to `tests/fixtures/
sam3_parity` (or to the folder given with `--out`):

    checkpoint.pt  {"model": state dict} as in the released sam3.pt, but in float16; the reference
                   ran on exactly these values, widened to float32.
    reference.npz  images, mask prompts and, per case, the outputs of `predict`; per phrase and per
                   set of example boxes, what the detector found.
    config.json    the narrow architecture, the prompt of each case, the phrases with their token
                   ids, and the example boxes.
    vocab.json, merges.txt
                   the small vocabulary of the text encoder, in CLIP's layout.

The package expects a GPU in three places and has its widths written into its functions; both are
replaced here from outside (`narrow`). Pictures are resized in float32, as its interactive predictor
does; its `Sam3Processor` rounds them to bytes on the way.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import tempfile
import types
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sam3 import model_builder
from sam3.model import sam3_tracker_base
from sam3.model.decoder import TransformerDecoder
from sam3.model.sam3_image_processor import Sam3Processor
from sam3.model.tokenizer_ve import SimpleTokenizer, bytes_to_unicode
from torch import Tensor, nn

from . import make_sam2_reference as shared
from . import narrow_models
from .reference_files import halved, print_sizes, write_reference

SEED = 1
IMAGE_SIZE = 168
PATCH = 14
WINDOW = 4
TRUNK = {"embed_dim": 64, "depth": 8, "num_heads": 16, "mlp_ratio": 1.0}
GLOBAL_BLOCKS = (1, 3, 5, 7)
TEXT = {"width": 64, "heads": 16, "layers": 2}
# The widths that the package writes into its functions, and what stands for them here.
WIDTHS = {256: 32, 2048: 64, 1008: IMAGE_SIZE, 200: 20, 64: 8}
LAYERS = {6: 2, 4: 1}
CLASSES = (
    "PositionEmbeddingSine Sam3DualViTDetNeck TransformerEncoderLayer MultiheadAttention "
    "TransformerEncoderFusion TransformerDecoderLayer TransformerDecoder MLP DotProductScoring "
    "PixelDecoder UniversalSegmentationHead CXBlock SequenceGeometryEncoder SimpleMaskDownSampler "
    "RoPEAttention TransformerDecoderLayerv2 TransformerEncoderCrossAttention TransformerWrapper "
    "Sam3TrackerPredictor"
).split()
# Of the masks of a phrase, those of the first queries are stored.
STORED_MASKS = 6
WORDS = ("dog", "cat", "red", "car", "cup", "the", "small", "shape", "caf")
PHRASES = ("dog", "the small red cup", "Café  CAR", "!! cat's 42 shapes", "blue")
# Example boxes: a phrase, None for none, and boxes as fractions of the image, xyxy, with their
# sign. They are large and small, beyond a feature's width and within it, and at all four edges.
EXAMPLES = (
    (None, (((0.1, 0.2, 0.45, 0.7), True),)),
    ("dog", (((0.5, 0.5, 0.53, 0.54), True), ((0.0, 0.0, 1.0, 1.0), False))),
    ("the small red cup", (((0.6, 0.1, 1.0, 0.35), False),)),
    (
        None,
        (
            ((0.97, 0.02, 1.0, 0.05), True),
            ((0.0, 0.9, 0.3, 1.0), True),
            ((0.3, 0.3, 0.6, 0.5), False),
        ),
    ),
)
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "sam3_parity"

GAINS = shared.GAINS | {
    "transformer.layers.0.mlp.lin2": 2.0,
    "transformer.layers.1.mlp.lin2": 2.0,
    "output_hypernetworks_mlps.0.layers.2": 3.0,
    "output_hypernetworks_mlps.1.layers.2": 1.3,
    "output_hypernetworks_mlps.2.layers.2": 1.3,
    "output_hypernetworks_mlps.3.layers.2": 1.3,
    "mask_embed.layers.2": 0.8,
    "hs_proj": 4.0,
    "bbox_embed.layers.2": 2.0,
    "presence_token_head.layers.2": 2.0,
}


def narrow(make: Any) -> Any:
    """A class of the package that is built with the widths of this script."""

    def build(*args: Any, **kwargs: Any) -> Any:
        kwargs = {
            key: LAYERS.get(value, value) if key == "num_layers" else _narrowed(value)
            for key, value in kwargs.items()
        }
        return make(*map(_narrowed, args), **kwargs)

    return build


def _narrowed(value: Any) -> Any:
    return WIDTHS.get(value, value) if type(value) is int else value


def patch_package() -> None:
    """Make the package build narrow models, on the CPU."""
    builder = model_builder
    for name in CLASSES:
        setattr(builder, name, narrow(getattr(builder, name)))
    for name in ("TwoWayTransformer", "MaskDecoder"):
        setattr(sam3_tracker_base, name, narrow(getattr(sam3_tracker_base, name)))
    builder.nn = types.SimpleNamespace(LayerNorm=narrow(nn.LayerNorm))
    position_encoding = builder.PositionEmbeddingSine
    builder.PositionEmbeddingSine = lambda precompute_resolution=None, **kwargs: position_encoding(
        **kwargs
    )
    coordinates = TransformerDecoder._get_coords
    TransformerDecoder._get_coords = staticmethod(
        lambda height, width, device: coordinates(height, width, "cpu")
    )
    memory = builder.SimpleMaskEncoder
    builder.SimpleMaskEncoder = lambda **kwargs: memory(**kwargs | {"in_dim": 32, "out_dim": 8})
    downsampler = builder.SimpleMaskDownSampler
    builder.SimpleMaskDownSampler = lambda **kwargs: downsampler(
        embed_dim=32, total_stride=4, **kwargs
    )
    vit = builder.ViT
    builder.ViT = lambda **kwargs: vit(
        **kwargs
        | TRUNK
        | {
            "img_size": IMAGE_SIZE,
            "pretrain_img_size": WINDOW * PATCH,
            "window_size": WINDOW,
            "global_att_blocks": GLOBAL_BLOCKS,
        }
    )
    Tensor.pin_memory = lambda self, *_, **__: self


def build_model(tokenizer: SimpleTokenizer) -> nn.Module:
    """The official image model with its interactive predictor, with the weights drawn here."""
    text = model_builder.VETextEncoder(32, tokenizer, vocab_size=tokenizer.vocab_size, **TEXT)
    tracker = model_builder.build_tracker(apply_temporal_disambiguation=False)
    predictor = model_builder.SAM3InteractiveImagePredictor(tracker)
    grid = IMAGE_SIZE // PATCH
    # The predictor hard-codes the feature sizes of 1008-pixel models.
    predictor._bb_feat_sizes = [(grid * scale, grid * scale) for scale in (4, 2, 1)]
    model = model_builder._create_sam3_model(
        model_builder._create_vl_backbone(model_builder._create_vision_backbone(), text),
        model_builder._create_sam3_transformer(),
        model_builder._create_geometry_encoder(),
        model_builder._create_segmentation_head(),
        model_builder._create_dot_product_scoring(),
        predictor,
        True,
    ).eval()
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(draw(model, name, tensor, generator).half().float())
    return model


def draw(model: nn.Module, name: str, like: Tensor, generator: torch.Generator) -> Tensor:
    """Random values for one tensor, none of them neutral."""
    owner_name, _, leaf = name.rpartition(".")
    if leaf == "in_proj_weight":
        noise = torch.randn(like.shape, generator=generator)
        return 1.6 / math.sqrt(like.shape[1]) * noise
    if isinstance(model.get_submodule(owner_name), nn.GroupNorm):
        noise = torch.randn(like.shape, generator=generator)
        return 1 + 0.3 * noise if leaf == "weight" else 0.3 * noise
    if owner_name.endswith("query_embed"):
        # Queries that differ, as trained ones do.
        return 2.5 * torch.randn(like.shape, generator=generator)
    leaf_like_bias = name.replace("in_proj_bias", "bias")
    return narrow_models.draw(model, leaf_like_bias, like, generator, GAINS)


def released_names(model: nn.Module) -> dict[str, Tensor]:
    """The state dict under the names of the released file."""
    inner = "inst_interactive_predictor.model."
    return {
        name.replace(inner, "tracker.") if name.startswith(inner) else f"detector.{name}": value
        for name, value in model.state_dict().items()
    }


def write_vocabulary(out: Path) -> list[str]:
    """Byte pairs that build up a few words, and nothing else; returns the merges."""
    merges: list[str] = []
    for word in WORDS:
        *letters, last = word
        left = [*letters, f"{last}</w>"]
        while len(left) > 1:
            pair = f"{left[0]} {left[1]}"
            if pair not in merges:
                merges.append(pair)
            left[:2] = [left[0] + left[1]]
    symbols = list(bytes_to_unicode().values())
    vocabulary = [*symbols, *(f"{symbol}</w>" for symbol in symbols)]
    vocabulary += [pair.replace(" ", "") for pair in merges]
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    ids = {token: index for index, token in enumerate(vocabulary)}
    text = json.dumps(ids, ensure_ascii=False)
    (out / "vocab.json").write_text(text + "\n", encoding="utf-8")
    lines = "\n".join(["#version: 0.2", *merges])
    (out / "merges.txt").write_text(lines + "\n", encoding="utf-8")
    return merges


def official_tokenizer(merges: list[str]) -> SimpleTokenizer:
    """The package's tokenizer on these merges; it reads them from a packed file."""
    with tempfile.NamedTemporaryFile(suffix=".txt.gz") as file:
        file.write(gzip.compress("\n".join(["#version: 0.2", *merges]).encode()))
        file.flush()
        tokenizer = SimpleTokenizer(bpe_path=file.name)
    return tokenizer


def run_prompts(
    model: nn.Module, state: dict[str, Any], masks: dict, index: int
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Points, boxes and masks on one image: arrays and config.json entries."""
    predictor = types.SimpleNamespace(predict=lambda **prompt: model.predict_inst(state, **prompt))
    arrays: dict[str, np.ndarray] = {}
    entries = []
    for case in shared.make_cases(index):
        out = shared.predict(predictor, case, masks, case.multimask)
        out.pop("full")
        entry = asdict(case)
        del entry["full"]
        entry["outputs"] = {key: f"{case.name}.{key}" for key in out}
        arrays |= {entry["outputs"][key]: value for key, value in out.items()}
        entries.append(entry)
    return arrays, entries


def run_phrase(
    model: nn.Module, processor: Sam3Processor, state: dict[str, Any], phrase: str
) -> dict[str, np.ndarray]:
    """What the detector answers to one phrase, query by query."""
    raw: dict[str, Tensor] = {}
    grounding = model.forward_grounding

    def record(**kwargs: Any) -> dict[str, Tensor]:
        out = grounding(**kwargs)
        raw.update({key: out[key] for key in ("pred_logits", "presence_logit_dec", "pred_masks")})
        return out

    model.forward_grounding = record
    found = processor.set_text_prompt(phrase, dict(state, backbone_out=dict(state["backbone_out"])))
    del model.forward_grounding
    return {
        "logits": raw["pred_logits"][0, :, 0].numpy(),
        "presence": raw["presence_logit_dec"][0].numpy(),
        "masks": raw["pred_masks"][0].numpy(),
        "scores": found["scores"].numpy(),
        "boxes": found["boxes"].numpy(),
    }


def run_examples(
    model: nn.Module,
    processor: Sam3Processor,
    state: dict[str, Any],
    phrase: str | None,
    boxes: tuple,
) -> dict[str, np.ndarray]:
    """What the detector answers to boxes, beside a phrase or alone, query by query."""
    state = dict(state, backbone_out=dict(state["backbone_out"]))
    if phrase is not None:
        state = processor.set_text_prompt(phrase, state)
    for (x1, y1, x2, y2), sign in boxes:
        box = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
        state = processor.add_geometric_prompt(box, sign, state)
    low = model.forward_grounding(
        backbone_out=state["backbone_out"],
        find_input=processor.find_stage,
        geometric_prompt=state["geometric_prompt"],
        find_target=None,
    )
    return {
        "masks": low["pred_masks"][0].numpy(),
        "scores": state["scores"].numpy(),
        "boxes": state["boxes"].numpy(),
    }


@torch.inference_mode()
def run(model: nn.Module) -> tuple[dict[str, np.ndarray], dict[str, list[dict]]]:
    """All arrays of reference.npz; the cases, phrases and examples of config.json."""
    images = narrow_models.make_images(shared.IMAGE_SHAPES, SEED)
    masks = narrow_models.make_mask_inputs(len(images), IMAGE_SIZE // PATCH * 4, SEED)
    arrays = {f"image_{i}": image for i, image in enumerate(images)} | masks
    cases, phrases, examples = [], [], []
    processor = Sam3Processor(model, IMAGE_SIZE, device="cpu", confidence_threshold=0.0)
    transforms = model.inst_interactive_predictor._transforms.transforms
    processor.transform = lambda pixels: transforms(pixels.as_subclass(Tensor))
    for index, image in enumerate(images):
        pixels = torch.from_numpy(image).permute(2, 0, 1) / 255
        state = processor.set_image(pixels)
        outputs, entries = run_prompts(model, state, masks, index)
        arrays |= outputs
        cases += entries
        for number, phrase in enumerate(PHRASES):
            name = f"image{index}_phrase{number}"
            found = run_phrase(model, processor, state, phrase)
            found["masks"] = found["masks"][:STORED_MASKS]
            arrays |= {f"{name}.{key}": value for key, value in found.items()}
            phrases.append({"name": name, "image": index, "phrase": phrase})
        for number, (phrase, boxes) in enumerate(EXAMPLES):
            name = f"image{index}_examples{number}"
            found = run_examples(model, processor, state, phrase, boxes)
            found["masks"] = found["masks"][:STORED_MASKS]
            arrays |= {f"{name}.{key}": value for key, value in found.items()}
            signed = [{"corners": corners, "positive": sign} for corners, sign in boxes]
            examples.append({"name": name, "image": index, "phrase": phrase, "boxes": signed})
    return arrays, {"cases": cases, "phrases": phrases, "examples": examples}


def check_informative(arrays: dict[str, np.ndarray], entries: dict[str, list[dict]]) -> None:
    """Refuse to store a reference that a broken loader could match by accident."""
    for case in entries["cases"]:
        for mask in arrays[case["outputs"]["low"]].reshape(-1, (IMAGE_SIZE // PATCH * 4) ** 2):
            positive, clamped = float((mask > 0).mean()), float((np.abs(mask) >= 32).mean())
            if not (0.02 < positive < 0.98 and np.ptp(mask) > 2 and clamped < 0.05):
                raise ValueError(f"{case['name']}: {positive=:.3f} {clamped=:.3f}")
    for entry in entries["phrases"]:
        found = {key: arrays[f"{entry['name']}.{key}"] for key in ("logits", "presence", "masks")}
        spread = {key: float(value.std()) for key, value in found.items()}
        presence = abs(float(found["presence"][0]))
        positive = float((found["masks"] > 0).mean())
        if not (presence < 6 and spread["logits"] > 0.1 and 0.05 < positive < 0.95):
            raise ValueError(f"{entry}: {spread=} {presence=} {positive=}")
        if np.abs(found["logits"]).max() >= 12:
            raise ValueError(f"{entry}: clamped")
    for kind in ("logits", "masks"):
        one, other = (arrays[f"image0_phrase{number}.{kind}"] for number in (0, 1))
        if np.abs(one - other).max() < 0.1:
            raise ValueError(f"{kind} do not depend on the phrase")
    for entry in entries["examples"]:
        found = {key: arrays[f"{entry['name']}.{key}"] for key in ("scores", "masks")}
        other = arrays[f"image{entry['image']}_phrase0.scores"]
        positive = float((found["masks"] > 0).mean())
        if not (np.abs(found["scores"] - other).max() > 0.01 and 0.05 < positive < 0.95):
            raise ValueError(f"{entry}: {positive=} {found['scores']=}")


def write_fixtures(out: Path) -> None:
    """Build, run, check and store everything."""
    out.mkdir(parents=True, exist_ok=True)
    patch_package()
    tokenizer = official_tokenizer(write_vocabulary(out))
    model = build_model(tokenizer)
    arrays, entries = run(model)
    check_informative(arrays, entries)
    config = {
        "official": {"package": "sam3", "version": "0.1.4"},
        "image_size": IMAGE_SIZE,
        "images": [f"image_{index}" for index in range(len(shared.IMAGE_SHAPES))],
        **entries,
        "tokens": {phrase: tokenizer([phrase])[0].tolist() for phrase in PHRASES},
    }
    checkpoint = {"model": halved(released_names(model))}
    write_reference(out / "checkpoint.pt", checkpoint, arrays, config)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Write the SAM 3 reference fixtures.")
    parser.add_argument("--out", type=Path, default=FIXTURES, help="folder to write to")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    write_fixtures(out)
    print_sizes(out)


if __name__ == "__main__":
    main()
