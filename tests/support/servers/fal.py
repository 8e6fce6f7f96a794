"""fal: the queue (submit, status, result, cancel), the storage, and five endpoints."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from aiohttp import ClientSession, DummyCookieJar, web
from PIL import Image
from yarl import URL

from .base import KEY, ProviderServer, Rejected, rejected
from .faults import Fault
from .vision import (
    b64,
    find_named,
    find_objects,
    names_colour,
    object_at,
    object_in,
    open_image,
    picture,
)

EVF_SAM = "fal-ai/evf-sam"
SAM2 = "fal-ai/sam2/image"
SAM2_AUTO = "fal-ai/sam2/auto-segment"
SAM3 = "fal-ai/sam-3/image"
BIREFNET = "fal-ai/birefnet/v2"
_TYPES = {
    "prompt": str,
    "negative_prompt": str,
    "image_url": str,
    "semantic_type": bool,
    "mask_only": bool,
    "use_grounding_dino": bool,
    "revert_mask": bool,
    "blur_mask": int,
    "expand_mask": int,
    "fill_holes": bool,
    "apply_mask": bool,
    "return_multiple_masks": bool,
    "include_scores": bool,
    "max_masks": int,
    "output_format": str,
    "output_mask": bool,
    "refine_foreground": bool,
}
_CHOICES = {
    "model": (
        *("General Use (Light)", "General Use (Light 2K)", "General Use (Heavy)", "Matting"),
        *("Portrait", "General Use (Dynamic)"),
    ),
    "operating_resolution": ("1024x1024", "2048x2048", "2304x2304"),
}
_POINT = {"x", "y", "label"}
_BOX = {"x_min", "y_min", "x_max", "y_max"}
_SHAPES = {"prompts": _POINT, "point_prompts": _POINT, "box_prompts": _BOX}

LOG = [
    {"message": text, "level": "INFO", "source": "USER", "timestamp": "2026-11-24T00:00:00Z"}
    for text in ("loading", "segmenting", "writing")
]


@dataclass
class Job:
    """A job: what it makes, how often its status was asked for, whether it was cancelled."""

    endpoint: str
    fields: dict[str, Any]
    looks: int = 0
    is_cancelled: bool = False


@dataclass
class FalServer(ProviderServer):
    """mode: url, data_uri, half_size, or what goes wrong with the job: never_completes,
    completed_with_error, off_origin, bad_status.

    waits: status answers before COMPLETED: queued, then running. named: the host that tickets name,
    "" for this server. has_id: whether results say whose they are. webhooks: what submissions asked
    to be called. proxied: the true addresses of what came by way of the proxy at /api/fal/proxy.
    """

    mode: str = "url"
    waits: int = 3
    named: str = ""
    has_id: bool = True
    webhooks: list[str] = field(default_factory=list)
    proxied: list[str] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    result_faults: list[Fault | None] = field(default_factory=list)
    status_faults: list[Fault | None] = field(default_factory=list)
    uploads: int = 0

    def add_routes(self, router: web.UrlDispatcher) -> None:
        for endpoint in (EVF_SAM, SAM2, SAM2_AUTO, SAM3, BIREFNET):
            router.add_post(f"/{endpoint}", self._submitter(endpoint))
        # Requests live below owner and alias: a third part of the name is left out.
        base = "/fal-ai/{alias}/requests/{id}"
        router.add_get(f"{base}/status", self.get_status)
        router.add_get(base, self.get_result)
        router.add_put(f"{base}/cancel", self.put_cancel)
        router.add_post("/storage/upload/initiate", self.post_upload)
        router.add_put("/files/{name}", self.put_file)
        router.add_route("*", "/api/fal/proxy", self.proxy)
        router.add_post("/{tail:.*}", self.unknown)

    def check_key(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Key {KEY}":
            raise rejected(401, {"detail": "Cannot access application. Authentication is required"})

    async def unknown(self, request: web.Request) -> web.Response:
        return web.json_response({"detail": f"Application {request.path} not found"}, status=404)

    def _submitter(self, endpoint: str) -> Any:
        def submit(fields: Any) -> web.Response:
            fields = fields if isinstance(fields, dict) else {}
            _check_input(endpoint, fields)
            request_id = f"00000000-0000-4000-8000-{len(self.jobs):012d}"
            self.jobs[request_id] = Job(endpoint, fields)
            body = {"request_id": request_id, "status": "IN_QUEUE", "queue_position": 0}
            return web.json_response(body | self._urls(request_id))

        paid = self.paid(submit)

        async def handle(request: web.Request) -> web.StreamResponse:
            unknown = request.query.keys() - {"fal_webhook"}
            if unknown:
                return web.json_response({"detail": f"unknown: {unknown}"}, status=422)
            self.webhooks += request.query.getall("fal_webhook", [])
            return await paid(request)

        return handle

    async def proxy(self, request: web.Request) -> web.Response:
        """As the routes of @fal-ai/server-proxy: no key comes in, fal's addresses alone go out."""
        target = URL(request.headers.get("x-fal-target-url", ""))
        if not target.host:
            return web.json_response("Missing the x-fal-target-url header", status=400)
        if not target.host.endswith((".fal.run", ".fal.ai")) or target.scheme != "https":
            return web.json_response("Invalid x-fal-target-url header", status=412)
        if request.method == "POST" and request.content_type != "application/json":
            return web.json_response("Unsupported Media Type", status=415)
        if "Authorization" in request.headers:
            self.leaks.append(request.path)
        self.proxied.append(str(target))
        headers = {"Authorization": f"Key {KEY}", "Content-Type": "application/json"}
        async with ClientSession(cookie_jar=DummyCookieJar()) as session:
            onward = URL(self.url).join(target.relative())
            body = await request.read() or None
            async with session.request(
                request.method, onward, data=body, headers=headers
            ) as response:
                said = {k: v for k, v in response.headers.items() if k.lower().startswith("x-fal-")}
                data = await response.read()
        kind = response.content_type
        return web.Response(body=data, status=response.status, content_type=kind, headers=said)

    def _urls(self, request_id: str) -> dict[str, str]:
        alias = "/".join(self.jobs[request_id].endpoint.split("/")[:2])
        host = "http://127.0.0.2:9" if self.mode == "off_origin" else self.named or self.url
        base = f"{host}/{alias}/requests/{request_id}"
        return {
            "response_url": base,
            "status_url": f"{base}/status",
            "cancel_url": f"{base}/cancel",
        }

    def _job(self, request: web.Request) -> Job:
        self.check_key(request)
        if request.match_info["id"] not in self.jobs:
            raise rejected(404, {"detail": "Request not found"})
        return self.jobs[request.match_info["id"]]

    async def get_status(self, request: web.Request) -> web.StreamResponse:
        try:
            job = self._job(request)
        except Rejected as error:
            return error.response
        fault = self.status_faults.pop(0) if self.status_faults else None
        if fault:
            return await fault(request, lambda: self._status(request, job))
        return await self._status(request, job)

    async def _status(self, request: web.Request, job: Job) -> web.Response:
        job.looks += 1
        request_id = request.match_info["id"]
        body: dict[str, Any] = {"request_id": request_id, **self._urls(request_id)}
        has_logs = request.query.get("logs") in ("1", "true")
        if self.mode == "bad_status":
            return web.json_response(body | {"status": "LOST"})
        if self.mode == "never_completes" or job.looks <= self.waits:
            if job.looks < self.waits:
                body |= {"status": "IN_QUEUE", "queue_position": max(0, 3 - job.looks)}
            else:
                lines = LOG[: job.looks - self.waits + 2]
                body |= {"status": "IN_PROGRESS", "logs": lines if has_logs else None}
            return web.json_response(body, status=202)
        body |= {"status": "COMPLETED", "metrics": {"inference_time": 0.4}}
        body["logs"] = LOG if has_logs else None
        if self.mode == "completed_with_error":
            body |= {"error": "Runner ran out of memory", "error_type": "runner_server_error"}
        return web.json_response(body)

    async def get_result(self, request: web.Request) -> web.StreamResponse:
        try:
            job = self._job(request)
        except Rejected as error:
            return error.response
        if job.looks <= self.waits:
            return web.json_response({"detail": "Request is still in progress"}, status=400)

        async def good() -> web.Response:
            headers = {"x-fal-billable-units": "1"}
            if self.has_id:
                headers["x-fal-request-id"] = request.match_info["id"]
            try:
                return web.json_response(self._output(job), headers=headers)
            except Rejected as error:
                return error.response

        fault = self.result_faults.pop(0) if self.result_faults else None
        return await (fault(request, good) if fault else good())

    async def put_cancel(self, request: web.Request) -> web.Response:
        try:
            job = self._job(request)
        except Rejected as error:
            return error.response
        if job.looks > self.waits and self.mode != "never_completes":
            return web.json_response({"status": "ALREADY_COMPLETED"}, status=400)
        job.is_cancelled = True
        return web.json_response({"status": "CANCELLATION_REQUESTED"}, status=202)

    async def post_upload(self, request: web.Request) -> web.Response:
        try:
            self.check_key(request)
        except Rejected as error:
            return error.response
        self.uploads += 1
        address = self.store(b"", "bin")
        return web.json_response({"upload_url": address, "file_url": address})

    async def put_file(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            self.leaks.append(request.path)

        async def good() -> web.Response:
            self.files[request.match_info["name"]] = await request.read()
            return web.Response()

        fault = self.file_faults.popleft() if self.file_faults else None
        return await (fault(request, good) if fault else good())

    def _source(self, url: str) -> Image.Image:
        try:
            if url.startswith("data:"):
                return open_image(base64.b64decode(url.partition(",")[2], validate=True))
            return open_image(self.files[url.rpartition("/")[2]])
        except (ValueError, KeyError) as error:
            raise _invalid("image_url", "Could not load the image", "image_load_error") from error

    def _output(self, job: Job) -> dict[str, Any]:
        fields = job.fields
        image = self._source(fields["image_url"])
        if job.endpoint == SAM2_AUTO:
            masks = find_objects(image)
            whole = np.any(masks, axis=0) if masks else np.zeros(image.size[::-1], bool)
            files = [self._file(mask) for mask in masks]
            return {"combined_mask": self._file(whole), "individual_masks": files}
        if job.endpoint == SAM2:
            mask = _by_shapes(image, fields.get("prompts", []), fields.get("box_prompts", []))
            is_painted = fields.get("apply_mask", False)
            return {"image": self._file(_painted(image, mask) if is_painted else mask)}
        if job.endpoint == SAM3:
            return self._sam3(image, fields)
        if job.endpoint == BIREFNET:
            return self._birefnet(image, fields)
        return {"image": self._file(_evf_mask(image, fields))}

    def _sam3(self, image: Image.Image, fields: dict[str, Any]) -> dict[str, Any]:
        shapes = (fields.get("point_prompts", []), fields.get("box_prompts", []))
        if any(int(p.get("label", 1)) for p in shapes[0]) or shapes[1]:
            masks = [_by_shapes(image, *shapes)]
        else:
            unwanted = object_at(image, [(p["x"], p["y"]) for p in shapes[0]])
            named = find_named(image, fields.get("prompt", ""))
            masks = [mask for mask in named if not (mask & unwanted).any()]
        masks = masks[: fields.get("max_masks", 3)]
        if not fields.get("return_multiple_masks", False):
            masks = masks[:1]
        scores = [round(0.9 - 0.1 * index, 2) for index in range(len(masks))]
        is_painted = fields.get("apply_mask", True)
        shown = [_painted(image, mask) if is_painted else mask for mask in masks]
        extra = {"scores": scores} if fields.get("include_scores") else {}
        return {"masks": [self._file(mask) for mask in shown], **extra}

    def _birefnet(self, image: Image.Image, fields: dict[str, Any]) -> dict[str, Any]:
        """The largest object is the subject; a cut-out, and its mask where that is asked for."""
        mask = max(find_objects(image), key=np.sum, default=np.zeros(image.size[::-1], bool))
        cut_out = np.dstack([np.asarray(image), mask.astype(np.uint8) * 255])
        extra = {"mask_image": self._file(mask)} if fields.get("output_mask") else {}
        return {"image": self._file(cut_out), **extra}

    def _file(self, mask: np.ndarray) -> dict[str, Any]:
        if self.mode == "half_size":
            mask = mask[::2, ::2]
        data = picture(mask)
        url = f"data:image/png;base64,{b64(data)}" if self.mode == "data_uri" else self.store(data)
        return {
            "url": url,
            "content_type": "image/png",
            "file_name": "mask.png",
            "file_size": len(data),
        }


def _check_input(endpoint: str, fields: dict[str, Any]) -> None:
    required = ("prompt", "image_url") if endpoint == EVF_SAM else ("image_url",)
    for name in required:
        if name not in fields:
            raise _invalid(name, "Field required", "missing")
    for name, value in fields.items():
        if name in _TYPES and type(value) is not _TYPES[name]:
            raise _invalid(name, f"Input should be a valid {_TYPES[name].__name__}", "type_error")
        if name in _SHAPES and not all(_is_shape(each, _SHAPES[name]) for each in value):
            raise _invalid(name, "Input should be a valid integer", "int_type")
    for name, choices in _CHOICES.items():
        if name in fields and fields[name] not in choices:
            raise _invalid(name, f"Input should be one of {choices}", "literal_error")
    if fields.get("blur_mask", 1) % 2 == 0:
        raise _invalid("blur_mask", "Value must be odd", "value_error")


def _is_shape(value: dict[str, Any], names: set[str]) -> bool:
    """Whole numbers; the JavaScript client has a label as text, 0 or 1."""
    return value.keys() >= names and all(
        type(value[name]) is int or value[name] in ("0", "1") for name in names
    )


def _evf_mask(image: Image.Image, fields: dict[str, Any]) -> np.ndarray:
    """One referent, or all with semantic_type; the further options as documented."""
    masks = find_named(image, fields["prompt"]) or [np.zeros(image.size[::-1], bool)]
    mask = np.any(masks, axis=0) if fields.get("semantic_type") else masks[0]
    unwanted = fields.get("negative_prompt", "")
    if names_colour(unwanted):
        mask = mask & ~np.any(find_named(image, unwanted) or [np.zeros_like(mask)], axis=0)
    elif unwanted:
        mask = mask & ~masks[-1] if len(masks) > 1 else mask
    mask = ~mask if fields.get("revert_mask") else mask
    grown = mask.astype(np.uint8) * 255
    if fields.get("expand_mask"):
        side = 2 * fields["expand_mask"] + 1
        grown = cv2.dilate(grown, np.ones((side, side), np.uint8))
    if fields.get("blur_mask"):
        grown = cv2.GaussianBlur(grown, (fields["blur_mask"],) * 2, 0)
    if not fields.get("mask_only", True):
        return np.where(grown[..., None] > 127, np.asarray(image), 0).astype(np.uint8)
    return grown


def _painted(image: Image.Image, mask: np.ndarray) -> np.ndarray:
    pixels = np.asarray(image)
    return np.where(mask[..., None], pixels // 2 + np.array([0, 0, 127], np.uint8), pixels)


def _by_shapes(image: Image.Image, points: list[dict], boxes: list[dict]) -> np.ndarray:
    # The JavaScript types have the label as text, the Python ones as a number.
    positive = [(p["x"], p["y"]) for p in points if int(p.get("label", 1))]
    negative = [(p["x"], p["y"]) for p in points if not int(p.get("label", 1))]
    mask = object_at(image, positive)
    for box in boxes:
        mask = mask | object_in(image, (box["x_min"], box["y_min"], box["x_max"], box["y_max"]))
    return mask & ~object_at(image, negative) if negative else mask


def _invalid(name: str, text: str, kind: str) -> Exception:
    detail = {"loc": ["body", name], "msg": text, "type": kind, "ctx": {}, "input": None}
    return rejected(422, {"detail": [detail]})
