"""Results as JSON, read back by pycocotools."""

from __future__ import annotations

import json

import numpy as np
import torch
from pycocotools import mask as coco
from segment_anywhere.core.results.coco import to_json
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments


def test_every_object_survives_the_way_through_json():
    masks = torch.zeros((2, 7, 9), dtype=torch.uint8)
    masks[0, 1:4, 2:6] = 255
    masks[0, 4, 2:6] = 100
    masks[1, 6, 8] = 200
    instances = [
        Instance(compact(masks[0]), 0.75, "größer", 1, id=4),
        Instance(compact(masks[1]), 0.5, "b", 0),
    ]
    segments = Segments.from_instances(instances, (7, 9), 2)
    first, second = json.loads(to_json(segments))
    assert {key: first[key] for key in ("frame", "label", "score", "area")} == {
        "frame": 1,
        "label": "größer",
        "score": 0.75,
        "area": 12,
    }
    assert first["box"] == {"x": 2, "y": 1, "width": 4, "height": 3}
    assert second["box"] == {"x": 8, "y": 6, "width": 1, "height": 1}
    for entry, mask in zip((first, second), masks, strict=True):
        assert np.array_equal(coco.decode(entry["rle"]) > 0, mask.numpy() >= 128)


def test_no_objects_are_an_empty_list():
    assert json.loads(to_json(Segments.from_instances([], (7, 9), 3))) == []
