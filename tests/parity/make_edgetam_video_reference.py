"""Write the reference fixtures of EdgeTAM's tracker, as make_edgetam_reference.py does for images.

The environment is the same; run there

    PYTHONPATH=EdgeTAM edgetam-reference/bin/python -m tests.parity.make_edgetam_video_reference

The files are those of make_sam2_video_reference.py, in `tests/fixtures/edgetam_video_parity`. Each
object has a state of its own, which its predictor, older than that of sam2 1.1.0, would mix up.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from sam2 import sam2_video_predictor
from sam2.build_sam import build_sam2_video_predictor

from . import make_edgetam_reference as images
from . import make_sam2_video_reference as shared
from . import video_reference
from .reference_files import halved

# Chosen among many: check_informative accepts few seeds.
SEED = 37
GRID = shared.IMAGE_SIZE // 16
# A square of tokens with places, which divides the map.
PLACED = 3
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "edgetam_video_parity"
_REPLACED = ("total_stride", "image_size", "num_layers", "num_latents")
OVERRIDES = (
    *(each for each in images.NARROW_OVERRIDES if not any(name in each for name in _REPLACED)),
    f"model.image_size={shared.IMAGE_SIZE}",
    "model.memory_attention.num_layers=2",
    f"model.memory_attention.layer.cross_attention.q_sizes={[GRID, GRID]}",
    f"model.memory_attention.layer.cross_attention.k_sizes={[PLACED, PLACED]}",
    "model.spatial_perceiver.num_latents=8",
    f"model.spatial_perceiver.num_latents_2d={PLACED**2}",
    "++model.add_all_frames_to_correct_as_cond=true",
)


def build_narrow_model(seed: int) -> Any:
    """The official video model at the narrow widths, with the weights drawn here."""
    images.build_sam2 = build_sam2_video_predictor
    model = images.build(OVERRIDES, embed_dim=images.TRUNK_WIDTHS, depth=images.TRUNK_DEPTHS)
    model.fill_hole_area = 0
    video_reference.widen_memories(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(images.draw(model, name, tensor, generator).half().float())
    return model


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Write the fixtures of EdgeTAM's tracker.")
    parser.add_argument("--out", type=Path, default=FIXTURES, help="folder to write to")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sam2_video_predictor.load_video_frames = shared.CLIP_READER
    model = build_narrow_model(options.seed)
    arrays, entries = video_reference.run(model, options.seed, video_reference.ask_apart)
    official = {"repository": "facebookresearch/EdgeTAM", "config": images.BASE_CONFIG}
    checkpoint = {"model": halved(model.state_dict())}
    facts = {"official": official, "image_size": shared.IMAGE_SIZE}
    video_reference.write(options.out, checkpoint, arrays, entries, facts)


if __name__ == "__main__":
    main()
