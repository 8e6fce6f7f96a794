"""A loopback server with the routes and the answers of ComfyUI, for the headless client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from tests.support.loopback import running

INFO = {
    "LoadImage": {"input": {"required": {"image": [["x.png"], {}]}}, "output_node": False},
    "Segment": {
        "input": {
            "required": {"image": ["IMAGE", {}], "threshold": ["FLOAT", {"default": 0.5}]},
            "optional": {"choice": ["COMBO", {"options": ["best", "all"]}]},
        },
        "output_node": False,
    },
    "SaveImage": {
        "input": {"required": {"images": ["IMAGE", {}], "filename_prefix": ["STRING", {}]}},
        "output_node": True,
    },
    "PreviewAny": {"input": {"required": {"source": ["*", {}]}}, "output_node": True},
}
WORKFLOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": ""}, "_meta": {"title": "Image"}},
    "3": {
        "class_type": "Segment",
        "inputs": {"image": ["1", 0], "threshold": 0.5},
        "_meta": {"title": "Point Segment"},
    },
    "4": {
        "class_type": "SaveImage",
        "inputs": {"images": ["3", 0], "filename_prefix": "seg/mask"},
        "_meta": {"title": "Save"},
    },
    "5": {"class_type": "PreviewAny", "inputs": {"source": ["3", 1]}, "_meta": {"title": "Info"}},
}
REFUSAL = {
    "error": {
        "type": "prompt_outputs_failed_validation",
        "message": "Prompt outputs failed validation",
        "details": "",
        "extra_info": {},
    },
    "node_errors": {
        "3": {
            "errors": [
                {
                    "type": "value_bigger_than_max",
                    "message": "Value 2.0 bigger than max of 1.0",
                    "details": "threshold",
                    "extra_info": {"input_name": "threshold"},
                }
            ],
            "dependent_outputs": ["4"],
            "class_type": "Segment",
        }
    },
}


class FakeComfy:
    """ComfyUI's routes as far as the runner uses them; a job is done at the third look."""

    def __init__(self) -> None:
        self.url = ""
        self.uploads: dict[str, bytes] = {}
        self.prompts: list[dict[str, Any]] = []
        self.cancelled: list[tuple[str, Any]] = []
        self.looks = 0
        self.on_prompt: Callable[[dict[str, Any]], web.Response] | None = None
        self.status: dict[str, Any] = {"status_str": "success", "completed": True, "messages": []}
        self.outputs: dict[str, Any] = {
            "3": {"images": [{"filename": "inner.png", "subfolder": "", "type": "temp"}]},
            "4": {"images": [{"filename": "m a&b.png", "subfolder": "seg", "type": "output"}]},
            "5": {"text": ["two masks"]},
        }
        self.hiccups = 0
        self.forgets = False
        self.stats: Any = {"system": {"comfyui_version": "0.25.0"}, "devices": []}

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/system_stats", self.get_stats)
        app.router.add_get("/object_info/{name}", self.get_info)
        app.router.add_post("/upload/image", self.post_image)
        app.router.add_post("/prompt", self.post_prompt)
        app.router.add_get("/history/{id}", self.get_history)
        app.router.add_get("/queue", self.get_queue)
        app.router.add_get("/view", self.get_view)
        for path in ("/queue", "/interrupt"):
            app.router.add_post(path, self.post_cancel)
        return app

    async def get_stats(self, request: web.Request) -> web.Response:
        if isinstance(self.stats, int):
            return web.Response(status=self.stats)
        if isinstance(self.stats, str):
            return web.Response(text=self.stats)
        return web.json_response(self.stats)

    async def get_info(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return web.json_response({name: INFO[name]} if name in INFO else {})

    async def post_image(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form["image"].filename.startswith("large"):
            return web.Response(status=413)
        assert (form["type"], form["overwrite"]) == ("input", "true")
        name = form["image"].filename
        with form["image"].file as file:
            self.uploads[f"{form['subfolder']}/{name}"] = file.read()
        return web.json_response({"name": name, "subfolder": form["subfolder"], "type": "input"})

    async def post_prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.prompts.append(body)
        self.looks = 0
        if self.on_prompt:
            return self.on_prompt(body)
        return web.json_response({"prompt_id": body["prompt_id"], "number": 1, "node_errors": {}})

    async def get_history(self, request: web.Request) -> web.Response:
        self.looks += 1
        if self.hiccups > 0:
            self.hiccups -= 1
            return web.Response(status=502)
        if self.looks < 3 or self.forgets:
            return web.json_response({})
        # Without a client id 0.25 leaves out what came from the cache.
        outputs = self.outputs if self.prompts[-1].get("client_id") else {}
        entry = {"outputs": outputs, "status": self.status, "meta": {}}
        return web.json_response({request.match_info["id"]: entry})

    async def get_queue(self, request: web.Request) -> web.Response:
        return web.json_response({"queue_running": [], "queue_pending": []})

    async def get_view(self, request: web.Request) -> web.Response:
        query = request.query
        if query["filename"] == "gone.png":
            return web.Response(status=404)
        text = f"{query['type']}:{query['subfolder']}:{query['filename']}"
        return web.Response(body=text.encode(), content_type="image/png")

    async def post_cancel(self, request: web.Request) -> web.Response:
        self.cancelled.append((request.path, await request.json()))
        return web.Response()


@contextmanager
def serving() -> Iterator[FakeComfy]:
    """Run a server on a free port, in a thread, as long as the context lasts."""
    fake = FakeComfy()
    with running(fake.app) as fake.url:
        yield fake
