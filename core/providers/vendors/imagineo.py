"""ImagineoAI, /api/v1/edits/segment: words in, one picture out, which shows the mask in some way.

Source: the vendor's "Segment Image" page. What it leaves open (the header of the key, the kind of
picture) can be chosen: `auth` in the profile, `answer` on the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InputError
from ..answers import is_picture, picture_content, read_json, text, unusable
from ..contract import (
    Answer,
    CallFailed,
    CallInfo,
    Capabilities,
    Failure,
    FormPart,
    FoundMask,
    HttpRequest,
    ImageLimits,
    ParsedAnswer,
    Profile,
    Provider,
    Reading,
    SegmentRequest,
)
from ..failures import stated_error, status_failure
from ..options import check_choice, check_text

_AUTH_STYLES = ("bearer", "x-api-key", "both")
# How its picture may be read; categories are another provider's way.
READINGS = tuple(each.value for each in Reading if each is not Reading.CATEGORIES)
_PATH = "/api/v1/edits/segment"


def check_options(options: Mapping[str, Any], profile: Profile) -> None:
    """Raise InputError for an unknown reading or style of authentication."""
    check_choice(options, "answer", READINGS)
    check_text(options, "run_id")
    style = profile.setting("auth", "bearer")
    if style not in _AUTH_STYLES:
        raise InputError(
            f"auth: found {style!r} in the profile; accepted are {', '.join(_AUTH_STYLES)}. "
            "Correct it in providers.toml."
        )


def auth_headers(profile: Profile) -> dict[str, str]:
    style = profile.setting("auth", "bearer")
    bearer = {"Authorization": f"Bearer {profile.key}"} if style in ("bearer", "both") else {}
    plain = {"X-API-Key": profile.key} if style in ("x-api-key", "both") else {}
    return bearer | plain


def build_request(request: SegmentRequest, profile: Profile) -> HttpRequest:
    """JSON where the picture is known by its address or by a run, else a form with the file."""
    url = profile.url + _PATH
    run_id = text(request.option("run_id"))
    if request.picture_url or run_id:
        body: dict[str, Any] = {"prompt": request.prompt}
        body |= {"imageUrl": request.picture_url} if request.picture_url else {}
        body |= {"run_id": run_id} if run_id else {}
        return HttpRequest("POST", url, json=body | profile.extra_body)
    picture = request.picture
    parts = [
        FormPart("image", picture.data, picture.file_name, picture.mime),
        FormPart("prompt", request.prompt),
    ]
    parts += [FormPart(name, str(value)) for name, value in profile.extra_body.items()]
    return HttpRequest("POST", url, form=tuple(parts))


def parse_answer(answer: Answer, request: SegmentRequest, profile: Profile) -> ParsedAnswer:
    reading = Reading(request.option("answer", Reading.AUTO))
    if is_picture(answer):
        return ParsedAnswer((FoundMask(answer.body, reading, request.label),))
    if answer.content_type != "application/json":
        raise unusable(f"a picture is expected, found {answer.content_type or 'no type'}")
    body = read_json(answer)
    failure = stated_error(answer, body)
    if failure is not None:
        raise CallFailed(failure)
    wrapper = body if isinstance(body, dict) else {}
    inner = wrapper["data"] if isinstance(wrapper.get("data"), dict) else {}
    content = picture_content(inner or body)
    fields = {**wrapper, **inner}
    run_id = text(fields.get("run_id") or fields.get("runId")) or None
    return ParsedAnswer((FoundMask(content, reading, request.label),), CallInfo(run_id))


def map_error(answer: Answer) -> Failure | None:
    return status_failure(answer)


PROVIDER = Provider(
    key="imagineo",
    title="ImagineoAI",
    url="https://api.imagineoai.com",
    key_variables=(("IMAGINEOAI_API_KEY",),),
    variants={"": Capabilities(text=True)},
    auth_headers=auth_headers,
    build_request=build_request,
    parse_answer=parse_answer,
    map_error=map_error,
    check_options=check_options,
    limits=ImageLimits(max_bytes=16 * 2**20),
    read_timeout=120.0,
)
