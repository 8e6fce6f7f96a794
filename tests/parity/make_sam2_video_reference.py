"""Write the reference fixtures of SAM 2's tracker, as make_sam2_reference.py does for its images.

The environment is the same; run there

    sam2-reference/bin/python -m tests.parity.make_sam2_video_reference

Written to `tests/fixtures/sam2_video_parity` (or to the folder given with `--out`):

    checkpoint.pt  {"model": state dict} as in the released checkpoints, but in float16; the
                   reference ran on exactly these values, widened to float32.
    reference.npz  the clip, a mask, and per case the logits of all objects in all frames.
    config.json    the image's size and what each case asks (video_reference.py).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from sam2 import sam2_video_predictor
from sam2.build_sam import build_sam2_video_predictor
from sam2.sam2_video_predictor import SAM2VideoPredictor

from . import make_sam2_reference as shared
from . import narrow_models, video_reference
from .reference_files import halved

# Chosen among many: check_informative accepts few seeds.
SEED = 15
IMAGE_SIZE = 96
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "sam2_video_parity"
OVERRIDES = (
    *(each for each in shared.NARROW_OVERRIDES if "total_stride" not in each),
    f"model.image_size={IMAGE_SIZE}",
    "model.memory_attention.num_layers=2",
    # What somebody corrects stays as it was corrected.
    "++model.add_all_frames_to_correct_as_cond=true",
)
CLIP_READER = video_reference.read_clip(IMAGE_SIZE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
GAINS = shared.GAINS | {"pred_obj_score_head.layers.2": 4.0}


def build_narrow_model(seed: int) -> SAM2VideoPredictor:
    """The official tiny video model at the narrow widths, with the weights drawn here."""
    overrides = list(OVERRIDES)
    model = build_sam2_video_predictor(
        shared.BASE_CONFIG, device="cpu", hydra_overrides_extra=overrides
    )
    # On a CPU it cannot fill holes, and says so for each frame.
    model.fill_hole_area = 0
    video_reference.widen_memories(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            value = narrow_models.draw(model, name, tensor, generator, GAINS)
            tensor.copy_(value.half().float())
    return model


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description="Write the fixtures of SAM 2's tracker.")
    parser.add_argument("--out", type=Path, default=FIXTURES, help="folder to write to")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sam2_video_predictor.load_video_frames = CLIP_READER
    model = build_narrow_model(options.seed)
    arrays, entries = video_reference.run(model, options.seed)
    official = {"package": "sam2", "version": "1.1.0", "config": shared.BASE_CONFIG}
    checkpoint = {"model": halved(model.state_dict())}
    facts = {"official": official, "image_size": IMAGE_SIZE}
    video_reference.write(options.out, checkpoint, arrays, entries, facts)


if __name__ == "__main__":
    main()
