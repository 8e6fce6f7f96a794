"""Parts that many templates have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .graph import Graph, Node, Output
from .pictures import Picture

BUILT_IN = "grabcut (built in)"
# The flower in the middle of the photograph, the one that its lower border cuts off, and the
# flower on the first frame of the clip.
FLOWER, LOWER_FLOWER, FLOWER_IN_CLIP = (310, 215), (410, 410), (210, 112)


def clicks(picture: Picture, *places: tuple[int, int], **more: Any) -> str:
    """A text of the editor: clicks on a picture, each on an object of its own."""
    points = [
        {"x": x, "y": y, "label": 1, **({"object": number} if number else {}), **more}
        for number, (x, y) in enumerate(places)
    ]
    return json.dumps({"version": 1, "size": list(picture.size), "points": points})


def example_box(picture: Picture, x: int, y: int, width: int, height: int) -> str:
    """A text of the editor: a box around an example."""
    box = {"x": x, "y": y, "width": width, "height": height, "label": 1, "object": 0}
    text = {"version": 1, "size": list(picture.size), "points": [], "boxes": [box]}
    return json.dumps(text)


def opened(graph: Graph, picture: Picture, title: str = "Image") -> Output:
    """Load Image with a picture of the pack."""
    return graph.add("LoadImage", title, image=picture.input_name)["IMAGE"]


def loaded(graph: Graph, model: str = BUILT_IN, column: int | None = None) -> Output:
    """Load SAM."""
    return graph.add("SegmentAnywhereLoadSAM", column=column, model=model, precision="auto")[
        "model"
    ]


def clicked(
    graph: Graph, picture: Picture, image: Output, model: Output, *places: tuple[int, int]
) -> Node:
    """Point Segment with a click on each place, or on the flower alone."""
    points = clicks(picture, *(places or (FLOWER,)))
    return graph.add("SegmentAnywherePoint", model=model, image=image, points=points)


def saved(graph: Graph, title: str, images: Output, prefix: str) -> Node:
    """Save Image."""
    return graph.add(
        "SaveImage", title, images=images, filename_prefix=f"segment_anywhere/{prefix}"
    )


def mask_saved(graph: Graph, mask: Output, name: str = "", prefix: str = "mask") -> None:
    """A mask as a grey picture, saved. name: what tells it from another of the template."""
    shown = graph.add("MaskToImage", f"Mask as Image{name}", mask=mask)
    saved(graph, f"Mask{name}", shown["IMAGE"], prefix)


def cut_and_drawn(
    graph: Graph, image: Output, mask: Output, segments: Output, prefix: str = ""
) -> None:
    """Cut Out and Draw Segments, both saved."""
    cut = graph.add("SegmentAnywhereCutOut", image=image, mask=mask, background="transparent")
    drawn = graph.add("SegmentAnywhereDraw", image=image, segments=segments)
    saved(graph, "Cut-out", cut["image"], f"{prefix}cutout")
    saved(graph, "Overlay", drawn["image"], f"{prefix}overlay")


def note_text(note: str, downloads: Sequence[tuple[str, str]], needs: str) -> str:
    """What a note says: two sentences, what is downloaded, and what else a run needs.

    downloads: names and sizes.
    """
    listed = " and ".join(f"{name} ({size})" for name, size in downloads)
    fetched = f"{listed}, once, when it first runs" if downloads else "none"
    return f"{note}\n\n**Download:** {fetched}." + (f"\n\n**Needs:** {needs}" if needs else "")
