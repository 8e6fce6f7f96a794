"""Write the SAM 2 reference fixtures that the test suite compares its own loader against.

The normal test suite does not need the official implementation: this script runs it once, on a
narrow model with random weights, and stores what it answered. To run it again:

    python3 -m venv sam2-reference
    sam2-reference/bin/pip install torch==2.11.0 torchvision==0.26.0 setuptools wheel
    SAM2_BUILD_CUDA=0 sam2-reference/bin/pip install --no-build-isolation sam2==1.1.0
    sam2-reference/bin/python -m tests.parity.make_sam2_reference

Everything runs in float32 on one CPU thread from fixed seeds. Written to `tests/fixtures/
sam2_parity` (or to the folder given with `--out`):

    checkpoint.pt          {"model": state dict} as in the released checkpoints, but in float16;
                           the reference ran on exactly these values, widened to float32.
    reference.npz          images, mask prompts and, per case, the outputs of `predict`.
    config.json            the narrow architecture and the prompt of each case.
    official_keys.json.gz  names and shapes of all tensors in the eight released checkpoints,
                           and the trunk settings each of them belongs to.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES, build_sam2
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor

from .narrow_models import draw, make_images, make_mask_inputs
from .reference_files import halved, print_sizes, write_packed, write_reference

# Chosen among many: check_informative accepts few seeds, as random networks tend to be one-sided.
SEED = 670
BASE_CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"
IMAGE_SIZE = 256
EMBED_DIM = 8
HIDDEN_DIM = 32
MEMORY_DIM = 8
# One image that is only enlarged, and one that is also shrunk, where antialiasing counts.
IMAGE_SHAPES = ((120, 170), (400, 80))
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "sam2_parity"

# Widths only: whatever else decides the result of a prediction stays as in the official file.
# The memory modules never run for single images, they are here for the sake of their keys.
NARROW_OVERRIDES = (
    f"model.image_size={IMAGE_SIZE}",
    f"model.image_encoder.trunk.embed_dim={EMBED_DIM}",
    f"model.image_encoder.neck.d_model={HIDDEN_DIM}",
    f"model.image_encoder.neck.position_encoding.num_pos_feats={HIDDEN_DIM}",
    f"model.image_encoder.neck.backbone_channel_list={[EMBED_DIM * k for k in (8, 4, 2, 1)]}",
    f"model.memory_attention.d_model={HIDDEN_DIM}",
    "model.memory_attention.num_layers=1",
    f"model.memory_attention.layer.d_model={HIDDEN_DIM}",
    "model.memory_attention.layer.dim_feedforward=16",
    f"model.memory_attention.layer.self_attention.embedding_dim={HIDDEN_DIM}",
    f"model.memory_attention.layer.cross_attention.embedding_dim={HIDDEN_DIM}",
    f"model.memory_attention.layer.cross_attention.kv_in_dim={MEMORY_DIM}",
    f"model.memory_encoder.out_dim={MEMORY_DIM}",
    f"++model.memory_encoder.in_dim={HIDDEN_DIM}",
    f"model.memory_encoder.position_encoding.num_pos_feats={MEMORY_DIM}",
    f"++model.memory_encoder.mask_downsampler.embed_dim={HIDDEN_DIM}",
    "++model.memory_encoder.mask_downsampler.total_stride=4",
    f"model.memory_encoder.fuser.layer.dim={HIDDEN_DIM}",
)

# Weight scales, relative to one over the square root of the fan-in, for the modules whose name
# ends so. Sharp attention and strong residual branches make the prompt count; the large scale on
# the first mask token makes some single masks stable enough for the decoder to keep them, while
# it replaces the others by the best of the three further masks.
GAINS = {
    "patch_embed.proj": 1.5,
    "attn.qkv": 1.4,
    "q_proj": 2.0,
    "k_proj": 2.0,
    "v_proj": 1.5,
    "out_proj": 2.0,
    "transformer.layers.0.mlp.layers.1": 2.0,
    "transformer.layers.1.mlp.layers.1": 2.0,
    "conv_s0": 2.0,
    "conv_s1": 2.0,
    "output_upscaling.0": 1.5,
    "output_upscaling.3": 2.0,
    "output_hypernetworks_mlps.0.layers.2": 6.5,
    "output_hypernetworks_mlps.1.layers.2": 2.2,
    "output_hypernetworks_mlps.2.layers.2": 2.2,
    "output_hypernetworks_mlps.3.layers.2": 2.2,
    "iou_prediction_head.layers.0": 1.5,
    "iou_prediction_head.layers.1": 1.5,
    "iou_prediction_head.layers.2": 2.5,
}


@dataclass(frozen=True)
class Case:
    """One call of `predict`; `full` says whether its full-resolution logits are stored too."""

    name: str
    image: int
    multimask: bool
    points: list[list[float]] | None = None
    labels: list[int] | None = None
    box: list[float] | list[list[float]] | None = None
    mask_input: str | None = None
    full: bool = False


def build_narrow_model() -> SAM2Base:
    """Build the official tiny image model at the narrow widths, with the weights drawn here."""
    model = build_sam2(BASE_CONFIG, device="cpu", hydra_overrides_extra=list(NARROW_OVERRIDES))
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            value = draw(model, name, tensor, generator, GAINS)
            tensor.copy_(value.half().float())
    return model


def make_cases(image: int) -> Iterator[Case]:
    """Every kind of prompt, once per image, at coordinates in pixels of that image."""
    height, width = IMAGE_SHAPES[image]

    def at(*fractions: float) -> list[float]:
        scales = (width, height) * (len(fractions) // 2)
        return [round(f * s * 4) / 4 for f, s in zip(fractions, scales, strict=True)]

    point = {"points": [at(0.4, 0.55)], "labels": [1]}
    three = {"points": [at(0.3, 0.35), at(0.72, 0.6), at(0.15, 0.85)], "labels": [1, 0, 1]}
    box = {"box": at(0.2, 0.25, 0.7, 0.8)}
    both = box | {"points": [at(0.45, 0.5), at(0.65, 0.3)], "labels": [1, 0]}
    boxes = {"box": [at(0, 0, 0.4, 0.5), at(0.3, 0.3, 0.8, 0.9), at(0.55, 0.1, 1, 0.6)]}
    mask = {"mask_input": f"mask_input_{image}"}

    def case(kind: str, prompt: dict[str, Any], multimask: bool, full: bool = False) -> Case:
        name = f"image{image}_{kind}_{'multi' if multimask else 'single'}"
        return Case(name, image, multimask, full=full, **prompt)

    yield case("point", point, True, full=True)
    yield case("point", point, False, full=image == 0)
    yield case("points", three, True)
    yield case("points", three, False, full=image == 0)
    yield case("box", box, True)
    yield case("box", box, False, full=True)
    yield case("box_points", both, False, full=image == 0)
    yield case("mask_point", mask | point, True)
    yield case("mask_point", mask | point, False, full=True)
    yield case("mask_only", mask, False)
    yield case("boxes", boxes, True)
    yield case("boxes", boxes, False, full=image == 0)


def make_predictor(model: SAM2Base) -> SAM2ImagePredictor:
    """The official predictor, told the feature sizes of a model that is not 1024 pixels wide."""
    predictor = SAM2ImagePredictor(model)
    # The predictor hard-codes the feature sizes of 1024-pixel models.
    predictor._bb_feat_sizes = [(IMAGE_SIZE // k, IMAGE_SIZE // k) for k in (4, 8, 16)]
    return predictor


def predict(
    predictor: SAM2ImagePredictor, case: Case, masks: dict[str, np.ndarray], multimask: bool
) -> dict[str, np.ndarray]:
    """Run one prompt on the image the predictor holds: full logits, scores, low-res logits."""
    with torch.inference_mode():
        full, scores, low = predictor.predict(
            point_coords=None if case.points is None else np.array(case.points),
            point_labels=None if case.labels is None else np.array(case.labels),
            box=None if case.box is None else np.array(case.box),
            mask_input=None if case.mask_input is None else masks[case.mask_input],
            multimask_output=multimask,
            return_logits=True,
        )
    return {"full": full, "scores": scores, "low": low}


def replacements(low: np.ndarray, three: np.ndarray) -> list[int | None]:
    """Which of the three masks stands in for each single mask, None where the own one stayed."""
    found: list[int | None] = []
    side = low.shape[-1]
    groups = three.reshape(-1, 3, side, side)
    for mask, group in zip(low.reshape(-1, side, side), groups, strict=True):
        same = [index for index, other in enumerate(group) if np.array_equal(mask, other)]
        found.append(same[0] if same else None)
    return found


def describe(
    case: Case, out: dict[str, np.ndarray], predictor: SAM2ImagePredictor, masks: dict
) -> dict[str, Any]:
    """The config.json entry of a case."""
    entry = asdict(case)
    del entry["full"]
    entry["outputs"] = {key: f"{case.name}.{key}" for key in out if key != "full" or case.full}
    if not case.multimask:
        # The decoder replaces an unstable single mask by the best-scored one of its three.
        three = predict(predictor, case, masks, multimask=True)["low"]
        entry["replaced_by"] = replacements(out["low"], three)
    return entry


def run_cases(model: SAM2Base) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """All arrays of reference.npz and all case entries of config.json."""
    images = make_images(IMAGE_SHAPES, SEED)
    masks = make_mask_inputs(len(IMAGE_SHAPES), IMAGE_SIZE // 4, SEED)
    arrays = {f"image_{i}": image for i, image in enumerate(images)} | masks
    entries = []
    for index, image in enumerate(images):
        predictor = make_predictor(model)
        with torch.inference_mode():
            predictor.set_image(image)
        for case in make_cases(index):
            out = predict(predictor, case, masks, case.multimask)
            entry = describe(case, out, predictor, masks)
            arrays |= {stored: out[key] for key, stored in entry["outputs"].items()}
            entries.append(entry)
    return arrays, entries


def check_informative(arrays: dict[str, np.ndarray], entries: list[dict[str, Any]]) -> None:
    """Refuse to store a reference that a broken loader could match by accident."""
    for entry in entries:
        low = arrays[entry["outputs"]["low"]]
        for mask in low.reshape(-1, *low.shape[-2:]):
            positive = float((mask > 0).mean())
            clamped = float((np.abs(mask) >= 32).mean())
            if not (0.1 < positive < 0.9 and np.ptp(mask) > 4 and clamped < 0.05):
                raise ValueError(f"{entry['name']}: {positive=:.3f} {clamped=:.3f}")
    replaced = {index for entry in entries for index in entry.get("replaced_by", [])}
    if None not in replaced or len(replaced) < 3:
        raise ValueError(f"single masks should be kept and replaced variously, got {replaced}")


def trunk_summary(model: SAM2Base) -> dict[str, Any]:
    """The arguments of a built Hiera trunk, defaults included, and what each block made of them."""
    trunk = model.image_encoder.trunk
    ends = [-1, *trunk.stage_ends]
    return {
        "embed_dim": trunk.pos_embed.shape[1],
        "num_heads": trunk.blocks[0].attn.num_heads,
        "stages": [end - start for start, end in zip(ends, ends[1:], strict=False)],
        "global_att_blocks": list(trunk.global_att_blocks),
        "window_spec": list(trunk.window_spec),
        "window_pos_embed_bkg_spatial_size": list(trunk.window_pos_embed_bkg_spatial_size),
        "block_windows": [block.window_size for block in trunk.blocks],
        "block_heads": [block.attn.num_heads for block in trunk.blocks],
    }


def decoder_summary(model: SAM2Base) -> dict[str, Any]:
    """Settings of the mask decoder that decide its answer but cannot be read off the weights."""
    decoder = model.sam_mask_decoder
    return {
        "num_heads": decoder.transformer.num_heads,
        "dynamic_multimask_via_stability": decoder.dynamic_multimask_via_stability,
        "dynamic_multimask_stability_delta": decoder.dynamic_multimask_stability_delta,
        "dynamic_multimask_stability_thresh": decoder.dynamic_multimask_stability_thresh,
    }


def official_models() -> dict[str, dict[str, Any]]:
    """Tensor names, shapes and trunk settings of each released checkpoint, by its file stem."""
    found = {}
    for config, checkpoint in HF_MODEL_ID_TO_FILENAMES.values():
        model = build_sam2(config, device="cpu")
        found[checkpoint.removesuffix(".pt")] = {
            "config": config,
            "image_size": model.image_size,
            "hidden_dim": model.hidden_dim,
            "trunk": trunk_summary(model),
            "decoder": decoder_summary(model),
            "keys": {name: list(value.shape) for name, value in model.state_dict().items()},
        }
    return found


def write_fixtures(out: Path) -> None:
    """Build, run, check and store everything."""
    model = build_narrow_model()
    arrays, entries = run_cases(model)
    check_informative(arrays, entries)
    config = {
        "official": {"package": "sam2", "version": "1.1.0", "config": BASE_CONFIG},
        "image_size": IMAGE_SIZE,
        "hidden_dim": HIDDEN_DIM,
        "trunk": trunk_summary(model),
        "decoder": decoder_summary(model),
        "images": [f"image_{index}" for index in range(len(IMAGE_SHAPES))],
        "cases": entries,
    }
    checkpoint = {"model": halved(model.state_dict())}
    write_reference(out / "checkpoint.pt", checkpoint, arrays, config)
    write_packed(out / "official_keys.json.gz", official_models())


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Write the SAM 2 reference fixtures.")
    parser.add_argument("--out", type=Path, default=FIXTURES, help="folder to write to")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    write_fixtures(out)
    print_sizes(out)


if __name__ == "__main__":
    main()
