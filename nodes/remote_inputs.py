"""What stands below each provider in the Remote Provider Segment node."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.providers.contract import Reading
from ..core.providers.vendors import airefinery, fal, imagineo


def provider_input() -> io.DynamicCombo.Input:
    """The provider, with its own inputs below it."""
    return io.DynamicCombo.Input(
        "provider",
        options=[
            io.DynamicCombo.Option("imagineo", _imagineo()),
            io.DynamicCombo.Option("airefinery", _airefinery()),
            io.DynamicCombo.Option("segmind", [_prompt("What to segment."), _points()]),
            io.DynamicCombo.Option("moark", _moark()),
            io.DynamicCombo.Option("fal", _fal()),
            io.DynamicCombo.Option("custom", _custom()),
        ],
        tooltip="Who segments. Each has its own inputs below. Keys come from the environment or "
        "from providers.toml in ComfyUI's user folder, never from the workflow.",
    )


def _prompt(tooltip: str) -> io.String.Input:
    return io.String.Input("prompt", default="", multiline=True, tooltip=tooltip)


def _points() -> io.String.Input:
    return io.String.Input(
        "points",
        default="",
        multiline=True,
        tooltip="Points and boxes as JSON, in pixels of the image, as in Point Segment: "
        '[[450, 300]], or {"x": .., "y": .., "label": 0} for what is not wanted.',
    )


def _image_url() -> io.String.Input:
    return io.String.Input(
        "image_url",
        default="",
        optional=True,
        tooltip="A public address of the same image, which is then fetched from there instead of "
        "being sent. Masks still get the size of the image input.",
    )


def _imagineo() -> list[io.Input]:
    return [
        _prompt("What to segment."),
        io.Combo.Input(
            "answer",
            options=list(imagineo.READINGS),
            default=Reading.AUTO.value,
            tooltip="How the picture that comes back shows the mask: auto looks, alpha is its "
            "transparency, luma its brightness, difference where it differs from the image. "
            "Changing this reads the same answer again and sends nothing.",
        ),
        _image_url(),
        io.String.Input(
            "run_id",
            default="",
            optional=True,
            tooltip="Segments the result of an earlier run at ImagineoAI instead of the image.",
        ),
    ]


def _airefinery() -> list[io.Input]:
    return [
        _points(),
        io.String.Input(
            "model",
            default=airefinery.DEFAULT_MODEL,
            tooltip="A segmentation model of AI Refinery's catalogue.",
        ),
    ]


def _moark() -> list[io.Input]:
    return [
        _prompt("Classes, separated by commas: dog,cat. Empty segments everything."),
        _image_url(),
    ]


def _fal() -> list[io.Input]:
    return [
        io.Combo.Input(
            "endpoint",
            options=list(fal.VARIANTS),
            default=fal.EVF_SAM,
            tooltip="evf-sam takes a sentence; sam2/image points and boxes; sam2/auto-segment "
            "nothing, and finds everything; sam-3/image words, points and boxes.",
        ),
        _prompt("What to segment."),
        io.String.Input(
            "negative_prompt",
            default="",
            tooltip="What to take away from it. evf-sam only.",
        ),
        _points(),
        *_evf_sam(),
        _image_url(),
    ]


def _evf_sam() -> list[io.Input]:
    """What only one endpoint of fal takes."""
    return [
        io.Boolean.Input(
            "semantic_type",
            default=False,
            tooltip="For body parts, background or several objects. evf-sam only, as what follows.",
        ),
        io.Boolean.Input(
            "use_grounding_dino",
            default=False,
            tooltip="Finds the object with Grounding DINO.",
        ),
        io.Boolean.Input("revert_mask", default=False, tooltip="Swaps object and background."),
        io.Int.Input(
            "blur_mask",
            default=0,
            min=0,
            max=fal.MAX_BLUR,
            tooltip="Blurs the mask's edge; side of the kernel in pixels, odd. 0 is off.",
        ),
        io.Int.Input(
            "expand_mask",
            default=0,
            min=0,
            max=fal.MAX_EXPAND,
            tooltip="Widens the mask, in pixels of the image that is sent. 0 is off.",
        ),
        io.Boolean.Input("fill_holes", default=False, tooltip="Fills holes in the mask."),
    ]


def _custom() -> list[io.Input]:
    return [
        io.String.Input(
            "profile",
            default="openai",
            tooltip="A server from providers.toml, or one of the built-in openai, huggingface and "
            "roboflow, which stand for such a server on this machine (huggingface: its router).",
        ),
        _prompt("What to segment, if the server takes words; roboflow: phrases with commas."),
        _points(),
    ]
