"""Models that people have and no maintained library carries: known by their keys, refused by name.

Sources: the official repositories ChaoningZhang/MobileSAM, SysCV/sam-hq, yformer/EfficientSAM,
yformer/EfficientTAM and hustvl/EVF-SAM.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stranger:
    """A model that cannot be loaded. keys: what begins a key of its checkpoints, each of them.
    model_type: its own in config.json, "" where it has no folders. why: and what to use instead."""

    title: str
    keys: tuple[str, ...]
    why: str
    model_type: str = ""

    @property
    def sentence(self) -> str:
        return f"this is {self.title}, {self.why}"


_SMALL = "EdgeTAM, SAM 2.1 tiny or MobileSAM, which are as small"
STRANGERS = (
    Stranger(
        "the tiny HQ-SAM",
        ("image_encoder.patch_embed.seq.0.c.weight", "mask_decoder.hf_token.weight"),
        f"whose image encoder the transformers library does not have. Use {_SMALL}, or HQ-SAM "
        "vit_b.",
    ),
    Stranger(
        "EfficientSAM",
        ("image_encoder.", "mask_decoder.final_output_upscaling_layers."),
        f"of which neither transformers nor timm has a model. Use {_SMALL}.",
    ),
    Stranger(
        "EfficientTAM",
        ("image_encoder.trunk.", "image_encoder.neck.convs.0.conv_1x1."),
        f"of which neither transformers nor timm has a model. Use {_SMALL}.",
    ),
    Stranger(
        "EVF-SAM",
        ("mm_extractor.", "visual_model."),
        "whose BEiT-3 reads image and words together: transformers has none, and timm its image "
        "half alone. Use SAM 3 or a detector in Text Segment, or EVF-SAM at fal in Remote Provider "
        "Segment.",
        model_type="evf",
    ),
)


def stranger_of_keys(keys: Iterable[str]) -> Stranger | None:
    """The model whose checkpoints have these keys, None where none of them has."""
    names = tuple(keys)
    for stranger in STRANGERS:
        if all(any(name.startswith(start) for name in names) for start in stranger.keys):
            return stranger
    return None


def stranger_of_type(model_type: str | None) -> Stranger | None:
    """The model that config.json calls so, None where none of them is."""
    return next((each for each in STRANGERS if model_type and each.model_type == model_type), None)
