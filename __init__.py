"""Segment Anywhere: image segmentation nodes for ComfyUI."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./web"

__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]


async def comfy_entrypoint() -> ComfyExtension:
    """Called once by ComfyUI. The nodes are imported here: what uses core alone has no ComfyUI."""
    from .nodes import comfy_entrypoint as load_nodes

    return await load_nodes()
