"""What all providers share: requests, answers, capabilities, failures.

A provider is a small module of pure functions, gathered in a `Provider`: it says what it can take,
builds the HTTP request for one call, reads the answer and names its errors. Everything that touches
the network is in `transport.py`, so that each module can be tested without one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SegmentAnywhereError
from ..prompts.prompts import ObjectPrompt


@dataclass(frozen=True)
class Capabilities:
    """What one provider, or one endpoint of it, takes and gives.

    text: words. everything: no prompt at all means all objects. text_with_shapes: words together
    with points or boxes. joins_objects: the points of several objects go into one call; otherwise
    each object is a call of its own. several: an answer may hold more than one object.
    """

    text: bool = False
    everything: bool = False
    negative_text: bool = False
    points: bool = False
    negative_points: bool = False
    boxes: bool = False
    negative_boxes: bool = False
    text_with_shapes: bool = False
    joins_objects: bool = False
    several: bool = False
    scores: bool = False


@dataclass(frozen=True)
class Picture:
    """An encoded image as it is sent. size: (H, W) of what was encoded."""

    data: bytes
    mime: str
    size: tuple[int, int]

    @property
    def file_name(self) -> str:
        return "image." + self.mime.rpartition("/")[2]


@dataclass(frozen=True)
class SegmentRequest:
    """What one paid call asks for.

    picture_url: where the provider can fetch the picture, "" to send its bytes. objects: prompts in
    pixels of the picture. options: the provider's own inputs by name.
    """

    picture: Picture
    picture_url: str = ""
    prompt: str = ""
    negative_prompt: str = ""
    objects: tuple[ObjectPrompt, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What to call an object that the provider does not name."""
        return self.prompt or (self.objects[0].label if self.objects else "object")

    def option(self, name: str, default: Any = "") -> Any:
        value = self.options.get(name)
        return default if value is None else value


@dataclass(frozen=True)
class Profile:
    """Where a provider's calls go, and as whom. settings: the rest of its table in providers.toml.

    The key, and headers that may hold one, are left out of the text form.
    """

    provider: str
    name: str
    url: str
    key: str = field(default="", repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_local(self) -> bool:
        return self.settings.get("local") is True

    def setting(self, name: str, default: str = "") -> str:
        return str(self.settings.get(name, default))

    @property
    def extra_headers(self) -> dict[str, str]:
        headers = self.settings.get("headers", {})
        return {str(name): str(value) for name, value in headers.items()}

    @property
    def extra_body(self) -> dict[str, Any]:
        return dict(self.settings.get("body", {}))


@dataclass(frozen=True)
class FormPart:
    """One field of a form; a file where it has a file name."""

    name: str
    value: str | bytes
    file_name: str = ""
    mime: str = ""


@dataclass(frozen=True)
class HttpRequest:
    """One HTTP request without its key; at most one of json, form and data.

    A form without a file goes out URL-encoded.
    """

    method: str
    url: str
    json: Any = None
    form: tuple[FormPart, ...] = ()
    data: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def json_body(self) -> bytes:
        """The JSON as it is sent; made once, for it may be megabytes long."""
        return json.dumps(self.json).encode()

    def fingerprint(self) -> str:
        """SHA-256 over everything that the provider will see, the key aside."""
        digest = hashlib.sha256()
        head = (self.method, self.url, sorted(self.headers.items()), len(self.form))
        parts = [each for p in self.form for each in (p.name, p.file_name, p.mime, p.value)]
        for piece in (repr(head), self.json_body, self.data or b"", *parts):
            encoded = piece.encode() if isinstance(piece, str) else piece
            digest.update(len(encoded).to_bytes(8, "big"))
            digest.update(encoded)
        return digest.hexdigest()


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. headers: lower-case names. body: as received, within the size limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Url:
    """Where a mask is to be fetched from."""

    address: str


class Reading(str, Enum):
    """How a picture shows a mask."""

    AUTO = "auto"
    ALPHA = "alpha"
    LUMA = "luma"
    DIFFERENCE = "difference"
    CATEGORIES = "categories"


@dataclass(frozen=True)
class FoundMask:
    """One mask of an answer, not yet read.

    content: an encoded picture, its address, or [h, w] uint8, 0..255. origin and canvas: where the
    mask's top-left corner (x, y) lies in a picture of (H, W), for masks cut to their box.
    """

    content: bytes | Url | NDArray[np.uint8]
    reading: Reading = Reading.LUMA
    label: str = ""
    score: float = 1.0
    origin: tuple[int, int] = (0, 0)
    canvas: tuple[int, int] | None = None


@dataclass(frozen=True)
class CallInfo:
    """What an answer says about the call; None where it says nothing."""

    request_id: str | None = None
    credits_left: str | None = None
    cost: str | None = None
    usage: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ParsedAnswer:
    """The masks of an answer, in its order, and what it says about the call."""

    masks: tuple[FoundMask, ...] = ()
    info: CallInfo = CallInfo()

    def with_files(self, files: Mapping[str, bytes]) -> ParsedAnswer:
        """The same with pictures in place of their addresses."""
        masks = tuple(
            replace(mask, content=files[mask.content.address])
            if isinstance(mask.content, Url)
            else mask
            for mask in self.masks
        )
        return replace(self, masks=masks)


class FailureKind(str, Enum):
    """Why a call failed. The first four concern every further call too."""

    KEY = "key"
    CREDITS = "credits"
    NOT_FOUND = "not found"
    UNSAFE = "unsafe"
    REFUSED = "refused"
    BUSY = "busy"
    SERVER = "server"
    NETWORK = "network"
    TIMEOUT = "time-out"
    ANSWER = "answer"
    UNCLEAR = "unclear"
    GONE = "gone"


_CONCERNS_ALL = {
    FailureKind.KEY,
    FailureKind.CREDITS,
    FailureKind.NOT_FOUND,
    FailureKind.UNSAFE,
}


@dataclass(frozen=True)
class Failure:
    """Why a call failed. detail: the provider's own words, or what was found.

    may_repeat: repeating it at once cannot bill twice. wait: seconds that the provider asks for.
    of_file: it is about a picture that an answer names, and so about that answer alone. is_kept:
    the answer was paid and is kept, so that another run reads it again and sends nothing.
    """

    kind: FailureKind
    detail: str = ""
    status: int | None = None
    may_repeat: bool = False
    wait: float | None = None
    of_file: bool = False
    is_kept: bool = False

    @property
    def concerns_all(self) -> bool:
        return self.kind in _CONCERNS_ALL and not self.of_file


class ProviderError(SegmentAnywhereError):
    """A call to a provider that failed; the message is for the user."""


class CallFailed(Exception):
    """Carries a failure from where it is noticed to where it becomes a message."""

    def __init__(self, failure: Failure):
        super().__init__(failure.detail)
        self.failure = failure


@dataclass(frozen=True)
class ImageLimits:
    """What a provider takes. max_bytes: of the lossless file; above it a smaller format is used."""

    max_side: int = 4096
    max_bytes: int = 8 * 2**20
    lossy_format: str = "JPEG"


@dataclass(frozen=True)
class Ticket:
    """A job in a provider's queue, and where to ask after it, fetch its result and cancel it."""

    request_id: str
    status_url: str
    result_url: str
    cancel_url: str


@dataclass(frozen=True)
class JobStatus:
    """position: jobs before this one, None where not said. log: the newest line, "" if none.

    failure: why a job that is done has no result.
    """

    is_done: bool
    position: int | None = None
    log: str = ""
    failure: Failure | None = None


@dataclass(frozen=True)
class Queue:
    """The protocol of a provider whose calls are jobs in a queue."""

    read_ticket: Callable[[Answer], Ticket]
    read_status: Callable[[Answer], JobStatus]
    cancel_request: Callable[[Ticket], HttpRequest]
    status_request: Callable[[Ticket], HttpRequest]
    result_request: Callable[[Ticket], HttpRequest]


@dataclass(frozen=True)
class Upload:
    """A provider's own storage for pictures that are too large to send within a request.

    above: bytes from which on it is used. start_request asks for a place; read_place gives the
    address to put the bytes to, and the one under which the provider will find them.
    """

    above: int
    start_request: Callable[[Picture, Profile], HttpRequest]
    read_place: Callable[[Answer], tuple[Url, Url]]


def single_variant(options: Mapping[str, Any], profile: Profile) -> str:
    """For providers with one endpoint."""
    return ""


def no_check(options: Mapping[str, Any], profile: Profile) -> None:
    """For providers whose inputs cannot contradict each other."""


@dataclass(frozen=True)
class Provider:
    """One provider: its facts, and its functions.

    check_options raises InputError, before anything is sent. parse_answer reads an answer of status
    2xx, and map_error names what any other status means (None for 2xx): an error that is stated in
    spite of a good status is for parse_answer to raise. Whatever reads an answer raises CallFailed.

    key_variables: environment variables with the key, any of these; several names in a group are
    joined by ":". variants: capabilities by endpoint or dialect, "" where there is only one.
    key_hosts: further origins of the vendor's that get the key, while the URL is the vendor's.
    """

    key: str
    title: str
    url: str
    key_variables: tuple[tuple[str, ...], ...]
    variants: Mapping[str, Capabilities]
    auth_headers: Callable[[Profile], dict[str, str]]
    build_request: Callable[[SegmentRequest, Profile], HttpRequest]
    parse_answer: Callable[[Answer, SegmentRequest, Profile], ParsedAnswer]
    map_error: Callable[[Answer], Failure | None]
    variant: Callable[[Mapping[str, Any], Profile], str] = single_variant
    check_options: Callable[[Mapping[str, Any], Profile], None] = no_check
    limits: ImageLimits = ImageLimits()
    read_timeout: float = 180.0
    needs_key: bool = True
    key_hosts: tuple[str, ...] = ()
    queue: Queue | None = None
    upload: Upload | None = None

    def capabilities(self, options: Mapping[str, Any], profile: Profile) -> Capabilities:
        return self.variants[self.variant(options, profile)]
