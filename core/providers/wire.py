"""What goes to a provider and what comes back: requests, answers, masks, failures."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_DETAIL = 300
_FORMATS = {"PNG": rb"\x89PNG\r\n\x1a\n", "JPEG": rb"\xff\xd8\xff", "WEBP": rb"RIFF.{4}WEBP"}


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
class JobFacts:
    """What a queue said of the job whose result an answer is. log: its lines, the newest last."""

    request_id: str
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. headers: lower-case names. body: as received, within the size limit.

    job: the job whose result it is, None for a call that was answered at once.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    job: JobFacts | None = None

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Url:
    """Where a mask is to be fetched from."""

    address: str


@dataclass(frozen=True)
class Drawn:
    """A mask that is drawn only when it is read, for an answer may describe thousands.

    size: (H, W). draw: makes [H, W] uint8, 0 or 255; raises CallFailed where it cannot.
    """

    size: tuple[int, int]
    draw: Callable[[], NDArray[np.uint8]]


class Reading(str, Enum):
    """How a picture shows a mask."""

    AUTO = "auto"
    ALPHA = "alpha"
    LUMA = "luma"
    DIFFERENCE = "difference"
    CATEGORIES = "categories"


# What a user may choose; the rest is for providers to say.
READ_AS = (Reading.AUTO, Reading.ALPHA, Reading.LUMA, Reading.DIFFERENCE)


@dataclass(frozen=True)
class FoundMask:
    """One mask of an answer, not yet read.

    content: an encoded picture, its address, what draws it, or [h, w] uint8, 0..255. origin and
    canvas: where the mask's top-left corner (x, y) lies in a picture of (H, W), for masks cut to
    their box.
    """

    content: bytes | Url | Drawn | NDArray[np.uint8]
    reading: Reading = Reading.LUMA
    label: str = ""
    score: float = 1.0
    origin: tuple[int, int] = (0, 0)
    canvas: tuple[int, int] | None = None


@dataclass(frozen=True)
class CallInfo:
    """What an answer says about the call, in JSON values; None where it says nothing.

    created: when, in seconds since 1970. num_segments: how many objects the provider counts. ids:
    its own names of the objects, in their order. logs: the lines of the job's log, the newest last.
    files: what it says of each picture that it names, such as content_type, file_name, file_size.
    notes: what does not fit together in it, in plain sentences.
    """

    request_id: str | None = None
    credits_left: str | None = None
    cost: str | None = None
    usage: Mapping[str, Any] | None = None
    created: int | None = None
    num_segments: int | None = None
    ids: tuple[int | str | None, ...] | None = None
    logs: tuple[str, ...] | None = None
    files: tuple[Mapping[str, Any], ...] | None = None
    notes: tuple[str, ...] | None = None


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
    TOO_LARGE = "too large"
    UNCLEAR = "unclear"
    GONE = "gone"
    UNSENT = "not sent"


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
    of_result: it is about a job, or a picture that an answer names, and so about that call alone.
    is_kept: the answer was paid and is kept, so that another run reads it again and sends nothing.
    has_ticket: the job's ticket is kept, so that another run asks for its result. is_awaited: the
    answer may still come, and will be kept.
    """

    kind: FailureKind
    detail: str = ""
    status: int | None = None
    may_repeat: bool = False
    wait: float | None = None
    of_result: bool = False
    is_kept: bool = False
    has_ticket: bool = False
    is_awaited: bool = False

    @property
    def concerns_all(self) -> bool:
        return self.kind in _CONCERNS_ALL and not self.of_result


class CallFailed(Exception):
    """Carries a failure from where it is noticed to where it becomes a message."""

    def __init__(self, failure: Failure):
        super().__init__(failure.detail)
        self.failure = failure


@dataclass(frozen=True)
class Ticket:
    """A job in a provider's queue, and where to ask after it, fetch its result and cancel it."""

    request_id: str
    status_url: str
    result_url: str
    cancel_url: str


@dataclass(frozen=True)
class JobStatus:
    """position: jobs before this one, None where not said. logs: the lines of its log so far.

    failure: why a job that is done has no result.
    """

    is_done: bool
    position: int | None = None
    logs: tuple[str, ...] = ()
    failure: Failure | None = None

    @property
    def log(self) -> str:
        """The newest line, "" if there is none."""
        return self.logs[-1] if self.logs else ""


def shorten(text: str) -> str:
    """What others wrote, or sent, as one line of at most 300 characters."""
    text = " ".join(text.split())
    return text if len(text) <= _MAX_DETAIL else text[: _MAX_DETAIL - 3] + "..."


def picture_format(data: bytes) -> str | None:
    """PNG, JPEG or WEBP by the first bytes, None for anything else."""
    return next((name for name, magic in _FORMATS.items() if re.match(magic, data, re.S)), None)
