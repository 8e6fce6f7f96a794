"""The numbered templates: a course, in this order.

A new template is a function that builds its graph, and an entry in `LESSONS` here or in `OTHERS` of
`others.py`; `make templates` writes its files.
"""

from __future__ import annotations

import json

from .cards import beside, grid, halves
from .graph import Card, Graph, Lesson
from .parts import (
    FLOWER,
    FLOWER_IN_CLIP,
    LOWER_FLOWER,
    clicked,
    clicks,
    cut_and_drawn,
    loaded,
    mask_saved,
    opened,
    saved,
)
from .pictures import Picture
from .remote import provider_lesson

# What small models of the tests take the place of, for cards of what would be downloaded.
SMALL_CLIPSEG = "Text Segment.detector=clipseg/tiny"
# What the first lesson leaves to its reader.
ON_FLOWER = f"Point Segment.points={json.dumps([FLOWER])}"
RED = "red triangle, yellow circle"


def click(graph: Graph, picture: Picture) -> None:
    image, model = opened(graph, picture), loaded(graph)
    # Without a click: one that came along would have to be cleared for a photograph of one's own.
    segment = graph.add("SegmentAnywherePoint", model=model, image=image)
    cut = graph.add(
        "SegmentAnywhereCutOut", image=image, mask=segment["mask"], background="transparent"
    )
    saved(graph, "Cut-out", cut["image"], "cutout")


def words(graph: Graph, picture: Picture) -> None:
    image, model = opened(graph, picture), loaded(graph)
    found = graph.add("SegmentAnywhereText", model=model, image=image, prompt=RED)
    mask_saved(graph, found["mask"])
    cut_and_drawn(graph, image, found["mask"], found["segments"])


def clean_edges(graph: Graph, picture: Picture) -> None:
    image, model = opened(graph, picture), loaded(graph)
    segment = clicked(graph, picture, image, model)
    refined = graph.add(
        "SegmentAnywhereMaskRefine",
        segments=segment["segments"],
        image=image,
        preset="clean cut-out",
        **{"fill_holes": -1, "remove_islands": 200, "expand": -1.0, "smooth": 4.0, "feather": 2.0},
    )
    mask_saved(graph, refined["mask"])
    cut_and_drawn(graph, image, refined["mask"], refined["segments"])


def follow(graph: Graph, picture: Picture) -> None:
    frames, model = opened(graph, picture, "Frames"), loaded(graph)
    points = clicks(picture, FLOWER_IN_CLIP, frame=0)
    track = graph.add("SegmentAnywhereTrack", model=model, images=frames, points=points)
    drawn = graph.add("SegmentAnywhereDraw", image=frames, segments=track["segments"])
    saved(graph, "Overlay", drawn["image"], "overlay")
    mask_saved(graph, track["mask"])


def side_by_side(graph: Graph, picture: Picture) -> None:
    image, model = opened(graph, picture), loaded(graph)
    local = clicked(graph, picture, image, model)
    remote = graph.add(
        "SegmentAnywhereRemote",
        image=image,
        provider="airefinery",
        **{"provider.points": clicks(picture, FLOWER)},
    )
    shown = []
    # What compares them stands between what shows the one and the other.
    for each, name in ((local, "local"), (remote, "remote")):
        if each is remote:
            compared = graph.add(
                "SegmentAnywhereCompare",
                segments_a=local["segments"],
                segments_b=remote["segments"],
                image=image,
                name_a="local",
                name_b="airefinery",
            )
            shown.append(("Agreement", compared["picture"], "agreement"))
        drawn = graph.add("SegmentAnywhereDraw", image=image, segments=each["segments"])
        grey = graph.add("MaskToImage", f"Mask as Image, {name}", mask=each["mask"])
        shown.append((f"Overlay, {name}", drawn["image"], f"{name}_overlay"))
        shown.append((f"Mask, {name}", grey["IMAGE"], f"{name}_mask"))
    for title, each, prefix in shown:
        saved(graph, title, each, prefix)
    graph.add("PreviewAny", "Agreement in numbers", source=compared["json"])


def dataset(graph: Graph, picture: Picture) -> None:
    image, model = opened(graph, picture), loaded(graph)
    segment = clicked(graph, picture, image, model, FLOWER, LOWER_FLOWER)
    graph.add("SegmentAnywhereSave", segments=segment["segments"], image=image, classes="dahlia")


def everything(graph: Graph, picture: Picture) -> None:
    image, model = opened(graph, picture), loaded(graph)
    # On the built-in engine each click takes a good part of a second.
    found = graph.add("SegmentAnywhereEverything", model=model, image=image, points_per_side=4)
    pictures = []
    for title, style in (("Overlay", "fill"), ("Label Map", "label map")):
        drawn = graph.add(
            "SegmentAnywhereDraw",
            image=image,
            segments=found["segments"],
            style=style,
            opacity=0.55,
            boxes=False,
            labels=False,
        )
        pictures.append((title, drawn["image"], title.lower().replace(" ", "_")))
    for title, shown, prefix in pictures:
        saved(graph, title, shown, prefix)


def one_by_one(graph: Graph, picture: Picture) -> None:
    image, model = opened(graph, picture), loaded(graph)
    segment = clicked(graph, picture, image, model)
    crops = graph.add("SegmentAnywhereCrop", image=image, segments=segment["segments"])
    blurred = graph.add("ImageBlur", image=crops["crop"], blur_radius=24, sigma=0.5)
    stitched = graph.add(
        "SegmentAnywhereStitch", stitch=crops["stitch"], image=blurred["IMAGE"], feather=8.0
    )
    saved(graph, "Result", stitched["image"], "stitched")


LESSONS = (
    Lesson(
        "click",
        "1 Click",
        "dahlia",
        "Click on the flower in *Point Segment*, or choose a photograph of your own in *Image* "
        "first and click on what you want there. Press **Run**, and it is cut out; *Clear* removes "
        "clicks.",
        click,
        Card(("Image", "Cut-out"), changes=(ON_FLOWER,), draw=halves),
        needs="nothing. GrabCut is built in and rough: for photographs choose a SAM in *Load SAM*, "
        "such as SAM 2.1 tiny ({SAM 2.1 tiny}).",
    ),
    Lesson(
        "text_segment",
        "2 Words",
        "shapes",
        "Write what you look for into *prompt*, several things with commas between them. CLIPSeg "
        "is the smallest model that understands words: there is none to be had in a few megabytes.",
        words,
        Card(("Overlay", "Cut-out"), changes=(SMALL_CLIPSEG,), draw=beside),
        words=("red triangle", "yellow circle"),
        downloads=("CLIPSeg rd64-refined",),
        needs="nothing else. Better outlines come with SAM 2.1 tiny in *Load SAM* "
        "({SAM 2.1 tiny}), which asks Grounding DINO ({Grounding DINO tiny}) in CLIPSeg's place.",
    ),
    Lesson(
        "mask_refine",
        "3 Clean edges and cut out",
        "dahlia",
        "*Mask Refine* fills holes, removes crumbs and smooths the outline before *Cut Out*. "
        "Choose another *preset* for portraits, hair or inpainting.",
        clean_edges,
        Card(("Overlay", "Cut-out"), draw=halves),
    ),
    Lesson(
        "track_clicks",
        "4 Follow in a clip",
        "pan",
        "Click on any frame, press **Run**, and the object is followed through all of them. Where "
        "the mask goes wrong, go to that frame with the slider and click again.",
        follow,
        Card(("Overlay",), draw=grid),
        needs="nothing. The built-in engine is led by optical flow; SAM 2.1 tiny ({SAM 2.1 tiny}) "
        "remembers what the object looks like.",
    ),
    provider_lesson("fal", "5 Remote", "FAL_KEY"),
    Lesson(
        "local_and_remote",
        "6 Local and remote side by side",
        "dahlia",
        "The same click goes to the built-in engine and to a provider, and *Compare Segments* says "
        "where they agree. Nothing is sent before the run.",
        side_by_side,
        Card(("Overlay, local", "Overlay, remote", "Agreement", "Mask, remote"), draw=grid),
        needs="a key of AI Refinery in `AIR_API_KEY` where ComfyUI starts; each run is paid there.",
    ),
    Lesson(
        "dataset",
        "7 Dataset",
        "dahlia",
        "Each run adds the image and its objects to `output/dataset`, as COCO. Click on several "
        "objects, name them in *classes*, and run again with the next photograph.",
        dataset,
        Card(made_by="tools.draw_dataset"),
    ),
    Lesson(
        "segment_everything",
        "8 Everything",
        "shapes",
        "Clicks in a grid find all regions, and *Draw Segments* paints them. On the built-in "
        "engine 16 clicks take a while and the background comes in pieces.",
        everything,
        Card(("Overlay", "Label Map"), draw=beside),
        needs="nothing. With SAM 2.1 tiny ({SAM 2.1 tiny}) in *Load SAM* set *points_per_side* to "
        "0, which is 32.",
    ),
    Lesson(
        "crop_stitch",
        "9 One object at a time",
        "dahlia",
        "Each object is cropped, changed alone, here by *Blur*, and put back with a soft edge. Put "
        "a sampler in the place of *Blur* to paint every object at its best size.",
        one_by_one,
        Card(("Image", "Result"), draw=halves),
    ),
)
