"""Servers of one's own: the OpenAI style, the Hugging Face task, and Roboflow's inference."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image
from pycocotools import mask as coco

from .base import KEY, ProviderServer, rejected, unreadable
from .vision import (
    b64,
    find_named,
    find_objects,
    named_or_nth,
    object_at,
    object_in,
    open_image,
    picture,
)


@dataclass
class CustomServer(ProviderServer):
    """mode: png, rle, cropped, picture, rows. needs_key: as a server started with a key."""

    mode: str = "png"
    needs_key: bool = False

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/images/segmentations", self.paid(self.openai))
        router.add_post("/models/{owner}/{model}", self.paid(self.huggingface))
        router.add_post("/sam3/concept_segment", self.paid(self.concept))
        router.add_post("/sam2/segment_image", self.paid(self.sam2))

    def check_key(self, request: web.Request) -> None:
        if self.needs_key and request.headers.get("Authorization") != f"Bearer {KEY}":
            raise rejected(401, {"error": {"message": "Unauthorized", "type": "x", "code": 401}})

    def openai(self, fields: Any) -> web.Response:
        """vLLM-Omni's: image, prompt, boxes and box_labels as JSON, mask_format."""
        if not isinstance(fields, dict) or not isinstance(fields.get("image"), bytes):
            raise _openai_error("image is required")
        try:
            image = open_image(fields["image"])
            boxes = json.loads(fields.get("boxes", "[]"))
            labels = json.loads(fields.get("box_labels", "[]")) or [1] * len(boxes)
        except ValueError as error:
            raise _openai_error(str(error)) from error
        if not fields.get("prompt") and not boxes:
            raise _openai_error("prompt or boxes is required")
        if len(labels) != len(boxes) or any(len(box) != 4 for box in boxes):
            raise _openai_error("boxes are [x0, y0, x1, y1], with a label each")
        masks = [
            object_in(image, box) for box, label in zip(boxes, labels, strict=True) if label
        ] or find_named(image, fields.get("prompt", ""))
        if self.mode == "picture":
            whole = np.any(masks, axis=0) if masks else np.zeros(image.size[::-1], bool)
            return web.Response(body=picture(whole), content_type="image/png")
        entries = [self._entry(mask, fields.get("mask_format", "png")) for mask in masks]
        return web.json_response({"data": entries})

    def _entry(self, mask: np.ndarray, form: str) -> dict[str, Any]:
        rows, columns = np.nonzero(mask)
        left, top = int(columns.min()), int(rows.min())
        right, bottom = int(columns.max()) + 1, int(rows.max()) + 1
        entry = {"box": [left, top, right, bottom], "score": 0.9}
        if self.mode == "cropped":
            part = mask[top:bottom, left:right]
            size = {"width": part.shape[1], "height": part.shape[0]}
            data = {"encoding": "png", "origin": {"x": left, "y": top}, "data": b64(picture(part))}
            return entry | {"label": "thing", "mask": data | size}
        if self.mode == "rows":
            return entry | {"mask": mask.astype(int).tolist()}
        if self.mode == "rle" or form == "rle":
            return entry | {"mask": _rle(mask)}
        return entry | {"mask": b64(picture(mask))}

    def huggingface(self, fields: Any) -> web.Response:
        """Bare bytes, or JSON with inputs and parameters."""
        data = fields if isinstance(fields, bytes) else b""
        if isinstance(fields, dict):
            data = base64.b64decode(fields.get("inputs", ""))
        try:
            image = open_image(data)
        except ValueError:
            raise rejected(400, {"error": ["inputs is no image"]}) from None
        found = [
            {"label": f"LABEL_{index}", "score": None, "mask": b64(picture(mask))}
            for index, mask in enumerate(find_objects(image))
        ]
        return web.json_response(found)

    def concept(self, fields: Any) -> web.Response:
        """Roboflow's SAM 3: phrases."""
        image = _roboflow_image(fields)
        prompts = fields.get("prompts") or []
        if not 1 <= len(prompts) <= 16:
            raise unreadable("prompts", "1 to 16 prompts")
        if not all(each.get("type") == "text" and each.get("text") for each in prompts):
            raise unreadable("prompts", "text is required")
        form = fields.get("format", "polygon")
        results = [
            {
                "prompt_index": index,
                "echo": prompt,
                "predictions": [
                    _prediction(mask, form) for mask in named_or_nth(image, prompt["text"], index)
                ],
            }
            for index, prompt in enumerate(prompts)
        ]
        return web.json_response({"prompt_results": results, "time": 0.1})

    def sam2(self, fields: Any) -> web.Response:
        """Roboflow's SAM 2: points, and boxes measured from their centre."""
        image = _roboflow_image(fields)
        predictions = []
        for prompt in fields.get("prompts", {}).get("prompts", []):
            points = prompt.get("points", [])
            if not all(isinstance(point.get("positive"), bool) for point in points):
                raise unreadable("prompts", "positive is required")
            wanted = [(p["x"], p["y"]) for p in points if p["positive"]]
            mask = object_at(image, wanted)
            if prompt.get("box"):
                x, y, w, h = (prompt["box"][key] for key in ("x", "y", "width", "height"))
                mask |= object_in(image, (x - w / 2, y - h / 2, x + w / 2, y + h / 2))
            predictions.append(_prediction(mask, fields.get("format", "json")))
        return web.json_response({"predictions": predictions, "time": 0.1})


def _roboflow_image(fields: Any) -> Image.Image:
    image = fields.get("image", {}) if isinstance(fields, dict) else {}
    try:
        return open_image(base64.b64decode(image["value"]))
    except (KeyError, ValueError) as error:
        raise rejected(400, {"message": "Could not load input image"}) from error


def _prediction(mask: np.ndarray, form: str) -> dict[str, Any]:
    import cv2

    if form == "rle":
        return {"masks": _rle(mask), "confidence": 0.8, "format": "rle"}
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, 2)
    polygons = [outline[:, 0].tolist() for outline in outlines]
    return {"masks": polygons, "confidence": 0.8, "format": "polygon"}


def _rle(mask: np.ndarray) -> dict[str, Any]:
    encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def _openai_error(text: str) -> Exception:
    body = {"message": text, "type": "BadRequestError", "param": None, "code": 400}
    return rejected(400, {"error": body})
