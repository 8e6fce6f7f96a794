"""Tests that drive a real ComfyUI. A package, so that its conftest is not taken for tests/'s."""
