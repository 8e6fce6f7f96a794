"""What stands below each provider in the Remote Provider Segment node."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..core.providers.contract import Provider
from ..core.providers.credentials import has_key
from ..core.providers.fields import (
    POINTS,
    ChoiceField,
    Field,
    NumberField,
    SwitchField,
    TextField,
)
from ..core.providers.registry import PROVIDERS
from .host import folders
from .remote_editor import editor_facts


def provider_input() -> io.DynamicCombo.Input:
    """The provider, with its own inputs below it."""
    return io.DynamicCombo.Input(
        "provider",
        options=[
            io.DynamicCombo.Option(provider.key, _widgets(provider)) for provider in _listed()
        ],
        tooltip="Who segments. Each has its own inputs below. Keys come from the environment or "
        "from providers.toml in ComfyUI's user folder, never from the workflow.",
    )


def _listed() -> list[Provider]:
    """All providers, and before the others the first whose key is set: a new node shows it."""
    providers, folder = list(PROVIDERS.values()), folders.user_folder()
    first = next((each for each in providers if has_key(each, folder)), providers[0])
    return [first, *(each for each in providers if each is not first)]


def _widgets(provider: Provider) -> list[io.Input]:
    facts = editor_facts(provider, folders.user_folder())
    return [
        widget(field, facts if field.name == POINTS.name else None) for field in provider.fields
    ]


def widget(field: Field, extra: dict[str, Any] | None = None) -> io.Input:
    """The widget for a provider's input.

    extra: options of a text for the frontend, besides those that ComfyUI knows.
    """
    shared = {"optional": field.is_optional, "tooltip": field.tooltip}
    match field:
        case TextField():
            return io.String.Input(
                field.name,
                default=field.default,
                multiline=field.is_multiline,
                extra_dict=extra,
                **shared,
            )
        case ChoiceField():
            choices = list(field.choices)
            return io.Combo.Input(field.name, options=choices, default=field.default, **shared)
        case NumberField():
            limits = {"min": field.lowest, "max": field.highest}
            return io.Int.Input(field.name, default=field.default, **limits, **shared)
        case SwitchField():
            return io.Boolean.Input(field.name, default=field.default, **shared)
    raise TypeError(f"{field.name}: no widget is known for {type(field).__name__}")
