"""Write the SAM and HQ-SAM reference fixtures that the test suite compares its own loader against.

The normal test suite does not need the official implementations: this script runs them once, on
narrow models with random weights, and stores what they answered. To run it again:

    python3 -m venv sam-reference
    sam-reference/bin/pip install torch==2.11.0 torchvision==0.26.0 timm==1.0.31
    sam-reference/bin/pip install segment-anything==1.0 segment-anything-hq==0.3
    sam-reference/bin/python -m tests.parity.make_sam_reference

Everything runs in float32 on one CPU thread from fixed seeds. Written to `tests/fixtures/
sam_parity` and `tests/fixtures/sam_hq_parity` (or below the folder given with `--out`):

    checkpoint.pth         flat state dict as in the released checkpoints, but in float16; the
                           reference ran on exactly these values, widened to float32.
    reference.npz          images, the same after the official uint8 resize, mask prompts and, per
                           case, the outputs of the predictor.
    config.json            the narrow architecture and the prompt of each case.
    official_keys.json.gz  names and shapes of all tensors of the official models and the
                           architecture each of them belongs to.

A case whose `resize` is "pil" ran on `set_image` (uint8 through Pillow); one whose `resize` is
"float" on `set_torch_image`, with the pixels resized in float32 by `F.interpolate`. The latter is
what `ResizeLongestSide.apply_image_torch` of segment-anything-hq does; in segment-anything 1.0 that
method takes the batch and channel axes for height and width, so it is not called here. Several
boxes need `predict_torch`: the official `predict` takes one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import segment_anything
import segment_anything.modeling as sam_modeling
import segment_anything_hq
import segment_anything_hq.modeling as hq_modeling
import torch
import torch.nn.functional as F
from torch import nn

from .narrow_models import draw, make_images, make_mask_inputs
from .reference_files import halved, print_sizes, write_packed, write_reference
from .sam_architecture import decoder_summary, encoder_summary, official_models

IMAGE_SIZE = 256
PATCH = 16
EMBED_DIM = 48
DEPTH = 4
HEADS = 3
GLOBAL_BLOCKS = (1, 3)
# Larger than half the 16 x 16 tokens, so that windows are padded as in the released models.
WINDOW = 14
MLP_RATIO = 3
HIDDEN_DIM = 32
MASK_CHANNELS = 16
DECODER_MLP = 64
IOU_HIDDEN = 24
# A tall image that is enlarged and a wide one that is shrunk, where antialiasing counts. (Tall ones
# that are shrunk come out differently by one level from Pillow 13 on: columns before rows.)
IMAGE_SHAPES = ((170, 120), (80, 400))
# The kind of prompt, multimask, and how the pixels are resized.
CASES = (
    ("point", True, "pil"),
    ("point", False, "pil"),
    ("points", True, "pil"),
    ("points", False, "pil"),
    ("box", True, "pil"),
    ("box", False, "pil"),
    ("box_points", False, "pil"),
    ("mask_point", True, "pil"),
    ("mask_point", False, "pil"),
    ("mask_only", False, "pil"),
    ("boxes", True, "pil"),
    ("boxes", False, "pil"),
    ("point", False, "float"),
    ("points", False, "float"),
    ("box", False, "float"),
    ("boxes", False, "float"),
)
# Cases whose logits at the size of the image are stored too.
FULL = (
    "image0_point_single",
    "image0_box_single",
    "image0_points_single_float",
    "image1_points_single",
    "image1_box_single",
)
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"

# Weight scales, relative to one over the square root of the fan-in, for the modules whose name
# ends so. Sharp attention and strong residual branches make the prompt count.
GAINS = {
    "patch_embed.proj": 1.5,
    "attn.qkv": 1.4,
    "q_proj": 2.0,
    "k_proj": 2.0,
    "v_proj": 1.5,
    "out_proj": 2.0,
    "transformer.layers.0.mlp.lin2": 2.0,
    "transformer.layers.1.mlp.lin2": 2.0,
    "output_upscaling.0": 1.5,
    "output_upscaling.3": 2.0,
    "output_hypernetworks_mlps.0.layers.2": 2.5,
    "output_hypernetworks_mlps.1.layers.2": 2.5,
    "output_hypernetworks_mlps.2.layers.2": 2.5,
    "output_hypernetworks_mlps.3.layers.2": 2.5,
    "iou_prediction_head.layers.2": 2.5,
    "hf_mlp.layers.2": 1.2,
}


@dataclass(frozen=True)
class Family:
    """One official implementation; `seed` is chosen so that check_informative accepts it."""

    name: str
    package: ModuleType
    modeling: ModuleType
    version: str
    seed: int

    @property
    def high_quality(self) -> bool:
        """Whether this is HQ-SAM."""
        return self.package is segment_anything_hq


FAMILIES = (
    Family("sam", segment_anything, sam_modeling, "1.0", 30),
    Family("sam_hq", segment_anything_hq, hq_modeling, "0.3", 84),
)


@dataclass(frozen=True)
class Case:
    """One call of the predictor; `full` says whether its full-resolution logits are stored too."""

    name: str
    image: int
    multimask: bool
    points: list[list[float]] | None = None
    labels: list[int] | None = None
    box: list[float] | list[list[float]] | None = None
    mask_input: str | None = None
    hq_token_only: bool | None = None
    resize: str = "pil"
    full: bool = False


def build_narrow_model(family: Family) -> nn.Module:
    """The official modules at narrow widths, with the weights drawn here."""
    modeling = family.modeling
    tokens = IMAGE_SIZE // PATCH
    encoder = modeling.ImageEncoderViT(
        img_size=IMAGE_SIZE,
        patch_size=PATCH,
        embed_dim=EMBED_DIM,
        depth=DEPTH,
        num_heads=HEADS,
        mlp_ratio=MLP_RATIO,
        out_chans=HIDDEN_DIM,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=WINDOW,
        global_attn_indexes=GLOBAL_BLOCKS,
    )
    prompts = modeling.PromptEncoder(
        embed_dim=HIDDEN_DIM,
        image_embedding_size=(tokens, tokens),
        input_image_size=(IMAGE_SIZE, IMAGE_SIZE),
        mask_in_chans=MASK_CHANNELS,
    )
    model = modeling.Sam(encoder, prompts, build_decoder(family)).eval()
    fill(model, family.seed)
    return model


def build_decoder(family: Family) -> nn.Module:
    """The mask decoder of the family, with the official depth and number of heads."""
    transformer = family.modeling.TwoWayTransformer(
        depth=2, embedding_dim=HIDDEN_DIM, mlp_dim=DECODER_MLP, num_heads=8
    )
    options: dict[str, Any] = {
        "transformer": transformer,
        "transformer_dim": HIDDEN_DIM,
        "iou_head_hidden_dim": IOU_HIDDEN,
    }
    if family.high_quality:
        return family.modeling.MaskDecoderHQ(vit_dim=EMBED_DIM, **options)
    return family.modeling.MaskDecoder(**options)


def fill(model: nn.Module, seed: int) -> None:
    """Draw all tensors anew, with values that float16 holds exactly."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(draw(model, name, tensor, generator, GAINS).half().float())


def make_prompts(image: int) -> dict[str, dict[str, Any]]:
    """Every kind of prompt at coordinates in pixels of that image."""
    height, width = IMAGE_SHAPES[image]

    def at(*fractions: float) -> list[float]:
        scales = (width, height) * (len(fractions) // 2)
        return [round(f * s * 4) / 4 for f, s in zip(fractions, scales, strict=True)]

    point = {"points": [at(0.4, 0.55)], "labels": [1]}
    box = {"box": at(0.2, 0.25, 0.7, 0.8)}
    mask = {"mask_input": f"mask_input_{image}"}
    return {
        "point": point,
        "points": {
            "points": [at(0.3, 0.35), at(0.72, 0.6), at(0.15, 0.85)],
            "labels": [1, 0, 1],
        },
        "box": box,
        "box_points": box | {"points": [at(0.45, 0.5), at(0.65, 0.3)], "labels": [1, 0]},
        "mask_point": mask | point,
        "mask_only": mask,
        "boxes": {"box": [at(0, 0, 0.4, 0.5), at(0.3, 0.3, 0.8, 0.9), at(0.55, 0.1, 1, 0.6)]},
    }


def make_cases(image: int, family: Family) -> Iterator[Case]:
    """Every prompt with and without multimask, and some with the pixels resized in float32."""
    prompts = make_prompts(image)
    for kind, multimask, resize in CASES:
        name = f"image{image}_{kind}_{'multi' if multimask else 'single'}"
        name += "_float" if resize == "float" else ""
        case = Case(name, image, multimask, resize=resize, full=name in FULL, **prompts[kind])
        if not family.high_quality:
            yield case
            continue
        yield replace(case, hq_token_only=False)
        # The HQ mask itself is the same with and without multimask; only the score is not.
        if resize == "pil" and (not multimask or kind == "box"):
            yield replace(case, name=f"{name}_hq_only", hq_token_only=True, full=False)


def set_float_image(predictor: Any, image: np.ndarray) -> None:
    """Give the predictor the image resized in float32, in the value range 0..255."""
    height, width = image.shape[:2]
    size = predictor.transform.get_preprocess_shape(height, width, IMAGE_SIZE)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
    predictor.set_torch_image(resized, (height, width))


def predict(predictor: Any, case: Case, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run one prompt on the image the predictor holds: full logits, scores, low-res logits."""
    options: dict[str, Any] = {"multimask_output": case.multimask, "return_logits": True}
    if case.hq_token_only is not None:
        options["hq_token_only"] = case.hq_token_only
    if case.box is not None and isinstance(case.box[0], list):
        boxes = torch.tensor(case.box, dtype=torch.float32)
        boxes = predictor.transform.apply_boxes_torch(boxes, predictor.original_size)
        answer = predictor.predict_torch(None, None, boxes, **options)
        full, scores, low = (tensor.numpy() for tensor in answer)
    else:
        full, scores, low = predictor.predict(
            point_coords=None if case.points is None else np.array(case.points),
            point_labels=None if case.labels is None else np.array(case.labels),
            box=None if case.box is None else np.array(case.box),
            mask_input=None if case.mask_input is None else masks[case.mask_input],
            **options,
        )
    return {"full": full, "scores": scores, "low": low}


def describe(case: Case, out: dict[str, np.ndarray]) -> dict[str, Any]:
    """The config.json entry of a case."""
    entry = asdict(case)
    del entry["full"]
    entry["outputs"] = {key: f"{case.name}.{key}" for key in out if key != "full" or case.full}
    return entry


def run_cases(
    family: Family, model: nn.Module
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """All arrays of reference.npz and all case entries of config.json."""
    images = make_images(IMAGE_SHAPES, family.seed)
    masks = make_mask_inputs(len(IMAGE_SHAPES), IMAGE_SIZE // 4, family.seed)
    arrays = {f"image_{index}": image for index, image in enumerate(images)} | masks
    predictor = family.package.SamPredictor(model)
    setters: dict[str, Callable] = {
        "pil": predictor.set_image,
        "float": partial(set_float_image, predictor),
    }
    entries = []
    for index, image in enumerate(images):
        arrays[f"resized_{index}"] = predictor.transform.apply_image(image)
        for resize, set_image in setters.items():
            set_image(image)
            for case in make_cases(index, family):
                if case.resize != resize:
                    continue
                out = predict(predictor, case, masks)
                entry = describe(case, out)
                arrays |= {stored: out[key] for key, stored in entry["outputs"].items()}
                entries.append(entry)
    return arrays, entries


def check_informative(arrays: dict[str, np.ndarray], entries: list[dict[str, Any]]) -> None:
    """Refuse to store a reference that a broken loader could match by accident."""
    for entry in entries:
        low = arrays[entry["outputs"]["low"]]
        for mask in low.reshape(-1, *low.shape[-2:]):
            positive = float((mask > 0).mean())
            if not (0.1 < positive < 0.9 and np.ptp(mask) > 4 and np.abs(mask).max() < 60):
                raise ValueError(f"{entry['name']}: {positive=:.3f} {np.ptp(mask)=:.1f}")


def write_fixtures(family: Family, out: Path) -> None:
    """Build, run, check and store everything of one family."""
    model = build_narrow_model(family)
    arrays, entries = run_cases(family, model)
    check_informative(arrays, entries)
    config = {
        "official": {"package": family.package.__name__, "version": family.version},
        "encoder": encoder_summary(model.image_encoder),
        "decoder": decoder_summary(model.mask_decoder),
        "images": [f"image_{index}" for index in range(len(IMAGE_SHAPES))],
        "cases": entries,
    }
    write_reference(out / "checkpoint.pth", halved(model.state_dict()), arrays, config)
    write_packed(out / "official_keys.json.gz", official_models(family.package))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Write the SAM and HQ-SAM reference fixtures.")
    parser.add_argument("--out", type=Path, default=FIXTURES, help="folder to write below")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    for family in FAMILIES:
        folder = out / f"{family.name}_parity"
        write_fixtures(family, folder)
        print_sizes(folder)


if __name__ == "__main__":
    main()
