"""Write what the official automatic mask generator makes of the tiny trained model.

The normal test suite does not need the official implementation: this script runs it once, on the
weights of `tests/fixtures/sam2_tiny`, and stores what it answered. The environment is that of
`make_sam2_reference.py`, with pycocotools and this pack beside it:

    sam2-reference/bin/pip install pycocotools
    sam2-reference/bin/pip install --no-deps -e .
    sam2-reference/bin/python -m tests.parity.make_everything_reference

Everything runs in float32 on one CPU thread. Written to `tests/fixtures/everything_parity` (or to
the folder given with `--out`):

    images.npz      the images, [H, W, 3] uint8, scenes of `tests/support/scenes.py`.
    masks.json.gz   per case: the image, the generator's settings, and its masks as COCO run
                    lengths with the predicted IoU of each.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.build_sam import build_sam2
from sam2.modeling.backbones.hieradet import MultiScaleBlock
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import TwoWayTransformer
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor
from sam2.utils.amg import coco_encode_rle
from segment_anywhere.core.engines.sam2.layout import to_transformers
from torch import Tensor, nn

from tests.support.paths import ROOT
from tests.support.scenes import draw_scene

from .reference_files import write_packed

WEIGHTS = ROOT / "tests" / "fixtures" / "sam2_tiny" / "model.safetensors"
FIXTURES = ROOT / "tests" / "fixtures" / "everything_parity"
BASE_CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"
IMAGE_SIZE, HIDDEN = 128, 64
WIDTHS = (24, 48, 96, 128)
MEMORY_OVERRIDES = (
    f"model.memory_attention.d_model={HIDDEN}",
    "model.memory_attention.num_layers=1",
    f"model.memory_attention.layer.d_model={HIDDEN}",
    f"model.memory_attention.layer.self_attention.embedding_dim={HIDDEN}",
    f"model.memory_attention.layer.cross_attention.embedding_dim={HIDDEN}",
    f"++model.memory_encoder.in_dim={HIDDEN}",
    f"++model.memory_encoder.mask_downsampler.embed_dim={HIDDEN}",
    f"model.memory_encoder.fuser.layer.dim={HIDDEN}",
)
OVERRIDES = (
    f"model.image_size={IMAGE_SIZE}",
    f"model.image_encoder.trunk.embed_dim={WIDTHS[0]}",
    "model.image_encoder.trunk.stages=[2,2,3,1]",
    "model.image_encoder.trunk.global_att_blocks=[3]",
    "model.image_encoder.trunk.window_pos_embed_bkg_spatial_size=[8,8]",
    "+model.image_encoder.trunk.window_spec=[8,8,8,4]",
    # Official trunks double their width; the last stage is replaced below.
    f"model.image_encoder.neck.backbone_channel_list={[WIDTHS[0] * k for k in (8, 4, 2, 1)]}",
    f"model.image_encoder.neck.d_model={HIDDEN}",
    f"model.image_encoder.neck.position_encoding.num_pos_feats={HIDDEN}",
    *MEMORY_OVERRIDES,
)
SCENES = (7, 19)
# Names of the official generator's own arguments; min_mask_region_area is applied by its
# `postprocess_small_regions`, since the model's own step for it runs on CUDA alone.
CASES: dict[str, dict[str, Any]] = {
    "defaults": {"points_per_side": 16},
    "loose": {
        "points_per_side": 12,
        "pred_iou_thresh": 0.3,
        "stability_score_thresh": 0.6,
        "stability_score_offset": 0.5,
        "box_nms_thresh": 0.5,
        "crop_nms_thresh": 0.5,
    },
    "no thresholds": {"points_per_side": 5, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0},
    "one crop layer": {"points_per_side": 8, "pred_iou_thresh": 0.6, "crop_n_layers": 1},
    "two crop layers": {
        "points_per_side": 9,
        "pred_iou_thresh": 0.5,
        "stability_score_thresh": 0.85,
        "crop_n_layers": 2,
        "crop_n_points_downscale_factor": 2,
    },
    "min area": {
        "points_per_side": 12,
        "pred_iou_thresh": 0.2,
        "stability_score_thresh": 0.4,
        "min_mask_region_area": 60,
    },
}


def build_model() -> SAM2Base:
    """The official model in the architecture of the fixture, with its weights."""
    model = build_sam2(BASE_CONFIG, device="cpu", hydra_overrides_extra=list(OVERRIDES))
    model.image_encoder.trunk.blocks[-1] = MultiScaleBlock(
        dim=WIDTHS[2], dim_out=WIDTHS[3], num_heads=4, q_stride=(2, 2), window_size=8
    )
    model.image_encoder.neck.convs[0].conv = nn.Conv2d(WIDTHS[3], HIDDEN, 1)
    model.sam_mask_decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(
            depth=2, embedding_dim=HIDDEN, mlp_dim=256, num_heads=4, attention_downsample_rate=1
        ),
        transformer_dim=HIDDEN,
        iou_head_depth=3,
        iou_head_hidden_dim=64,
        use_high_res_features=True,
        iou_prediction_use_sigmoid=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        use_multimask_token_for_obj_ptr=True,
    )
    load_transformers(model, load_file(WEIGHTS))
    return model.eval()


def load_transformers(model: SAM2Base, weights: Mapping[str, Tensor]) -> None:
    """Copy weights in transformers' layout into the official model.

    Every element of the official model gets a number, and the pack's own conversion shows where
    each of them goes. Raises ValueError where a weight of either side is left over.
    """
    state = model.state_dict()
    flat = torch.zeros(sum(tensor.numel() for tensor in state.values()), dtype=torch.float64)
    filled = torch.zeros(len(flat), dtype=torch.bool)
    sizes = [tensor.numel() for tensor in state.values()]
    parts = torch.arange(len(flat)).split(sizes)
    numbers = {
        key: part.reshape(tensor.shape)
        for (key, tensor), part in zip(state.items(), parts, strict=True)
    }
    converted = to_transformers(numbers)
    if converted.keys() != weights.keys():
        raise ValueError(f"only on one side: {sorted(converted.keys() ^ weights.keys())}")
    for key, places in converted.items():
        flat[places.flatten()] = weights[key].double().flatten()
        filled[places.flatten()] = True
    for (key, tensor), values, known in zip(
        state.items(), flat.split(sizes), filled.split(sizes), strict=True
    ):
        if known.all():
            tensor.copy_(values.reshape(tensor.shape))
        elif key.startswith(("image_encoder", "sam_mask_decoder")):
            raise ValueError(f"no weights for {key}")


def make_generator(model: SAM2Base, settings: dict[str, Any]) -> SAM2AutomaticMaskGenerator:
    own = {key: value for key, value in settings.items() if key != "min_mask_region_area"}
    generator = SAM2AutomaticMaskGenerator(model, **own)
    generator.predictor = SAM2ImagePredictor(model)
    # The predictor hard-codes the feature sizes of 1024-pixel models.
    sides = [IMAGE_SIZE // stride for stride in (4, 8, 16)]
    generator.predictor._bb_feat_sizes = [(side, side) for side in sides]
    return generator


def run_case(model: SAM2Base, image: np.ndarray, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The official masks of an image: run lengths and predicted IoU, in the generator's order."""
    generator = make_generator(model, settings)
    data = generator._generate_masks(image)
    min_area = settings.get("min_mask_region_area", 0)
    if min_area:
        overlap = max(generator.box_nms_thresh, generator.crop_nms_thresh)
        data = generator.postprocess_small_regions(data, min_area, overlap)
    return [
        {"counts": coco_encode_rle(rle)["counts"], "score": float(score)}
        for rle, score in zip(data["rles"], data["iou_preds"], strict=True)
    ]


def make_images() -> dict[str, np.ndarray]:
    """One wide and one high scene, [H, W, 3] uint8."""
    wide, high = (draw_scene(seed, 192).image for seed in SCENES)
    images = {"wide": wide[:160], "high": high[:, :150]}
    return {name: (image * 255).round().astype(np.uint8) for name, image in images.items()}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Write the reference for Segment Everything.")
    parser.add_argument("--out", type=Path, default=FIXTURES, help="folder to write to")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    model = build_model()
    images = make_images()
    cases = [
        {
            "name": f"{name}, {image}",
            "image": image,
            "settings": settings,
            "masks": run_case(model, images[image], settings),
        }
        for name, settings in CASES.items()
        for image in images
    ]
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / "images.npz", **images)
    write_packed(out / "masks.json.gz", cases)
    for case in cases:
        print(f"{len(case['masks']):>4} masks  {case['name']}")


if __name__ == "__main__":
    main()
