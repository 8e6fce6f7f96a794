"""The contract between a provider and the rest: what it says of itself, and its functions.

A provider is one module of `vendors/`: data and pure functions, gathered in a `Provider`. It says
what it can take and which inputs it has, builds the HTTP request for one call, reads the answer and
names its errors. It touches no network, no file and no environment, so that it can be tested
without them, and it holds no state.

Who does what around it:
- `options`, as the functions get them, are the values of its `fields` by name. A value may be
  absent or None, which is left out; one that is there has passed its field's check.
- `batch.check_request` checks fields and profile, calls `check_options`, and refuses prompts that
  the `features` of the chosen variant do not have. Until then nothing is sent.
- `transport.Transport` adds the headers of `auth_headers`, and the profile's own. It sends requests
  to the provider's origin and to `key_hosts` alone, and fetches results from elsewhere without the
  key. No other function may write a key into a request: not into its address, its body or its
  headers. The profile's body is for `build_request` to add.
- `guard.guarded` turns whatever else a function raises that reads an answer into the failure of
  that one call, so that an answer of a kind nobody expected ends no run. Only functions that read
  an answer are guarded: those that build a request must not fail for options that passed.

Errors: `check_options` and `ticket_of` may raise InputError. `parse_answer`, `read_ticket`,
`read_status`, `read_place` and `map_error` may raise CallFailed. The others raise nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import SegmentAnywhereError
from ..prompts.prompts import ObjectPrompt
from .fields import Field
from .wire import Answer, Failure, HttpRequest, JobStatus, ParsedAnswer, Picture, Ticket, Url


@dataclass(frozen=True)
class Features:
    """What one provider, or one endpoint of it, takes and gives.

    text: words. everything: no prompt at all means all objects. subject: no prompt at all means
    what stands before the background, as one object. text_with_shapes: words together with points
    or boxes. text_with_negatives: words together with points that are not wanted, and nothing else.
    joins_objects: the points of several objects go into one call; otherwise each object is a call
    of its own. several: an answer may hold more than one object. names_phrases: phrases between
    commas go into one call, and each object found is named after its own; otherwise each phrase is
    a call of its own.
    """

    text: bool = False
    everything: bool = False
    subject: bool = False
    negative_text: bool = False
    points: bool = False
    negative_points: bool = False
    boxes: bool = False
    negative_boxes: bool = False
    text_with_shapes: bool = False
    text_with_negatives: bool = False
    joins_objects: bool = False
    several: bool = False
    names_phrases: bool = False
    scores: bool = False


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


class ProviderError(SegmentAnywhereError):
    """A call to a provider that failed; the message is for the user."""


@dataclass(frozen=True)
class ImageLimits:
    """What a provider takes. max_bytes: of the lossless file; above it a smaller format is used."""

    max_side: int = 4096
    max_bytes: int = 8 * 2**20
    lossy_format: str = "JPEG"


@dataclass(frozen=True)
class Queue:
    """The protocol of a provider whose calls are jobs in a queue.

    The request of `build_request` then submits a job, and the answer to it is a ticket.
    read_ticket: where the job is; raises CallFailed for an answer that does not say so.
    read_status: how far it is. A job that failed is done, and carries its failure.
    ticket_of: where the job with a request id is that was submitted earlier, with these options and
    this profile; raises InputError for an id that no job can have.
    status_request, result_request, cancel_request: what asks after a job, fetches its result (the
    answer for `parse_answer`) and takes it back. Asking costs nothing, so it may be repeated.
    """

    read_ticket: Callable[[Answer], Ticket]
    read_status: Callable[[Answer], JobStatus]
    cancel_request: Callable[[Ticket], HttpRequest]
    status_request: Callable[[Ticket], HttpRequest]
    result_request: Callable[[Ticket], HttpRequest]
    ticket_of: Callable[[str, Mapping[str, Any], Profile], Ticket]


@dataclass(frozen=True)
class Upload:
    """A provider's own storage for pictures that are too large to send within a request.

    above: bytes from which on it is used. start_request: what asks for a place. read_place: the
    address to put the bytes to, and the one under which the provider will find them, which
    `build_request` then gets as the request's picture_url; raises CallFailed where they are not
    there. The bytes go to their place without the key.
    """

    above: int
    start_request: Callable[[Picture, Profile], HttpRequest]
    read_place: Callable[[Answer], tuple[Url, Url]]


def single_variant(options: Mapping[str, Any], profile: Profile) -> str:
    """The `variant` of providers with one endpoint."""
    return ""


def no_check(options: Mapping[str, Any], profile: Profile) -> None:
    """The `check_options` of providers whose inputs cannot contradict each other."""


def no_route(request: HttpRequest, profile: Profile) -> HttpRequest:
    """The `route` of providers whose requests go to the profile's address as they are built."""
    return request


@dataclass(frozen=True)
class Provider:
    """One provider: its facts, and its functions. The module says what they may raise.

    Facts:
    key, title: what graphs and people call it.
    url: where its API is, without a trailing slash; a profile may name another.
    key_variables: environment variables with the key, any of these; several names in a group are
    joined by ":". needs_key: whether a call without one is refused before it is sent.
    url_variables: environment variables of the vendor's own with its address, any of these.
    is_proxied: at an address other than the vendor's, a proxy adds the key, and none is needed.
    key_hosts: further origins of the vendor's that get the key, while the URL is the vendor's.
    fields: its inputs, in the order in which a node shows them.
    variants: its features by endpoint or dialect, "" where there is only one.
    limits: what its pictures may be.

    Functions:
    variant: which of `variants` a call goes to, by its options or its profile. It always names one:
    an unknown endpoint is for the fields or for check_options to refuse.
    check_options: refuses what no single field can see, such as options that contradict each other
    or a profile's setting that the provider does not know; raises InputError.
    auth_headers: the headers with the profile's key, which the transport alone adds.
    build_request: the paid call. Equal requests are paid once, so it must depend on nothing but its
    arguments; an option that only says how to read the answer must not be part of it.
    parse_answer: the masks of an answer of status 2xx, read anew in each run that has paid for it.
    Raises CallFailed for an answer that is not of the promised shape, or that states an error in
    spite of its status. A result without any object is no error, and no mask.
    map_error: what a status other than 2xx means, None for 2xx. It marks as `may_repeat` only what
    cannot bill twice.
    route: the request as it is sent, where a gateway or proxy stands between. It is applied to
    every request with the key, those that a ticket names included.
    queue, upload: for providers that have them.
    """

    key: str
    title: str
    url: str
    key_variables: tuple[tuple[str, ...], ...]
    variants: Mapping[str, Features]
    fields: tuple[Field, ...]
    auth_headers: Callable[[Profile], dict[str, str]]
    build_request: Callable[[SegmentRequest, Profile], HttpRequest]
    parse_answer: Callable[[Answer, SegmentRequest, Profile], ParsedAnswer]
    map_error: Callable[[Answer], Failure | None]
    variant: Callable[[Mapping[str, Any], Profile], str] = single_variant
    check_options: Callable[[Mapping[str, Any], Profile], None] = no_check
    limits: ImageLimits = ImageLimits()
    needs_key: bool = True
    url_variables: tuple[str, ...] = ()
    is_proxied: bool = False
    key_hosts: tuple[str, ...] = ()
    route: Callable[[HttpRequest, Profile], HttpRequest] = no_route
    queue: Queue | None = None
    upload: Upload | None = None

    def features(self, options: Mapping[str, Any], profile: Profile) -> Features:
        """What the variant that these options choose takes and gives."""
        return self.variants[self.variant(options, profile)]
