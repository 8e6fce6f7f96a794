"""ImagineoAI, /api/v1/edits/segment: words in, one picture out, which shows the mask in some way.

Source: the vendor's "Segment Image" page. What it leaves open (the header of the key, the kind of
picture) can be chosen: `auth` in the profile, `answer` on the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InputError
from ..answers import is_picture, picture_content, read_json, read_text, unusable
from ..contract import Features, ImageLimits, Profile, Provider, SegmentRequest
from ..failures import stated_error, status_failure
from ..fields import IMAGE_URL, ChoiceField, SwitchField, TextField, prompt_field
from ..wire import (
    Answer,
    CallFailed,
    CallInfo,
    Failure,
    FormPart,
    FoundMask,
    HttpRequest,
    ParsedAnswer,
    Reading,
    shorten,
)

_AUTH_STYLES = ("bearer", "x-api-key", "both")
# How its picture may be read; categories are another provider's way.
_READINGS = tuple(each.value for each in Reading if each is not Reading.CATEGORIES)
_PATH = "/api/v1/edits/segment"
_LONGEST_NAME = 200
FIELDS = (
    prompt_field("What to segment."),
    ChoiceField(
        name="answer",
        choices=_READINGS,
        default=Reading.AUTO.value,
        tooltip="How the picture that comes back shows the mask: auto looks, alpha is its "
        "transparency, luma its brightness, difference where it differs from the image. "
        "Changing this reads the same answer again and sends nothing.",
    ),
    IMAGE_URL,
    TextField(
        name="run_id",
        is_optional=True,
        tooltip="An earlier run at ImagineoAI with which this one is associated.",
    ),
    TextField(
        name="filename",
        is_optional=True,
        tooltip="The name under which the image is sent; empty for image.png or image.jpeg.",
    ),
    SwitchField(
        name="use_run_image",
        is_optional=True,
        tooltip="Segments the picture that the run of run_id made; the image is not sent.",
    ),
)


def check_options(options: Mapping[str, Any], profile: Profile) -> None:
    """Raise InputError for what no form can carry, and for a profile's unknown style of key."""
    name = read_text(options.get("filename"))
    if not name.isprintable() or set(name) & set('/\\"') or len(name) > _LONGEST_NAME:
        raise InputError(
            f"filename: found {shorten(repr(name))}; accepted is a file's name of up to "
            f"{_LONGEST_NAME} letters, without a folder and without quotes. Shorten it to that."
        )
    if options.get("use_run_image") and not read_text(options.get("run_id")):
        raise InputError(
            "use_run_image: no run is named; accepted is on with a run_id. Name the run, or "
            "switch it off to send the image."
        )
    style = profile.setting("auth", "bearer")
    if style not in _AUTH_STYLES:
        raise InputError(
            f"auth: found {style!r} in the profile; accepted are {', '.join(_AUTH_STYLES)}. "
            "Correct it in providers.toml."
        )


def auth_headers(profile: Profile) -> dict[str, str]:
    """The key in the header that the profile names: the vendor's page leaves it open."""
    style = profile.setting("auth", "bearer")
    bearer = {"Authorization": f"Bearer {profile.key}"} if style in ("bearer", "both") else {}
    plain = {"X-API-Key": profile.key} if style in ("x-api-key", "both") else {}
    return bearer | plain


def build_request(request: SegmentRequest, profile: Profile) -> HttpRequest:
    """JSON where the picture is at an address or a run's own, else a form with the file."""
    url = profile.url + _PATH
    run_id = read_text(request.option("run_id"))
    if request.picture_url or request.option("use_run_image", False):
        body: dict[str, Any] = {"prompt": request.prompt}
        body |= {"imageUrl": request.picture_url} if request.picture_url else {}
        body |= {"run_id": run_id} if run_id else {}
        return HttpRequest("POST", url, json=body | profile.extra_body)
    picture = request.picture
    name = read_text(request.option("filename")) or picture.file_name
    parts = [
        FormPart("image", picture.data, name, picture.mime),
        FormPart("prompt", request.prompt),
    ]
    parts += [FormPart("run_id", run_id)] if run_id else []
    parts += [FormPart(name, str(value)) for name, value in profile.extra_body.items()]
    return HttpRequest("POST", url, form=tuple(parts))


def parse_answer(answer: Answer, request: SegmentRequest, profile: Profile) -> ParsedAnswer:
    """The one picture, as itself or within JSON, to be read as the node says."""
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
    run_id = read_text(fields.get("run_id") or fields.get("runId")) or None
    return ParsedAnswer((FoundMask(content, reading, request.label),), CallInfo(run_id))


def map_error(answer: Answer) -> Failure | None:
    """What the status says."""
    return status_failure(answer)


PROVIDER = Provider(
    key="imagineo",
    title="ImagineoAI",
    url="https://api.imagineoai.com",
    key_variables=(("IMAGINEOAI_API_KEY",),),
    variants={"": Features(text=True)},
    fields=FIELDS,
    auth_headers=auth_headers,
    build_request=build_request,
    parse_answer=parse_answer,
    map_error=map_error,
    check_options=check_options,
    limits=ImageLimits(max_bytes=16 * 2**20),
)
