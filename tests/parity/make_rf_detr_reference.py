"""Make a narrow random RF-DETR with masks, and write down what the official processor finds.

    python3 -m venv rf-detr-reference
    rf-detr-reference/bin/pip install torch==2.11.0 torchvision==0.26.0 transformers==5.24.0 pillow
    rf-detr-reference/bin/python -m tests.parity.make_rf_detr_reference

transformers has no image processor for RF-DETR that works without torchvision.
"""

from __future__ import annotations

import shutil

import numpy as np
import torch
import transformers as tf
from PIL import Image

from tests.support.class_models import make_rf_detr
from tests.support.paths import FIXTURES

FOLDER = FIXTURES / "rf_detr_parity"
SIZE = (120, 200)
THRESHOLD = 0.5


@torch.no_grad()
def main() -> None:
    """Write model and reference into the fixtures."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    make_rf_detr(FOLDER, has_masks=True)
    photo = Image.open(FIXTURES / "photo.jpg").convert("RGB").resize(SIZE[::-1])
    processor = tf.RfDetrImageProcessor.from_pretrained(FOLDER)
    model = tf.RfDetrForInstanceSegmentation.from_pretrained(FOLDER).eval()
    pixels = processor(photo, return_tensors="pt").pixel_values
    output = model(pixels)
    found = processor.post_process_object_detection(output, THRESHOLD, target_sizes=[SIZE])[0]
    segments = processor.post_process_instance_segmentation(
        output, threshold=THRESHOLD, target_sizes=[SIZE], return_binary_maps=True
    )[0]
    # What has an empty mask is left out of the masks, but not of the boxes.
    assert len(segments["segments_info"]) == len(found["scores"]), "take another seed"
    reference = {
        "image": np.asarray(photo),
        "pixels": pixels.numpy(),
        "scores": found["scores"].numpy(),
        "labels": found["labels"].numpy(),
        "boxes": found["boxes"].numpy(),
        "masks": segments["segmentation"].bool().numpy(),
    }
    np.savez_compressed(FOLDER / "reference.npz", **reference)
    (FOLDER / "model.safetensors").chmod(0o644)
    print({name: array.shape for name, array in reference.items()})


if __name__ == "__main__":
    main()
