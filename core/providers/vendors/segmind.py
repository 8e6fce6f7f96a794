"""Segmind sam-v2-image: words or points in, one mask or marked image out.

Sources: the vendor's page; the SDK's segmind/client.py and exceptions.py for headers and errors.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from ..answers import base64_bytes, is_picture, picture_content, read_json, unusable
from ..contract import Features, Profile, Provider, SegmentRequest
from ..failures import error_text, status_failure
from ..fields import POINTS, SwitchField, prompt_field
from ..images import pixel
from ..wire import (
    Answer,
    CallInfo,
    Failure,
    FailureKind,
    FoundMask,
    HttpRequest,
    ParsedAnswer,
    Reading,
)

_PATH = "/v1/sam-v2-image"
FIELDS = (
    prompt_field("What to segment. Beside it, points with label 0 take away what lies there."),
    POINTS,
    SwitchField(
        name="overlay_mask",
        is_optional=True,
        tooltip="Segmind returns the image with the mask drawn over it, and the mask is read from "
        "where that differs from the image that was sent. Off is more exact.",
    ),
    SwitchField(
        name="base64",
        is_optional=True,
        tooltip="Segmind returns the picture as text within JSON. The mask is the same.",
    ),
)
_CREDIT_WORDS = ("credit", "balance", "spend", "limit")


def auth_headers(profile: Profile) -> dict[str, str]:
    """The key in a header of its own."""
    return {"x-api-key": profile.key}


def build_request(request: SegmentRequest, profile: Profile) -> HttpRequest:
    """JSON with the picture in Base64, and words or points."""
    body: dict[str, Any] = {
        "image": base64.b64encode(request.picture.data).decode("ascii"),
        # Both have defaults that are documented in two ways.
        "base64": request.option("base64", False),
        "overlay_mask": request.option("overlay_mask", False),
    }
    if request.prompt:
        # A prompt makes the provider ignore coordinates, and the other way round it must be absent.
        body["prompt"] = request.prompt
    points = [point for each in request.objects for point in each.points]
    size = request.picture.size
    wanted = [pixel(point, size) for point in points if point.positive]
    unwanted = [pixel(point, size) for point in points if not point.positive]
    body |= {"coordinates": _coordinates(wanted)} if wanted else {}
    body |= {"remove_coordinates": _coordinates(unwanted)} if unwanted else {}
    return HttpRequest("POST", profile.url + _PATH, json=body | profile.extra_body)


def _coordinates(points: Sequence[list[int]]) -> str:
    """JSON as text: [x,y] for one point, [[x,y],...] for several."""
    return json.dumps(points[0] if len(points) == 1 else points, separators=(",", ":"))


def parse_answer(answer: Answer, request: SegmentRequest, profile: Profile) -> ParsedAnswer:
    """The one mask, and what the headers say of the credits.

    An overlay is the image with the mask drawn over it, which shows where it differs.
    """
    headers = answer.headers
    info = CallInfo(
        headers.get("x-request-id"), headers.get("x-remaining-credits"), headers.get("x-cost")
    )
    own = profile.extra_body
    is_overlay = own.get("overlay_mask", request.option("overlay_mask", False))
    reading = Reading.DIFFERENCE if is_overlay else Reading.LUMA
    return ParsedAnswer((FoundMask(_content(answer), reading, request.label),), info)


def _content(answer: Answer) -> Any:
    """The picture itself, JSON around it, or nothing but Base64."""
    if is_picture(answer):
        return answer.body
    if answer.body.lstrip()[:1] in (b"{", b"["):
        body = read_json(answer)
        if isinstance(body, dict) and "output" in body:
            body = body["output"]
        return picture_content(body[0] if isinstance(body, list) and body else body)
    if not answer.body or answer.body.lstrip().startswith(b"<"):
        raise unusable(f"a picture is expected, found {error_text(answer) or 'nothing'}")
    return base64_bytes(answer.body.decode("ascii", "replace").strip().strip('"'))


def map_error(answer: Answer) -> Failure | None:
    """What the status says; 406 is mostly about credits, and 429 names the moment to come back."""
    failure = status_failure(answer)
    if failure is None:
        return None
    if answer.status == 406:
        # Not only for credits: a wrong content type or parameter ends in it too.
        is_credit = not failure.detail or any(
            word in failure.detail.lower() for word in _CREDIT_WORDS
        )
        kind = FailureKind.CREDITS if is_credit else FailureKind.REFUSED
        return Failure(kind, failure.detail, answer.status)
    if answer.status == 429 and failure.wait is None:
        return Failure(failure.kind, failure.detail, 429, may_repeat=True, wait=_reset_wait(answer))
    return failure


def _reset_wait(answer: Answer) -> float | None:
    """Segmind sends no Retry-After, but the moment from which on it takes requests again."""
    try:
        moment = datetime.fromisoformat(
            answer.headers.get("x-rate-limit-reset-at-utc", "").replace("Z", "+00:00")
        )
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return max(0.0, moment.timestamp() - time.time())


PROVIDER = Provider(
    key="segmind",
    title="Segmind",
    url="https://api.segmind.com",
    key_variables=(("SEGMIND_API_KEY",),),
    variants={"": Features(text=True, points=True, negative_points=True, text_with_negatives=True)},
    fields=FIELDS,
    auth_headers=auth_headers,
    build_request=build_request,
    parse_answer=parse_answer,
    map_error=map_error,
)
