"""Segment Anywhere: image segmentation nodes for ComfyUI."""

# pytest imports this file as a plain module, where relative imports cannot work.
if __package__:
    from .nodes import comfy_entrypoint

    WEB_DIRECTORY = "./web"

    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
