"""Gitee AI / MoArk: POST /v1/images/segmentation, a form in, instances with run lengths out."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiohttp import web
from pycocotools import mask as coco

from .base import KEY, ProviderServer, rejected
from .vision import b64, find_objects, named_or_nth, open_image

MODES = ("coco_b64", "gzip_b64", "gzip_json_b64", "raw_coco", "list")
SPOILT = ("size_swapped", "negative", "short", "wrong_size", "no_counts")


@dataclass
class MoarkServer(ProviderServer):
    """mode: one of MODES or SPOILT, or zero_segments, 200_with_error.

    counted: how many more segments it counts than it lists. encoding: what it calls its masks'.
    """

    mode: str = "coco_b64"
    counted: int = 0
    encoding: str = "rle"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/images/segmentation", self.paid(self.segment))

    def check_key(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            raise rejected(401, {"error": {"code": "401", "message": "无效的令牌"}})

    def segment(self, fields: Any) -> web.Response:
        # JSON loses its files: the real service then misses the parameter.
        is_json = bool(self.received) and self.received[-1].kind == "application/json"
        fields = fields if isinstance(fields, dict) and not is_json else {}
        for name in ("model", "image"):
            if not fields.get(name):
                raise rejected(400, {"error": {"code": "400", "message": f"必传参数: {name}"}})
        if self.mode == "200_with_error":
            return web.json_response({"error": 500, "message": "Service Temporarily Unavailable"})
        try:
            image = open_image(self._source(fields["image"]))
        except (ValueError, KeyError):
            text = "图片无法读取: image"
            raise rejected(400, {"error": {"code": "400", "message": text}}) from None
        names = [name.strip() for name in fields.get("prompt", "").split(",") if name.strip()]
        found = [
            (mask, name)
            for place, name in enumerate(names)
            for mask in named_or_nth(image, name, place)
        ]
        if not names:
            found = [(mask, "object") for mask in find_objects(image)]
        found = [] if self.mode == "zero_segments" else found
        segments = [self._segment(number, *each) for number, each in enumerate(found, 1)]
        count = len(segments) + self.counted
        return web.json_response({"num_segments": count, "segments": segments})

    def _source(self, value: bytes | str) -> bytes:
        """Text is an address; raises KeyError where there is no file."""
        return value if isinstance(value, bytes) else self.files[value.rpartition("/")[2]]

    def _segment(self, number: int, mask: np.ndarray, label: str) -> dict[str, Any]:
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return {
            "id": number,
            "label": label,
            "confidence": 0.95,
            "bbox": [int(value) for value in box],
            "mask": self._mask(mask),
        }

    def _mask(self, mask: np.ndarray) -> dict[str, Any]:
        size = list(mask.shape)
        text = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
        runs = _runs(mask)
        counts = {
            "coco_b64": lambda: b64(text),
            "gzip_b64": lambda: b64(gzip.compress(text)),
            "gzip_json_b64": lambda: b64(gzip.compress(json.dumps(runs).encode())),
            "raw_coco": lambda: text.decode(),
            "list": lambda: runs,
            "negative": lambda: [*runs[:-1], runs[-1] + 5, -5],
            "short": lambda: runs[:-1],
        }.get(self.mode, lambda: b64(text))()
        if self.mode == "size_swapped":
            size = size[::-1]
        if self.mode == "wrong_size":
            size = [size[0] + 1, size[1]]
        if self.mode == "no_counts":
            return {"encoding": self.encoding, "size": size}
        return {"encoding": self.encoding, "size": size, "counts": counts}


def _runs(mask: np.ndarray) -> list[int]:
    flat = np.concatenate(([0], mask.astype(np.int8).flatten(order="F")))
    edges = np.flatnonzero(np.diff(flat))
    return [int(run) for run in np.diff(np.concatenate(([0], edges, [mask.size])))]
