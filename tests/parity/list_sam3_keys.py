"""List names and shapes of all tensors in the SAM 3 checkpoints, without any weights.

The models are built on the meta device by their publishers' code, once per layout:

    sam3.json.gz          facebook/sam3, sam3.pt, from the package sam3 0.1.4:
                              PYTHON -m tests.parity.list_sam3_keys official
    sam31_comfy.json.gz   Comfy-Org/sam3.1, sam3.1_multiplex_fp16.safetensors, from the modules of
    sam3_comfy.json.gz    a ComfyUI checkout and, the same for SAM 3, in ComfyUI's environment:
                              PYTHONPATH=ComfyUI PYTHON -m tests.parity.list_sam3_keys comfyui

ComfyUI renames and splits tensors when it loads such a file; this script undoes that, so that the
lists hold the names in the file. `official` runs first, its list has the text encoder's names.
Three things are not in ComfyUI's code and stay open: whether the file holds the `freqs_cis` buffers
and `text_projection` (the lists have neither), and further keys that ComfyUI would ignore.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .reference_files import write_packed

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "sam3_keys"
TEXT_ENCODER = "detector.backbone.language_backbone.encoder."
SPLIT_PROJECTION = re.compile(r"^(.*)\.([qkv])_proj\.(weight|bias)$")

Shapes = dict[str, list[int]]


def shapes_of(module: nn.Module, prefix: str) -> Shapes:
    return {prefix + name: list(value.shape) for name, value in module.state_dict().items()}


def list_official() -> Shapes:
    """The keys of the package's image model, under the prefixes that its own loader expects."""
    from sam3 import model_builder

    skip_computations(model_builder)
    with torch.device("meta"):
        tracker = model_builder.build_tracker(apply_temporal_disambiguation=True)
        vision = model_builder._create_vision_backbone()
        # As the package builds it, but for the tokenizer, whose vocabulary the package lacks.
        text = model_builder.VETextEncoder(256, None)
        detector = model_builder._create_sam3_model(
            model_builder._create_vl_backbone(vision, text),
            model_builder._create_sam3_transformer(),
            model_builder._create_geometry_encoder(),
            model_builder._create_segmentation_head(),
            model_builder._create_dot_product_scoring(),
            None,
            True,
        )
    return shapes_of(detector, "detector.") | shapes_of(tracker, "tracker.")


def skip_computations(model_builder: Any) -> None:
    """Leave out what the package computes, on the GPU it expects or not, beside its weights."""
    linspace = torch.linspace
    torch.linspace = lambda *args, **kwargs: linspace(*args, **kwargs | {"device": "cpu"})
    position_encoding = model_builder.PositionEmbeddingSine
    model_builder.PositionEmbeddingSine = lambda precompute_resolution=None, **kwargs: (
        position_encoding(**kwargs)
    )
    model_builder.TransformerDecoder._get_coords = staticmethod(lambda *_, **__: (None, None))


def list_comfyui(image_model: str) -> Shapes:
    """The keys of ComfyUI's model, before what ComfyUI does to them on loading."""
    import comfy.ops
    from comfy.ldm.sam3.detector import SAM3Model

    with torch.device("meta"):
        model = SAM3Model(
            device="meta",
            dtype=torch.float16,
            operations=comfy.ops.disable_weight_init,
            image_model=image_model,
        )
    tracker_prefix = "tracker.model." if image_model == "SAM31" else "tracker."
    loaded = shapes_of(model.detector, "detector.") | shapes_of(model.tracker, tracker_prefix)
    found: Shapes = {}
    for key, shape in loaded.items():
        for pattern, replacement in (
            (r"(sam_mask_decoder\.transformer\..*)\.mlp\.0\.", r"\1.mlp.lin1."),
            (r"(sam_mask_decoder\.transformer\..*)\.mlp\.2\.", r"\1.mlp.lin2."),
            (r"(sam_mask_decoder\.transformer)\.norm_final\.", r"\1.norm_final_attn."),
        ):
            key = re.sub(pattern, replacement, key)
        found[key] = shape
    return fuse_projections(found)


def fuse_projections(split: Shapes) -> Shapes:
    """Undo the split of the detector's nn.MultiheadAttention; the tracker's stay apart."""
    found: Shapes = {}
    for key, shape in split.items():
        match = SPLIT_PROJECTION.match(key)
        if match and key.startswith("detector."):
            found[f"{match[1]}.in_proj_{match[3]}"] = [3 * shape[0], *shape[1:]]
        else:
            found[key] = shape
    return found


def text_encoder_shapes() -> Shapes:
    """The text encoder, which ComfyUI holds in a separate object under other names."""
    official = json.loads(gzip.decompress((FIXTURES / "sam3.json.gz").read_bytes()))
    return {
        key: shape
        for key, shape in official.items()
        if key.startswith(TEXT_ENCODER) and not key.endswith("text_projection")
    }


def write(name: str, shapes: Shapes) -> None:
    FIXTURES.mkdir(parents=True, exist_ok=True)
    path = FIXTURES / f"{name}.json.gz"
    write_packed(path, dict(sorted(shapes.items())))
    print(f"{path.name}: {len(shapes)} tensors, {path.stat().st_size} bytes")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="List the tensors of the SAM 3 checkpoints.")
    parser.add_argument("publisher", choices=("official", "comfyui"))
    options = parser.parse_args()
    if options.publisher == "official":
        write("sam3", list_official())
        return
    import comfy.options

    # ComfyUI reads the command line on import.
    sys.argv = [sys.argv[0], "--cpu"]
    comfy.options.enable_args_parsing()
    write("sam3_comfy", list_comfyui("SAM3") | text_encoder_shapes())
    write("sam31_comfy", list_comfyui("SAM31") | text_encoder_shapes())


if __name__ == "__main__":
    main()
