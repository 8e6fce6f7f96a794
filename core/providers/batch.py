"""What a node asks of a provider: checked before anything is sent, split into paid calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from ..errors import InputError
from ..prompts.prompts import ObjectPrompt
from .contract import Features, Profile, Provider, SegmentRequest
from .fields import TextField, check_fields
from .images import scale_objects
from .options import check_profile
from .registry import variant_title, who_can
from .wire import Picture

# How messages name a field of Features.
_FEATURES = {
    "text": "a prompt in words",
    "negative_text": "a negative prompt",
    "points": "points",
    "negative_points": "negative points",
    "boxes": "boxes",
    "negative_boxes": "negative boxes",
}


# Read here whether or not a provider has them: those that it has not are refused by their feature.
_WORDS = tuple(
    TextField(name=name, tooltip="") for name in ("prompt", "negative_prompt", "image_url")
)


@dataclass(frozen=True)
class BatchRequest:
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
    def features(self) -> Features:
        return self.provider.features(self.options, self.profile)

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


def check_request(asked: BatchRequest) -> None:
    """Raise InputError for whatever the provider cannot take, naming those that can."""
    check_fields((*_WORDS, *asked.provider.fields), asked.options)
    check_profile(asked.profile)
    asked.provider.check_options(asked.options, asked.profile)
    for feature in _used_features(asked):
        if not getattr(asked.features, feature):
            raise InputError(_refusal(asked, feature))
    has_shapes = any(asked.objects)
    if asked.prompt and has_shapes and not asked.features.text_with_shapes:
        others = ", ".join(who_can("text_with_shapes"))
        raise InputError(
            f"prompt and points: {asked.title} takes words or points and boxes, not both in one "
            f"call. Empty one of them, or choose a provider that takes both: {others}."
        )
    _check_picture_url(asked)


def _check_picture_url(asked: BatchRequest) -> None:
    if not asked.picture_url:
        return
    if len(asked.objects) > 1:
        raise InputError(
            f"image_url: one address for a batch of {len(asked.objects)} images. Empty it, so that "
            "each image is sent, or give one image."
        )
    try:
        is_complete = URL(asked.picture_url).scheme in ("http", "https")
    except ValueError:
        is_complete = False
    if not is_complete:
        raise InputError(
            f"image_url: found {asked.picture_url[:80]!r}; accepted is a public https address "
            "of the image. Empty it to send the image itself."
        )


def _used_features(asked: BatchRequest) -> Iterator[str]:
    if asked.prompt:
        yield "text"
    if asked.negative_prompt:
        yield "negative_text"
    for each in (each for frame in asked.objects for each in frame):
        if each.points:
            yield "points"
        if any(not point.positive for point in each.points):
            yield "negative_points"
        if each.box is not None:
            yield "boxes"
        if each.negative_boxes:
            yield "negative_boxes"


def _refusal(asked: BatchRequest, feature: str) -> str:
    others = ", ".join(who_can(feature))
    if feature == "negative_text":
        found = "negative_prompt"
    else:
        found = "prompt" if feature == "text" else "points"
    return (
        f"{found}: {asked.title} does not take {_FEATURES[feature]}; nothing was sent. Leave it "
        f"out, use a local model, or choose a provider that takes it: {others}."
    )


def plan_calls(
    asked: BatchRequest, frame: int, picture: Picture, size: tuple[int, int]
) -> list[SegmentRequest]:
    """The calls for one frame: none where nothing is asked for, several for several objects.

    size: (H, W) of the image, from which the prompts are carried to the picture's.
    """
    objects = scale_objects(asked.objects[frame], size, picture.size)
    features = asked.features
    if not objects:
        groups = [()] if asked.prompt or features.everything else []
    else:
        groups = [objects] if features.joins_objects else [(each,) for each in objects]
    return [
        SegmentRequest(
            picture, asked.picture_url, asked.prompt, asked.negative_prompt, group, asked.options
        )
        for group in groups
    ]
