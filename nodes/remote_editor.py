"""What the editor on Remote Provider Segment has to know: which prompts each provider takes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.providers.contract import Profile, Provider
from ..core.providers.credentials import CUSTOM, custom_dialects
from ..core.providers.fields import ChoiceField
from ..core.providers.registry import variant_title

# Among the options of an input in the node's definition; web/js/comfy_limits.js reads it.
ENTRY = "segment_anywhere"
# What can be drawn in the editor, as fields of Features.
DRAWN = ("points", "negative_points", "boxes", "negative_boxes")


def editor_facts(provider: Provider, folder: Path) -> dict[str, Any]:
    """The options of a provider's `points` input that tell the editor what may be drawn.

    folder: where providers.toml may lie. `by` names the input that chooses among the variants, ""
    where there is one; `variants` has each by that input's value: its title, what it takes of
    DRAWN, whether it takes words, and whether the prompts of all objects go into one call.
    """
    by, choices = _choices(provider, folder)
    return {
        ENTRY: {
            "by": by,
            "variants": {name: _facts(provider, variant) for name, variant in choices.items()},
        }
    }


def _choices(provider: Provider, folder: Path) -> tuple[str, Mapping[str, str]]:
    """The input that chooses the variant, and the variant for each of its values."""
    if provider.key == CUSTOM:
        dialects = custom_dialects(folder)
        return "profile", {
            name: _variant(provider, {}, dialect) for name, dialect in dialects.items()
        }
    for field in provider.fields:
        if isinstance(field, ChoiceField):
            variants = {name: _variant(provider, {field.name: name}) for name in field.choices}
            if len(set(variants.values())) > 1:
                return field.name, variants
    return "", {"": _variant(provider, {})}


def _variant(provider: Provider, options: Mapping[str, str], dialect: str = "") -> str:
    settings = {"dialect": dialect} if dialect else {}
    return provider.variant(options, Profile(provider.key, "", provider.url, settings=settings))


def _facts(provider: Provider, variant: str) -> dict[str, Any]:
    features = provider.variants[variant]
    return {
        "title": variant_title(provider, variant),
        "takes": [name for name in DRAWN if getattr(features, name)],
        "text": features.text,
        "joins_objects": features.joins_objects,
    }
