"""The choice of Mask Refine's presets, whose numbers the browser fills in."""

from __future__ import annotations

from dataclasses import asdict

from comfy_api.latest import io

from ..core.masks.presets import AS_SET, PRESETS
from .remote_editor import ENTRY


def preset_input() -> io.Combo.Input:
    """The widget; its options carry the numbers, which web/js/comfy_presets.js reads."""
    presets = {name: asdict(settings) for name, settings in PRESETS.items()}
    return io.Combo.Input(
        "preset",
        options=[AS_SET, *PRESETS],
        default=AS_SET,
        optional=True,
        tooltip="Fills in the numbers above when it is chosen in the browser, for pictures of "
        "about a megapixel; change them as you like. A run takes the numbers as they are, whatever "
        "stands here.",
        extra_dict={ENTRY: {"presets": presets}},
    )
