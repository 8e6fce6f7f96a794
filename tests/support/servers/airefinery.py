"""AI Refinery: POST /v1/images/segmentations (and the older path), points in, categories out."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image

from .base import KEY, ProviderServer, Rejected, rejected
from .vision import b64, find_objects, object_at, open_image, picture

MODELS = {"syscv-community/sam-hq-vit-base", "syscv-community/sam-hq-vit-huge"}


@dataclass
class AIRefineryServer(ProviderServer):
    """mode: class_ids, 0_255, palette, rgb, no_ground, multi, empty, score_str.

    logins: the bodies of what validated a key, as the page's login() does.
    """

    mode: str = "class_ids"
    logins: list[Any] = field(default_factory=list)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/images/segmentations", self.paid(self.segment))
        router.add_post("/inference/images/segmentations", self.paid(self.segment))
        router.add_post("/authentication/validate", self.validate)

    def check_key(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            raise rejected(401, {"detail": "Could not validate credentials"})

    async def validate(self, request: web.Request) -> web.Response:
        """The SDK's login() up to 1.15: the key twice, and no account."""
        try:
            self.check_key(request)
        except Rejected as error:
            return error.response
        self.logins.append(await request.json())
        return web.json_response({"status": "valid"})

    def segment(self, fields: Any) -> web.Response:
        image, objects = _read(fields)
        regions = [object_at(image, points) for points in objects]
        ids = np.zeros((image.height, image.width), np.uint8)
        for number, region in enumerate(regions, 1):
            ids[region & (ids == 0)] = number
        usage = {"input_tokens": 7, "input_tokens_details": {}, "output_tokens": 0}
        body = {
            "created": 1730000000,
            "data": self._masks(image, ids),
            "usage": usage | {"total_tokens": 7},
        }
        return web.json_response(body)

    def _masks(self, image: Image.Image, ids: np.ndarray) -> list[dict[str, Any]]:
        score = "0.87" if self.mode == "score_str" else 0.87
        if self.mode == "empty":
            return []
        if self.mode == "multi":
            parts = find_objects(image)
            return [_entry(picture(part), "thing", 0.5) for part in parts]
        if self.mode == "palette":
            indexed = Image.fromarray(ids).convert("P")
            indexed.putdata(ids.ravel().tolist())
            indexed.putpalette([40, 40, 40, 250, 10, 10, 10, 250, 10, 10, 10, 250] + [0] * 756)
            return [_entry(_save(indexed), None, None)]
        if self.mode == "rgb":
            colours = np.array([[0, 0, 0], [250, 10, 10], [10, 250, 10], [10, 10, 250]], np.uint8)
            return [_entry(picture(colours[ids]), None, None)]
        if self.mode == "no_ground":
            return [_entry(picture(ids + 10), None, None)]
        values = (ids > 0) if self.mode == "0_255" else ids
        return [_entry(picture(values), None, score if self.mode == "score_str" else None)]


def _read(fields: Any) -> tuple[Image.Image, list[list[list[int]]]]:
    """The image, and the points of each object."""
    fields = fields if isinstance(fields, dict) else {}
    for name in ("model", "image_prompt", "segment_prompt"):
        if fields.get(name) is None:
            raise _invalid(name, "field required", "missing")
    if fields["model"] not in MODELS:
        raise rejected(404, {"detail": f"Model {fields['model']} not found"})
    try:
        image = open_image(base64.b64decode(fields["image_prompt"], validate=True))
    except (binascii.Error, ValueError) as error:
        raise _invalid("image_prompt", "not a Base64 image", "value_error") from error
    prompt = fields["segment_prompt"]
    if not isinstance(prompt, list) or not prompt or not all(map(_is_list_of_some, prompt)):
        raise _invalid("segment_prompt", "value is not a valid list", "type_error.list")
    for point in [point for points in prompt for point in points]:
        is_pair = isinstance(point, list) and len(point) == 2
        if not is_pair or not all(type(value) is int for value in point):
            raise _invalid("segment_prompt", "value is not a valid integer", "type_error.integer")
        if not (0 <= point[0] < image.width and 0 <= point[1] < image.height):
            raise _invalid("segment_prompt", "point outside the image", "value_error")
    return image, prompt


def _is_list_of_some(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _entry(data: bytes, label: str | None, score: Any) -> dict[str, Any]:
    return {"b64_json": b64(data), "label": label, "score": score}


def _save(image: Image.Image) -> bytes:
    import io

    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _invalid(name: str, text: str, kind: str) -> Exception:
    return rejected(422, {"detail": [{"loc": ["body", name], "msg": text, "type": kind}]})
