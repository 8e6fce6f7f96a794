"""A server that a real frontend of ComfyUI boots from: its few routes, and this pack run for real.

What a queued prompt does is limited to Load Image, a clip, Load SAM, Point Segment, Track Segments
and Remote Provider Segment; the latter run with the pack's own nodes, and the live-preview route is
the pack's own.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch
from aiohttp import WSMsgType, web
from PIL import Image
from segment_anywhere.nodes import NODES
from segment_anywhere.nodes import live_preview as preview
from segment_anywhere.nodes.host.models import SegmentModel
from segment_anywhere.nodes.load_sam import LoadSAM
from segment_anywhere.nodes.point_segment import PointSegment
from segment_anywhere.nodes.remote_segment import RemoteProviderSegment
from segment_anywhere.nodes.track_segments import TrackSegments

from tests.support.loopback import running
from tests.support.paths import ROOT

from .comfy_page import IMAGE_SIZE, QUIET

PACK = "/extensions/segment-anywhere"
WEB = ROOT / "web"
SQUARE = (100, 60, 220, 180)
# On each frame of a clip the square is so many pixels further to the right.
CLIP_FRAMES, CLIP_STEP = 6, 15

_CORE_NODES: dict[str, dict[str, Any]] = {
    "LoadImage": {
        "input": {"required": {"image": [["square.png", "large.png"], {"image_upload": True}]}},
        "output": ["IMAGE", "MASK"],
        "output_name": ["IMAGE", "MASK"],
        "display_name": "Load Image",
    },
    "ClipOfSquare": {
        "input": {"required": {}},
        "output": ["IMAGE"],
        "output_name": ["IMAGE"],
        "display_name": "Clip",
    },
    "ImageInvert": {
        "input": {"required": {"image": ["IMAGE", {}]}},
        "output": ["IMAGE"],
        "output_name": ["IMAGE"],
        "display_name": "Invert Image",
    },
    "PrimitiveString": {
        "input": {"required": {"value": ["STRING", {"multiline": False}]}},
        "output": ["STRING"],
        "output_name": ["STRING"],
        "display_name": "String",
    },
    "MaskToImage": {
        "input": {"required": {"mask": ["MASK", {}]}},
        "output": ["IMAGE"],
        "output_name": ["IMAGE"],
        "display_name": "Convert Mask to Image",
    },
    "PreviewImage": {
        "input": {"required": {"images": ["IMAGE", {}]}},
        "output": [],
        "output_name": [],
        "display_name": "Preview Image",
        "output_node": True,
    },
    "PreviewAny": {
        "input": {"required": {"source": ["*", {}]}},
        "output": [],
        "output_name": [],
        "display_name": "Preview Any",
        "output_node": True,
    },
}
_EMPTY = {
    "jobs": {
        "jobs": [],
        "pagination": {"offset": 0, "limit": 0, "total": 0, "has_more": False},
    },
    "userdata": [],
    "global_subgraphs": {},
    "experiment/models": [],
    "workflow_templates": {},
    "features": {},
    "queue": {"queue_running": [], "queue_pending": []},
    "system_stats": {"system": {"comfyui_version": "0.25.0", "argv": []}, "devices": []},
}


def picture(name: str, shift: int = 0) -> Image.Image:
    """A red square on green, shifted to the right; `large.png` is the same at twice the size."""
    image = Image.new("RGB", IMAGE_SIZE, (40, 140, 60))
    left, top, right, bottom = SQUARE
    image.paste((210, 40, 30), (left + shift, top, right + shift, bottom))
    return image.resize((640, 480), Image.Resampling.NEAREST) if name == "large.png" else image


class StubComfy:
    """One server. Tests read what it was asked for and say how it behaves."""

    def __init__(self, frontend: Path) -> None:
        self.frontend = frontend
        self.url = ""
        self.settings: dict[str, Any] = {}
        self.prompts: list[dict[str, Any]] = []
        self.ran: list[str] = []
        self.previews = self.flying = self.most_flying = 0
        self.has_route = True
        # Whether a node that runs waits at three quarters of its work.
        self.is_held = self.is_failing = False
        self.delay = 0.0
        self.last_mask: np.ndarray | None = None
        self.last_masks: np.ndarray | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        self._route = preview.PreviewRoute()
        self._models: dict[tuple[str, str], SegmentModel] = {}
        self._runners = {
            "SegmentAnywherePoint": self._run_point,
            "SegmentAnywhereRemote": self._run_remote,
            "SegmentAnywhereTrack": self._run_track,
            "PreviewImage": self._run_preview,
        }
        # Files that were uploaded, by their names.
        self.uploads: dict[str, bytes] = {}
        self.takes_masks = True

    def forget(self) -> None:
        """As after a restart: no model, no embedding."""
        self._models.clear()
        gc.collect()

    def reset(self) -> None:
        """As at the start, for the next test; models stay."""
        self.prompts.clear()
        self.ran.clear()
        self.uploads.clear()
        self.takes_masks = True
        self.last_mask = self.last_masks = None
        self.previews = self.flying = self.most_flying = 0
        self.has_route, self.delay = True, 0.0
        self.is_held = self.is_failing = False

    def app(self) -> web.Application:
        app = web.Application()
        router = app.router
        router.add_get("/", self._index)
        router.add_get("/ws", self._socket)
        for prefix in ("", "/api"):
            router.add_get(prefix + "/users", self._users)
            router.add_get(prefix + "/settings", self._get_settings)
            router.add_post(prefix + "/settings/{id}", self._post_setting)
            router.add_get(prefix + "/object_info", self._object_info)
            router.add_get(prefix + "/extensions", self._extensions)
            router.add_get(prefix + "/view", self._view)
            router.add_get(prefix + "/i18n", self._texts)
            router.add_post(prefix + "/prompt", self._prompt)
            router.add_post(prefix + "/upload/mask", self._upload_mask)
            router.add_post(prefix + preview.PATH, self._preview)
            router.add_get(prefix + "/{name:" + "|".join(_EMPTY) + "}", self._empty)
        router.add_static(PACK, WEB)
        router.add_static("/", self.frontend)
        return app

    async def _index(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(self.frontend / "index.html")

    async def _users(self, request: web.Request) -> web.Response:
        return web.json_response({"storage": "server", "migrated": True})

    async def _get_settings(self, request: web.Request) -> web.Response:
        return web.json_response(QUIET | self.settings)

    async def _post_setting(self, request: web.Request) -> web.Response:
        self.settings[request.match_info["id"]] = await request.json()
        return web.Response()

    async def _object_info(self, request: web.Request) -> web.Response:
        ours = {node.GET_SCHEMA().node_id: node.GET_NODE_INFO_V1() for node in NODES}
        for info in ours.values():
            info["python_module"] = "custom_nodes.segment-anywhere"
        core = {
            name: {"name": name, "category": "core", "python_module": "nodes", **info}
            for name, info in _CORE_NODES.items()
        }
        return web.json_response(core | ours)

    async def _extensions(self, request: web.Request) -> web.Response:
        scripts = sorted(WEB.rglob("*.js"))
        return web.json_response([f"{PACK}/{path.relative_to(WEB).as_posix()}" for path in scripts])

    async def _texts(self, request: web.Request) -> web.Response:
        """The pack's texts in every language, laid out as ComfyUI does."""
        texts = {}
        for folder in (ROOT / "locales").iterdir():
            files = {path.stem: json.loads(path.read_bytes()) for path in folder.glob("*.json")}
            texts[folder.name] = files.pop("main", {}) | files
        return web.json_response(texts)

    async def _empty(self, request: web.Request) -> web.Response:
        return web.json_response(_EMPTY[request.match_info["name"]])

    async def _view(self, request: web.Request) -> web.Response:
        query = request.query
        if query["type"] == "input":
            body = self.uploads.get(query["filename"]) or _png(picture(query["filename"]))
            return web.Response(body=body, content_type="image/png")
        path = Path(folder_paths.get_temp_directory()) / query["subfolder"] / query["filename"]
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    async def _preview(self, request: web.Request) -> web.Response:
        if not self.has_route:
            return web.Response(status=405)
        self.previews += 1
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        try:
            await asyncio.sleep(self.delay)
            return await self._route.answer(request)
        finally:
            self.flying -= 1

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        status = {"exec_info": {"queue_remaining": 0}}
        await socket.send_json({"type": "status", "data": {"status": status, "sid": "stub"}})
        async for message in socket:
            if message.type is WSMsgType.ERROR:
                break
        self._sockets.discard(socket)
        return socket

    async def _prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        if not _has_output(body["prompt"]):
            # As ComfyUI says it.
            error = {"type": "prompt_no_outputs", "message": "Prompt has no outputs"}
            return web.json_response({"error": error, "node_errors": {}}, status=400)
        self.prompts.append(body)
        prompt_id = str(uuid.uuid4())
        asyncio.get_running_loop().create_task(self._execute(prompt_id, body["prompt"]))
        return web.json_response({"prompt_id": prompt_id, "number": 1, "node_errors": {}})

    async def _execute(self, prompt_id: str, prompt: dict[str, Any]) -> None:
        await self._send("execution_start", {"prompt_id": prompt_id})
        for node_id, node in prompt.items():
            if node["class_type"] not in self._runners:
                continue
            self.ran.append(node_id)
            place = {"node": node_id, "display_node": node_id, "prompt_id": prompt_id}
            await self._send("executing", place)
            share = {"value": 3, "max": 4, "state": "running", "node_id": node_id}
            await self._send("progress_state", {"prompt_id": prompt_id, "nodes": {node_id: share}})
            while self.is_held:
                await asyncio.sleep(0.02)
            if self.is_failing:
                error = {"exception_message": "as asked", "exception_type": "E", "traceback": []}
                await self._send("execution_error", {**place, **error, "node_id": node_id})
                return
            run = self._runners[node["class_type"]]
            output = await asyncio.to_thread(run, prompt, node["inputs"])
            await self._send("executed", {**place, "output": output})
        await self._send("executing", {"node": None, "prompt_id": prompt_id})
        await self._send("execution_success", {"prompt_id": prompt_id, "timestamp": 0})

    async def _send(self, kind: str, data: dict[str, Any]) -> None:
        for socket in list(self._sockets):
            await socket.send_json({"type": kind, "data": data})

    def _run_point(self, prompt: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
        """Execute Load SAM and Point Segment on what the prompt's Load Image names."""
        model = self._load(prompt, inputs)
        points = inputs["points"]
        if isinstance(points, list):
            points = prompt[points[0]]["inputs"]["value"]
        image = _load_image(prompt, inputs["image"])
        with torch.inference_mode():
            output = PointSegment.execute(model, image, points, inputs["mask_choice"])
        return self._shown(output)

    def _run_track(self, prompt: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
        """Execute Load SAM and Track Segments on the prompt's clip."""
        model = self._load(prompt, inputs)
        images = _load_image(prompt, inputs["images"])
        names = ("points", "direction", "overlap", "max_objects")
        with torch.inference_mode():
            output = TrackSegments.execute(model, images, *(inputs[name] for name in names))
        return self._shown(output)

    def _load(self, prompt: dict[str, Any], inputs: dict[str, Any]) -> SegmentModel:
        load = prompt[inputs["model"][0]]["inputs"]
        choice = (load["model"], load["precision"])
        # As ComfyUI's cache does, this keeps the model in use.
        return self._models.setdefault(choice, LoadSAM.execute(*choice).args[0])

    def _run_remote(self, prompt: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
        """Execute Remote Provider Segment, whose provider is where the environment says."""
        names = [name for name in inputs if name.startswith("provider.")]
        options = {name.removeprefix("provider."): inputs[name] for name in names}
        options["provider"] = inputs["provider"]
        image = _load_image(prompt, inputs["image"])
        return self._shown(asyncio.run(RemoteProviderSegment.execute(image, options)))

    def _run_preview(self, prompt: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
        """A picture of the last mask, or of what the prompt's Load Image names."""
        if prompt[inputs["images"][0]]["class_type"] == "MaskToImage":
            shown = Image.fromarray((self.last_mask * np.uint8(255)).astype(np.uint8))
        else:
            shown = picture("square.png")
        name = f"{uuid.uuid4()}.png"
        shown.save(Path(folder_paths.get_temp_directory()) / name)
        return {"images": [{"filename": name, "subfolder": "", "type": "temp"}]}

    async def _upload_mask(self, request: web.Request) -> web.Response:
        """As ComfyUI does it: the pixels of one file with the alpha of another."""
        if not self.takes_masks:
            return web.Response(status=500)
        form = await request.post()
        ref = json.loads(form["original_ref"])
        shown = Path(folder_paths.get_temp_directory()) / ref["filename"]
        original = Image.open(shown) if ref["type"] == "temp" else picture(ref["filename"])
        original = original.convert("RGBA")
        sent = form["image"]
        original.putalpha(Image.open(sent.file).convert("RGBA").getchannel("A"))
        self.uploads[sent.filename] = _png(original)
        place = {"subfolder": form["subfolder"], "type": form["type"]}
        return web.json_response({"name": sent.filename, **place})

    def _shown(self, output: Any) -> dict[str, Any]:
        self.last_masks = output.args[0].numpy() > 0.5
        self.last_mask = self.last_masks[0]
        return json.loads(json.dumps(output.ui))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _has_output(prompt: dict[str, Any]) -> bool:
    kinds = (node["class_type"] for node in prompt.values())
    return any(_CORE_NODES.get(kind, {}).get("output_node") for kind in kinds)


def _load_image(prompt: dict[str, Any], link: list) -> torch.Tensor:
    source = prompt[link[0]]
    while source["class_type"] not in ("LoadImage", "ClipOfSquare"):
        source = prompt[source["inputs"]["image"][0]]
    if source["class_type"] == "LoadImage":
        # "name [input]", as the editor's window calls it, is the same.
        pictures = [picture(source["inputs"]["image"].partition(" [")[0])]
    else:
        pictures = [picture("square.png", CLIP_STEP * index) for index in range(CLIP_FRAMES)]
    pixels = np.stack([np.asarray(each).astype(np.float32) / 255 for each in pictures])
    return torch.from_numpy(pixels)


@contextmanager
def serving(frontend: Path) -> Iterator[StubComfy]:
    """Run a server on a free port, in a thread, as long as the context lasts."""
    stub = StubComfy(frontend)
    with running(stub.app, patience=1.0) as stub.url:
        yield stub
