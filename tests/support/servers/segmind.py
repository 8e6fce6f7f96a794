"""Segmind: POST /v1/sam-v2-image, words or points in, one picture or Base64 out."""

from __future__ import annotations

import base64
import binascii
import json
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web

from .base import KEY, ProviderServer, rejected
from .vision import b64, find_named, object_at, open_image, picture

HTML_405 = "<!doctype html><title>405 Method Not Allowed</title><h1>Method Not Allowed</h1>"


@dataclass
class SegmindServer(ProviderServer):
    """mode: jpeg, png, json_b64, json_datauri, json_url, json_output, bare_b64."""

    mode: str = "jpeg"
    credits: float = 100.0
    till: threading.Lock = field(default_factory=threading.Lock)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/sam-v2-image", self.paid(self.segment))
        router.add_get("/v1/sam-v2-image", self.refuse_method)
        router.add_post("/v1/{slug}", self.unknown)

    def check_key(self, request: web.Request) -> None:
        # Their gateway knows no bearer tokens.
        if "x-api-key" not in request.headers:
            raise rejected(401, {"error": "Missing Authorization or x-api-key in header"})
        if request.headers["x-api-key"] != KEY:
            raise rejected(401, {"error": "Unauthorized. API key is invalid."})
        if request.content_type not in ("application/json", "multipart/form-data"):
            raise rejected(406, {"error": "Invalid content type"})

    async def refuse_method(self, request: web.Request) -> web.Response:
        return web.Response(status=405, text=HTML_405, content_type="text/html")

    async def unknown(self, request: web.Request) -> web.Response:
        return web.json_response({"error": "Model not found"}, status=404)

    def segment(self, fields: Any) -> web.Response:
        fields = fields if isinstance(fields, dict) else {}
        image = _image(fields)
        points = _coordinates(fields, "coordinates", image.size)
        removed = _coordinates(fields, "remove_coordinates", image.size)
        if bool(fields.get("prompt")) == bool(points):
            raise rejected(400, {"error": "Provide either prompt or coordinates"})
        if fields.get("prompt"):
            mask = np.any(
                find_named(image, str(fields["prompt"])) or [np.zeros(image.size[::-1], bool)],
                axis=0,
            )
        else:
            mask = object_at(image, points)
        mask &= ~(object_at(image, removed) if removed else np.zeros_like(mask))
        left = self._pay(0.5)
        pixels = np.asarray(image)
        tinted = np.where(mask[..., None], pixels // 2 + 120, pixels)
        shown = tinted if fields.get("overlay_mask", True) else mask
        return self._answer(shown, bool(fields.get("base64", True)), left)

    def _pay(self, cost: float) -> float:
        """What is left after this call: others are paid at the same time, in other threads."""
        with self.till:
            self.credits -= cost
            return self.credits

    def _answer(self, shown: np.ndarray, wants_base64: bool, left: float) -> web.Response:
        kind = "PNG" if self.mode == "png" else "JPEG"
        data = picture(shown, kind)
        headers = {
            "x-remaining-credits": f"{left:g}",
            "x-request-id": f"seg-{len(self.received)}",
            "x-cost": "0.5",
        }
        bodies: dict[str, Any] = {
            "json_b64": {"image": b64(data), "status": "ok"},
            "json_datauri": {"image": f"data:image/jpeg;base64,{b64(data)}"},
            "json_output": {"output": [b64(data)]},
        }
        if self.mode == "json_url":
            return web.json_response({"image": self.store(data, "jpg")}, headers=headers)
        if self.mode == "bare_b64":
            return web.Response(text=b64(data), headers=headers)
        if self.mode in bodies or wants_base64:
            body = bodies.get(self.mode, {"image": b64(data)})
            return web.json_response(body, headers=headers)
        kind = f"image/{kind.lower()}"
        return web.Response(body=data, content_type=kind, headers=headers)


def _image(fields: dict[str, Any]) -> Any:
    try:
        # No data URI: every sample sends the bare text.
        return open_image(base64.b64decode(fields.get("image") or "", validate=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise rejected(500, {"error": "Image could not be read"}) from error


def _coordinates(fields: dict[str, Any], name: str, size: tuple[int, int]) -> list[list[float]]:
    """Text such as [834,74] or [[839,74],[844,20]]; a list is an error on their side.

    size: (W, H), in which they must lie.
    """
    if name not in fields:
        return []
    text = fields[name]
    if not isinstance(text, str):
        raise rejected(500, {"error": f"{name}: the JSON object must be str"})
    try:
        value = json.loads(text)
    except ValueError as error:
        raise rejected(500, {"error": f"{name}: {error}"}) from error
    points = value if value and isinstance(value[0], list) else [value]
    if not all(len(point) == 2 and 0 <= point[0] < size[0] for point in points):
        raise rejected(500, {"error": f"{name}: list index out of range"})
    if not all(0 <= point[1] < size[1] for point in points):
        raise rejected(500, {"error": f"{name}: list index out of range"})
    return points
