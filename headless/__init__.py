"""Runs API-format workflows without a browser: in this process, or on a running ComfyUI server."""
