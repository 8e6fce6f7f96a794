"""Segmentation without ComfyUI: prompts, engines, results. Nothing below imports the host."""
