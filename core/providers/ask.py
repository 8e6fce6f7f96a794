"""What a node asks of a provider: checked before anything is sent, split into paid calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from ..errors import InputError
from ..prompts.prompts import ObjectPrompt
from .contract import Capabilities, Picture, Profile, Provider, SegmentRequest
from .images import scale_objects
from .options import check_profile, check_text
from .registry import variant_title, who_can

# How messages name a feature of Capabilities.
_FEATURES = {
    "text": "a prompt in words",
    "negative_text": "a negative prompt",
    "points": "points",
    "negative_points": "negative points",
    "boxes": "boxes",
    "negative_boxes": "negative boxes",
}


@dataclass(frozen=True)
class Ask:
    """All that a run of a node asks for.

    options: the provider's own inputs by name. objects: prompts of each frame, in pixels of the
    image. salt: tells apart runs that are equal and yet meant to be sent anew.
    """

    provider: Provider
    profile: Profile
    options: Mapping[str, Any] = field(default_factory=dict)
    objects: Sequence[Sequence[ObjectPrompt]] = ()
    salt: str = ""

    @property
    def capabilities(self) -> Capabilities:
        return self.provider.capabilities(self.options, self.profile)

    @property
    def title(self) -> str:
        variant = self.provider.variant(self.options, self.profile)
        return variant_title(self.provider, variant)

    @property
    def prompt(self) -> str:
        return (self.options.get("prompt") or "").strip()

    @property
    def negative_prompt(self) -> str:
        return (self.options.get("negative_prompt") or "").strip()

    @property
    def picture_url(self) -> str:
        return (self.options.get("image_url") or "").strip()


def check(ask: Ask) -> None:
    """Raise InputError for whatever the provider cannot take, naming those that can."""
    check_text(ask.options, "prompt", "negative_prompt", "image_url")
    check_profile(ask.profile)
    ask.provider.check_options(ask.options, ask.profile)
    for feature in _used_features(ask):
        if not getattr(ask.capabilities, feature):
            raise InputError(_refusal(ask, feature))
    has_shapes = any(ask.objects)
    if ask.prompt and has_shapes and not ask.capabilities.text_with_shapes:
        others = ", ".join(who_can("text_with_shapes"))
        raise InputError(
            f"prompt and points: {ask.title} takes words or points and boxes, not both in one "
            f"call. Empty one of them, or choose a provider that takes both: {others}."
        )
    _check_picture_url(ask)


def _check_picture_url(ask: Ask) -> None:
    if not ask.picture_url:
        return
    if len(ask.objects) > 1:
        raise InputError(
            f"image_url: one address for a batch of {len(ask.objects)} images. Empty it, so that "
            "each image is sent, or give one image."
        )
    try:
        is_complete = URL(ask.picture_url).scheme in ("http", "https")
    except ValueError:
        is_complete = False
    if not is_complete:
        raise InputError(
            f"image_url: found {ask.picture_url[:80]!r}; accepted is a public https address of the "
            "image. Empty it to send the image itself."
        )


def _used_features(ask: Ask) -> Iterator[str]:
    if ask.prompt:
        yield "text"
    if ask.negative_prompt:
        yield "negative_text"
    for each in (each for frame in ask.objects for each in frame):
        if each.points:
            yield "points"
        if any(not point.positive for point in each.points):
            yield "negative_points"
        if each.box is not None:
            yield "boxes"
        if each.negative_boxes:
            yield "negative_boxes"


def _refusal(ask: Ask, feature: str) -> str:
    others = ", ".join(who_can(feature))
    if feature == "negative_text":
        found = "negative_prompt"
    else:
        found = "prompt" if feature == "text" else "points"
    return (
        f"{found}: {ask.title} does not take {_FEATURES[feature]}; nothing was sent. Leave it out, "
        f"use a local model, or choose a provider that takes it: {others}."
    )


def requests(ask: Ask, frame: int, picture: Picture, size: tuple[int, int]) -> list[SegmentRequest]:
    """The calls for one frame: none where nothing is asked for, several for several objects.

    size: (H, W) of the image, from which the prompts are carried to the picture's.
    """
    objects = scale_objects(ask.objects[frame], size, picture.size)
    capabilities = ask.capabilities
    if not objects:
        groups = [()] if ask.prompt or capabilities.everything else []
    else:
        groups = [objects] if capabilities.joins_objects else [(each,) for each in objects]
    return [
        SegmentRequest(
            picture, ask.picture_url, ask.prompt, ask.negative_prompt, group, ask.options
        )
        for group in groups
    ]
