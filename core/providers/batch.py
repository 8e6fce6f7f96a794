"""What a node asks of a provider, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yarl import URL

from ..errors import InputError
from ..prompts.phrases import check_apart, split_phrases
from ..prompts.prompts import ObjectPrompt
from .contract import Features, Profile, Provider
from .fields import TextField, check_fields
from .options import check_choice, check_profile
from .registry import PROVIDERS, variant_title, who_can
from .wire import Reading

# How messages name a field of Features.
_FEATURES = {
    "text": "a prompt in words",
    "negative_text": "a negative prompt",
    "points": "points",
    "negative_points": "negative points",
    "boxes": "boxes",
    "negative_boxes": "negative boxes",
}
# Words that are taken away on this side are asked for like any others.
_NEEDED = {"unwanted": "text"}
_INPUTS = {"text": "prompt", "negative_text": "negative_prompt", "unwanted": "negative_prompt"}

# Read here whether or not a provider has them: those that it has not are refused by their feature.
_WORDS = tuple(
    TextField(name=name, tooltip="") for name in ("prompt", "negative_prompt", "image_url")
)


@dataclass(frozen=True)
class BatchRequest:
    """All that a run of a node asks for.

    options: the provider's own inputs by name. objects: prompts of each frame, in pixels of the
    image. salt: tells apart runs that are equal and yet meant to be sent anew. unwanted: phrases
    whose objects are taken away. threshold: the lowest score that counts. max_objects: of each
    phrase and frame, the best first, 0 for all. read_as: how pictures in answers show their masks,
    AUTO as the provider says. max_calls: the most that may be sent, 0 for any number. waits: False
    only submits jobs, and collects those that are done. resume: ids of jobs, one for each call,
    whose results are fetched in place of sending anything.
    """

    provider: Provider
    profile: Profile
    options: Mapping[str, Any] = field(default_factory=dict)
    objects: Sequence[Sequence[ObjectPrompt]] = ()
    salt: str = ""
    unwanted: str = ""
    threshold: float = 0.0
    max_objects: int = 0
    read_as: Reading = Reading.AUTO
    max_calls: int = 0
    waits: bool = True
    resume: tuple[str, ...] = ()

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
        """What the provider itself is to take away: its own input, and the node's if it can."""
        own = (self.options.get("negative_prompt") or "").strip()
        unwanted = self.unwanted.strip() if self.features.negative_text else ""
        return ", ".join(filter(None, (own, unwanted)))

    @property
    def phrases(self) -> tuple[str, ...]:
        """What is asked for in words, one call each; () without words.

        A provider that names what it finds gets all phrases at once.
        """
        if self.features.names_phrases:
            return (self.prompt,) if self.prompt else ()
        return split_phrases(self.prompt)

    @property
    def is_of_words(self) -> bool:
        """Whether words alone say what to find; what is not wanted may be pointed at."""
        return not any(each.is_wanted for frame in self.objects for each in frame)

    @property
    def unwanted_phrases(self) -> tuple[str, ...]:
        """What is to be found only to be taken away on this side."""
        if self.features.negative_text:
            return ()
        if self.features.names_phrases:
            return (self.unwanted.strip(),) if self.unwanted.strip() else ()
        return split_phrases(self.unwanted)

    @property
    def picture_url(self) -> str:
        return (self.options.get("image_url") or "").strip()


def check_request(asked: BatchRequest) -> None:
    """Raise InputError for whatever the provider cannot take, naming those that can."""
    check_fields((*_WORDS, *asked.provider.fields), asked.options)
    check_choice(asked.threshold, asked.max_objects, asked.max_calls)
    check_profile(asked.profile)
    asked.provider.check_options(asked.options, asked.profile)
    _check_masks(asked)
    for feature in _used_features(asked):
        if not getattr(asked.features, _NEEDED.get(feature, feature)):
            raise InputError(_refusal(asked, feature))
    check_apart(split_phrases(asked.prompt), split_phrases(asked.unwanted))
    if asked.prompt and any(asked.objects) and not _go_together(asked):
        others = ", ".join(who_can("text_with_shapes"))
        raise InputError(
            f"prompt and points: {asked.title} takes words or points and boxes, not both in one "
            f"call. Empty one of them, or choose a provider that takes both: {others}."
        )
    _check_picture_url(asked)
    _check_queue(asked)


def _check_masks(asked: BatchRequest) -> None:
    """No provider takes rough masks beside the image."""
    if any(each.mask is not None for frame in asked.objects for each in frame):
        raise InputError(
            f"points: {asked.title} takes no painted masks; nothing was sent. Erase them, or use "
            "Point Segment, which takes them with a local model."
        )


def _go_together(asked: BatchRequest) -> bool:
    """Whether the provider takes the words and these shapes in one call."""
    if asked.features.text_with_shapes:
        return True
    objects = [each for frame in asked.objects for each in frame]
    return asked.features.text_with_negatives and not any(each.is_wanted for each in objects)


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


def _check_queue(asked: BatchRequest) -> None:
    """Jobs that can be left alone and come back to are for providers that have a queue."""
    if asked.provider.queue is not None:
        return
    queued = ", ".join(provider.title for provider in PROVIDERS.values() if provider.queue)
    if not asked.waits:
        raise InputError(
            f"wait: found off, but {asked.title} has no queue to leave a job in; nothing was sent. "
            f"Switch it on, or choose a provider that has one: {queued}."
        )
    if asked.resume:
        raise InputError(
            f"resume: found ids, but {asked.title} has no queue to ask for them; nothing was sent. "
            f"Empty it, or choose the provider that gave them: {queued}."
        )


def _used_features(asked: BatchRequest) -> Iterator[str]:
    if asked.prompt:
        yield "text"
    if asked.negative_prompt:
        yield "negative_text"
    if asked.unwanted_phrases:
        yield "unwanted"
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
    needed = _NEEDED.get(feature, feature)
    others = ", ".join(who_can(needed))
    found = _INPUTS.get(feature, "points")
    return (
        f"{found}: {asked.title} does not take {_FEATURES[needed]}; nothing was sent. Leave it "
        f"out, use a local model, or choose a provider that takes it: {others}."
    )
