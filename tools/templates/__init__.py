"""The templates of ComfyUI's panel, each described once: `python -m tools.templates` writes them.

`lessons.py` has the course and `others.py` the rest. A template is described by a function that
adds nodes to a graph; sizes, places and the ways of the links follow from that (`layout.py`). What
is written: workflows/<title>.json for the editor, workflows/api/<name>.json for the API, a card,
workflows/<title>.jpg, that shows what the template itself makes, and workflows/README.md.
"""
