"""ImagineoAI: POST /api/v1/edits/segment, JSON or form, one picture back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web

from .base import KEY, ProviderServer, rejected
from .vision import find_named, open_image, picture


@dataclass
class ImagineoServer(ProviderServer):
    """mode: mask_png, cutout_rgba, overlay_jpeg, isolated_png, json_url.

    runs: the pictures of earlier runs. associated: the runs that forms named.
    """

    mode: str = "mask_png"
    associated: list[str] = field(default_factory=list)
    runs: dict[str, bytes] = field(default_factory=dict)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/api/v1/edits/segment", self.paid(self.segment))

    def check_key(self, request: web.Request) -> None:
        headers = request.headers
        if f"Bearer {KEY}" != headers.get("Authorization") and KEY != headers.get("X-API-Key"):
            text = f"Invalid API key {headers.get('Authorization', '')}"
            raise rejected(401, {"error": {"code": "unauthorized", "message": text}})

    def segment(self, fields: Any) -> web.Response:
        fields = fields if isinstance(fields, dict) else {}
        if not fields.get("prompt"):
            raise _invalid("prompt is required")
        try:
            image = open_image(self._source(fields))
        except ValueError as error:
            raise _invalid("image cannot be read") from error
        masks = find_named(image, fields["prompt"])
        mask = masks[0] if masks else np.zeros((image.height, image.width), bool)
        run_id = f"run-{len(self.received)}"
        if self.mode == "json_url":
            url = self.store(picture(mask))
            data = {"image_url": url, "run_id": run_id}
            return web.json_response({"success": True, "error": None, "data": data})
        data, kind = _rendered(self.mode, np.asarray(image), mask)
        return web.Response(body=data, content_type=kind)

    def _source(self, fields: dict[str, Any]) -> bytes:
        if isinstance(fields.get("image"), bytes):
            self.associated += [fields["run_id"]] if fields.get("run_id") else []
            return fields["image"]
        name = (fields.get("imageUrl") or fields.get("image_url") or "").rpartition("/")[2]
        if name in self.files:
            return self.files[name]
        if fields.get("run_id") in self.runs:
            return self.runs[fields["run_id"]]
        raise _invalid("one of imageUrl or run_id is required")


def _rendered(mode: str, pixels: np.ndarray, mask: np.ndarray) -> tuple[bytes, str]:
    if mode == "cutout_rgba":
        alpha = mask[..., None].astype(np.uint8) * 255
        return picture(np.concatenate([pixels, alpha], axis=2)), "image/png"
    if mode == "overlay_jpeg":
        tint = np.where(mask[..., None], pixels // 2 + np.array([0, 0, 127]), pixels)
        return picture(tint, "JPEG", quality=92), "image/jpeg"
    if mode == "isolated_png":
        return picture(np.where(mask[..., None], pixels, 255)), "image/png"
    return picture(mask), "image/png"


def _invalid(text: str) -> Exception:
    return rejected(400, {"error": {"code": "invalid_parameter", "message": text}})
