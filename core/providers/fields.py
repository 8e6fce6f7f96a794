"""What a provider takes besides images: its inputs, with the limits that every caller is held to.

A node makes a widget of each field, and `check_fields` refuses what does not fit one, so that no
limit stands in two places. A value that is absent or None is left out.
"""

from __future__ import annotations

import ipaddress
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, TypeGuard

from yarl import URL

from ..errors import InputError
from .wire import shorten

# Names that no public server has.
_HOME_NAMES = (".local", ".localhost", ".internal", ".lan", ".home.arpa")


@dataclass(frozen=True, kw_only=True)
class Field(ABC):
    """One input of a provider, by which its value stands in `SegmentRequest.options`.

    is_optional: graphs that were saved before it came have no value for it.
    """

    name: str
    tooltip: str
    is_optional: bool = False

    def check(self, value: Any) -> None:
        """Raise InputError, naming the input, for a value that it cannot have."""
        if not self.accepts(value):
            raise refusal(self.name, value, *self.advice)

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Whether the input can have this value."""

    @property
    @abstractmethod
    def advice(self) -> tuple[str, str]:
        """How a message goes on after "accepted", and what to do next."""


@dataclass(frozen=True, kw_only=True)
class TextField(Field):
    """A line of text, or several."""

    default: str = ""
    is_multiline: bool = False

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str)

    @property
    def advice(self) -> tuple[str, str]:
        return "is text", "Put it in quotes, or leave it out"


@dataclass(frozen=True, kw_only=True)
class AddressField(TextField):
    """A public https address, which the provider calls; "" for none."""

    def accepts(self, value: Any) -> bool:
        return super().accepts(value) and (not value.strip() or _is_public(value.strip()))

    @property
    def advice(self) -> tuple[str, str]:
        return "is a public https address without user and password", "Correct it, or empty it"


@dataclass(frozen=True, kw_only=True)
class ChoiceField(Field):
    """One of several words."""

    choices: tuple[str, ...]
    default: str

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.choices

    @property
    def advice(self) -> tuple[str, str]:
        return f"are {', '.join(self.choices)}", "Choose one"


@dataclass(frozen=True, kw_only=True)
class NumberField(Field):
    """A whole number from lowest to highest."""

    lowest: int
    highest: int
    default: int

    def accepts(self, value: Any) -> bool:
        return is_whole(value) and self.lowest <= value <= self.highest

    @property
    def advice(self) -> tuple[str, str]:
        accepted = f"are whole numbers from {self.lowest} to {self.highest}"
        return accepted, "Correct it, or leave it out"


@dataclass(frozen=True, kw_only=True)
class SwitchField(Field):
    """On or off."""

    default: bool = False

    def accepts(self, value: Any) -> bool:
        return isinstance(value, bool)

    @property
    def advice(self) -> tuple[str, str]:
        return "are true and false", "Choose one"


POINTS = TextField(
    name="points",
    is_multiline=True,
    tooltip="Points and boxes as JSON, in pixels of the image, as in Point Segment: "
    '[[450, 300]], or {"x": .., "y": .., "label": 0} for what is not wanted.',
)
IMAGE_URL = TextField(
    name="image_url",
    is_optional=True,
    tooltip="A public address of the same image, which is then fetched from there instead of "
    "being sent. Masks still get the size of the image input.",
)


def prompt_field(tooltip: str) -> TextField:
    """The words, of which each provider has something of its own to say."""
    return TextField(name="prompt", is_multiline=True, tooltip=tooltip)


def check_fields(fields: Iterable[Field], options: Mapping[str, Any]) -> None:
    """Raise InputError for the first option that its field cannot have."""
    for field in fields:
        value = options.get(field.name)
        if value is not None:
            field.check(value)


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether this is a whole number; truth values are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_public(address: str) -> bool:
    """Whether others can call an address, as far as its text tells."""
    try:
        url = URL(address)
        # A port that is no number shows only when it is asked for.
        is_complete = url.scheme == "https" and bool(url.port) and not url.user and not url.password
    except ValueError:
        return False
    host = (url.host or "").rstrip(".").lower()
    try:
        return is_complete and ipaddress.ip_address(host).is_global
    except ValueError:
        return is_complete and "." in host and not host.endswith(_HOME_NAMES)


def refusal(name: str, value: Any, accepted: str, step: str) -> InputError:
    """The error about the value of an input."""
    return InputError(f"{name}: found {shorten(repr(value))}; accepted {accepted}. {step}.")
