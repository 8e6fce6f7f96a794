"""Runs a graph on a ComfyUI server."""
