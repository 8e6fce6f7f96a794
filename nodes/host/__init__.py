"""The only package that imports ComfyUI: its folders, memory, progress, web server."""
