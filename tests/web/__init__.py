"""The editor in a browser: tests against the frontends of ComfyUI, without a ComfyUI."""
