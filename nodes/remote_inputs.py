"""What stands below each provider in the Remote Provider Segment node."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.providers.contract import Provider
from ..core.providers.credentials import has_key
from ..core.providers.fields import ChoiceField, Field, NumberField, SwitchField, TextField
from ..core.providers.registry import PROVIDERS
from .host import folders


def provider_input() -> io.DynamicCombo.Input:
    """The provider, with its own inputs below it."""
    return io.DynamicCombo.Input(
        "provider",
        options=[
            io.DynamicCombo.Option(provider.key, [widget(field) for field in provider.fields])
            for provider in _listed()
        ],
        tooltip="Who segments. Each has its own inputs below. Keys come from the environment or "
        "from providers.toml in ComfyUI's user folder, never from the workflow.",
    )


def _listed() -> list[Provider]:
    """All providers, and before the others the first whose key is set: a new node shows it."""
    providers, folder = list(PROVIDERS.values()), folders.user_folder()
    first = next((each for each in providers if has_key(each, folder)), providers[0])
    return [first, *(each for each in providers if each is not first)]


def widget(field: Field) -> io.Input:
    """The widget for a provider's input."""
    shared = {"optional": field.is_optional, "tooltip": field.tooltip}
    match field:
        case TextField():
            return io.String.Input(
                field.name, default=field.default, multiline=field.is_multiline, **shared
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
