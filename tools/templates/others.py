"""The templates beside the course."""

from __future__ import annotations

from .cards import beside, grid, halves, one
from .graph import Card, Graph, Lesson
from .lessons import RED, SMALL_CLIPSEG
from .parts import (
    clicked,
    cut_and_drawn,
    example_box,
    loaded,
    mask_saved,
    opened,
    saved,
)
from .pictures import Picture
from .remote import WORD, provider_lesson

_BIREFNET = "birefnet.safetensors"
_BIREFNET_URL = (
    "https://huggingface.co/Comfy-Org/BiRefNet/resolve/main/background_removal/" + _BIREFNET
)
_SMALL_SAM3 = "Load SAM.model=sam3/tiny"
_RTDETR_URL = "https://huggingface.co/PekingU/rtdetr_v2_r18vd"
_SMALL_CLASSES = ("Load SAM.model=grabcut (built in)", "Text Segment.detector=detection/tiny")


def all_pictures(graph: Graph, picture: Picture) -> None:
    image, model = opened(graph, picture), loaded(graph)
    segment = clicked(graph, picture, image, model)
    mask_saved(graph, segment["mask"])
    cut_and_drawn(graph, image, segment["mask"], segment["segments"])


def subject(graph: Graph, picture: Picture) -> None:
    image = opened(graph, picture)
    weights = {"name": _BIREFNET, "url": _BIREFNET_URL, "directory": "background_removal"}
    model = graph.add(
        "LoadBackgroundRemovalModel", properties={"models": [weights]}, bg_removal_name=_BIREFNET
    )
    found = graph.add("RemoveBackground", bg_removal_model=model["bg_model"], image=image)
    refined = graph.add(
        "SegmentAnywhereMaskRefine",
        mask=found["mask"],
        image=image,
        preset="hair and fur",
        **{"fill_holes": 100, "remove_islands": 200, "edge": "guided"},
    )
    cut = graph.add(
        "SegmentAnywhereCutOut",
        image=image,
        mask=refined["mask"],
        background="transparent",
        crop=True,
    )
    saved(graph, "Cut-out", cut["image"], "subject")


def word_dataset(graph: Graph, picture: Picture) -> None:
    image, model = opened(graph, picture), loaded(graph)
    found = graph.add("SegmentAnywhereText", model=model, image=image, prompt=RED)
    graph.add("SegmentAnywhereSave", segments=found["segments"], image=image)


def words_then_refined(graph: Graph, picture: Picture) -> None:
    image, model = opened(graph, picture), loaded(graph)
    found = graph.add("SegmentAnywhereText", model=model, image=image, prompt=RED)
    chosen = graph.add(
        "SegmentAnywhereSelect",
        segments=found["segments"],
        labels="red triangle",
        indices="0",
        sort_by="highest score",
    )
    refined = graph.add(
        "SegmentAnywhereMaskRefine",
        segments=chosen["segments"],
        image=image,
        preset="clean cut-out",
        **{"fill_holes": -1, "remove_islands": 200, "expand": -1.0, "smooth": 4.0, "feather": 2.0},
    )
    drawn = graph.add("SegmentAnywhereDraw", image=image, segments=found["segments"])
    saved(graph, "Overlay of what was found", drawn["image"], "overlay")
    mask_saved(graph, refined["mask"])
    cut = graph.add(
        "SegmentAnywhereCutOut", image=image, mask=refined["mask"], background="transparent"
    )
    saved(graph, "Cut-out", cut["image"], "cutout")


def examples(graph: Graph, picture: Picture) -> None:
    image = opened(graph, picture)
    model = loaded(graph, "sam3/sam3.1_multiplex_fp16.safetensors")
    box = example_box(picture, 400, 398, 88, 88)
    found = graph.add("SegmentAnywhereText", model=model, image=image, prompt="", points=box)
    mask_saved(graph, found["mask"])
    drawn = graph.add("SegmentAnywhereDraw", image=image, segments=found["segments"])
    saved(graph, "Overlay", drawn["image"], "overlay")


def known_classes(graph: Graph, picture: Picture) -> None:
    image, model = opened(graph, picture), loaded(graph, "sam2/sam2.1_hiera_tiny.pt")
    found = graph.add(
        "SegmentAnywhereText",
        model=model,
        image=image,
        prompt="",
        detector="detection/rtdetr_v2_r18vd",
    )
    mask_saved(graph, found["mask"])
    cut_and_drawn(graph, image, found["mask"], found["segments"])


def small_things(graph: Graph, picture: Picture) -> None:
    image, model = opened(graph, picture), loaded(graph)
    found = graph.add(
        "SegmentAnywhereText", model=model, image=image, prompt="red, blue", tiles=3, zoom=True
    )
    mask_saved(graph, found["mask"])
    cut_and_drawn(graph, image, found["mask"], found["segments"])


def followed_from_provider(graph: Graph, picture: Picture) -> None:
    frames = opened(graph, picture, "Frames")
    first = graph.add("ImageFromBatch", "First Frame", image=frames, batch_index=0, length=1)
    found = graph.add(
        "SegmentAnywhereRemote",
        image=first["IMAGE"],
        provider="fal",
        **{"provider.prompt": WORD},
    )
    model = loaded(graph, column=0)
    track = graph.add(
        "SegmentAnywhereTrack", model=model, images=frames, segments=found["segments"]
    )
    drawn = graph.add("SegmentAnywhereDraw", image=frames, segments=track["segments"])
    saved(graph, "Overlay", drawn["image"], "overlay")


def detailed(graph: Graph, picture: Picture) -> None:
    image, model = opened(graph, picture), loaded(graph)
    segment = clicked(graph, picture, image, model)
    crops = graph.add(
        "SegmentAnywhereCrop", image=image, segments=segment["segments"], padding=50, size=1024
    )
    checkpoint = graph.add("CheckpointLoaderSimple", column=1, ckpt_name="model.safetensors")
    positive, negative = (
        graph.add("CLIPTextEncode", title, column=2, clip=checkpoint["CLIP"], text=text)
        for title, text in (
            ("Prompt", "a photograph, sharp, full of fine detail"),
            ("Negative prompt", "blurry, artifacts"),
        )
    )
    encoded = graph.add("VAEEncode", pixels=crops["crop"], vae=checkpoint["VAE"])
    masked = graph.add(
        "SetLatentNoiseMask", "Only the object", samples=encoded["LATENT"], mask=crops["mask"]
    )
    sampled = graph.add(
        "KSampler",
        model=checkpoint["MODEL"],
        positive=positive["CONDITIONING"],
        negative=negative["CONDITIONING"],
        latent_image=masked["LATENT"],
        steps=25,
        cfg=6.0,
        sampler_name="dpmpp_2m",
        scheduler="karras",
        denoise=0.4,
    )
    decoded = graph.add("VAEDecode", samples=sampled["LATENT"], vae=checkpoint["VAE"])
    stitched = graph.add(
        "SegmentAnywhereStitch", stitch=crops["stitch"], image=decoded["IMAGE"], feather=8.0
    )
    saved(graph, "Result", stitched["image"], "detailed")


OTHERS = (
    Lesson(
        "point_segment",
        "Click, all pictures",
        "dahlia",
        "One click gives the mask, an overlay and the cut-out. Take what you need, and delete the "
        "rest.",
        all_pictures,
        Card(("Overlay", "Cut-out"), draw=halves),
    ),
    Lesson(
        "subject_cutout",
        "Cut out the subject",
        "dahlia",
        "*Remove Background* is ComfyUI's own and finds the subject without a prompt. *Mask "
        "Refine* then follows hair and fur.",
        subject,
        Card(made_by="tools.draw_help"),
        needs=f"[{_BIREFNET}]({_BIREFNET_URL}) in `models/background_removal`, and a ComfyUI that "
        "has the node. Without it fal's `birefnet` in *Remote Provider Segment* does the same.",
    ),
    Lesson(
        "dataset_words",
        "Dataset from words",
        "shapes",
        "Each run adds the image and what the words find in it to `output/dataset`, as COCO. "
        "For a folder of photographs in one command see *Datasets* in the README.",
        word_dataset,
        Card(made_by="tools.draw_dataset"),
        words=("red triangle", "yellow circle"),
        downloads=("CLIPSeg rd64-refined",),
    ),
    Lesson(
        "detailer",
        "Detail each object",
        "dahlia",
        "Every object is cropped, sampled at 1024 pixels and put back with a soft edge. Outside of "
        "it the image stays as it is, bit for bit.",
        detailed,
        Card(made_by="tools.draw_crops"),
        needs="a checkpoint of your own in *Load Checkpoint*.",
    ),
    Lesson(
        "example_boxes",
        "Like this example",
        "alike",
        "The box around one triangle finds what looks like it, without a word. Draw a box with the "
        "right button around what is not wanted.",
        examples,
        Card(("Image", "Overlay"), changes=(_SMALL_SAM3,), draw=beside),
        downloads=("SAM 3.1 fp16",),
    ),
    Lesson(
        "known_classes",
        "Known classes",
        "shapes",
        "The detector finds the things that it was trained on, here without a word. *prompt* "
        "chooses among them, by the names in its `config.json`.",
        known_classes,
        Card(("Image", "Overlay"), changes=_SMALL_CLASSES, draw=beside),
        downloads=("SAM 2.1 tiny",),
        needs=f"[rtdetr_v2_r18vd]({_RTDETR_URL}), its whole repository, in `models/detection`. It "
        "knows the 80 things of COCO: open a photograph.",
    ),
    Lesson(
        "remote_track",
        "Follow what a provider found",
        "pan",
        "A provider finds the word on the first frame, and this machine follows it through the "
        "clip. One image is paid, however long the clip is.",
        followed_from_provider,
        Card(("Overlay",), draw=grid),
        words=(WORD,),
        needs="a key in `FAL_KEY` where ComfyUI starts.",
    ),
    provider_lesson("airefinery", "Remote AI Refinery", "AIR_API_KEY"),
    provider_lesson("imagineo", "Remote ImagineoAI", "IMAGINEOAI_API_KEY"),
    provider_lesson("moark", "Remote MoArk", "GITEE_AI_API_KEY"),
    provider_lesson("segmind", "Remote Segmind", "SEGMIND_API_KEY"),
    provider_lesson(
        "custom",
        "Remote server of your own",
        "",
        "a server of your own, in `providers.toml` or `SEGMENT_ANYWHERE_CUSTOM_URL`; the node's "
        "help page says how.",
    ),
    Lesson(
        "tiles",
        "Small things in large images",
        "small",
        "*tiles* searches overlapping parts beside the whole image, and *zoom* draws every object "
        "on a crop of its own. Both cost time: leave them off for what is large.",
        small_things,
        Card(("Overlay",), changes=(SMALL_CLIPSEG,), draw=one),
        words=("red", "blue"),
        downloads=("CLIPSeg rd64-refined",),
    ),
    Lesson(
        "text_select_refine",
        "Words, then choose and refine",
        "shapes",
        "Words find several objects, *Select Segments* takes one, and *Mask Refine* cleans it. "
        "Leave *labels* empty and *indices* at 0 for the best of all.",
        words_then_refined,
        Card(("Overlay of what was found", "Cut-out"), changes=(SMALL_CLIPSEG,), draw=beside),
        words=("red triangle", "yellow circle"),
        downloads=("CLIPSeg rd64-refined",),
    ),
)
