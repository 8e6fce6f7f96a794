"""AI Refinery, /v1/images/segmentations: points in, one picture with a value per region out.

Sources: the vendor's "Image Segmentation API" page; the SDK's air/images/client.py (the argument
`image` travels as `image_prompt`, further keywords at the top level, `extra_body` as a key of its
own). The page's login(account, api_key) is the SDK's air/authenticator.py up to 1.15: it validates
the key, which then is the bearer token of each call; up to 1.13 an account went along in a header.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from ...errors import InputError
from ..answers import picture_content, read_json, read_score, read_text, read_whole, unusable
from ..contract import Features, Profile, Provider, SegmentRequest
from ..failures import status_failure
from ..fields import POINTS, TextField
from ..images import pixel
from ..wire import Answer, CallInfo, Failure, FoundMask, HttpRequest, ParsedAnswer, Reading

DEFAULT_MODEL = "syscv-community/sam-hq-vit-base"
FIELDS = (
    POINTS,
    TextField(
        name="model",
        default=DEFAULT_MODEL,
        tooltip="A segmentation model of AI Refinery's catalogue.",
    ),
)


def check_options(options: Mapping[str, Any], profile: Profile) -> None:
    """Raise InputError for an account that no header can carry."""
    account = profile.setting("account")
    if not account.isascii() or not account.isprintable():
        raise InputError(
            "account: the profile's has a line break or letters that no account has. Correct it in "
            "providers.toml."
        )


def auth_headers(profile: Profile) -> dict[str, str]:
    """The key as a bearer token, and the account where the profile names one."""
    account = profile.setting("account")
    named = {"airefinery_account": account} if account else {}
    return {"Authorization": f"Bearer {profile.key}"} | named


def endpoint(url: str) -> str:
    """The full address; hosts that end in /inference are of the SDK before 1.16."""
    if url.endswith(("/inference", "/v1")):
        return url + "/images/segmentations"
    return url + "/v1/images/segmentations"


def build_request(request: SegmentRequest, profile: Profile) -> HttpRequest:
    """JSON with the picture in Base64 and a list of points for each object, without labels."""
    size = request.picture.size
    points = [[pixel(point, size) for point in each.points] for each in request.objects]
    model = read_text(request.option("model")) or profile.setting("model", DEFAULT_MODEL)
    body = {
        "model": model,
        "image_prompt": base64.b64encode(request.picture.data).decode("ascii"),
        "segment_prompt": points,
        "extra_body": None,
    }
    return HttpRequest("POST", endpoint(profile.url), json=body | profile.extra_body)


def parse_answer(answer: Answer, request: SegmentRequest, profile: Profile) -> ParsedAnswer:
    """The regions of each picture in the list `data`, by their values."""
    body = read_json(answer)
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise unusable("an object with a list named data is expected")
    masks = []
    for entry in body["data"]:
        if not isinstance(entry, dict):
            raise unusable("data holds something that is no object")
        content = picture_content(entry)
        label, score = read_text(entry.get("label")), read_score(entry.get("score"))
        masks.append(FoundMask(content, Reading.CATEGORIES, label, score))
    usage = body.get("usage") if isinstance(body.get("usage"), dict) else None
    request_id, created = answer.headers.get("x-request-id"), read_whole(body.get("created"))
    return ParsedAnswer(tuple(masks), CallInfo(request_id, usage=usage, created=created))


def map_error(answer: Answer) -> Failure | None:
    """What the status says."""
    return status_failure(answer)


PROVIDER = Provider(
    key="airefinery",
    title="AI Refinery",
    url="https://api.airefinery.accenture.com",
    key_variables=(("AIR_API_KEY",), ("AIREFINERY_API_KEY",)),
    url_variables=("AIREFINERY_ADDRESS",),
    variants={"": Features(points=True, joins_objects=True, several=True, scores=True)},
    fields=FIELDS,
    auth_headers=auth_headers,
    build_request=build_request,
    parse_answer=parse_answer,
    map_error=map_error,
    check_options=check_options,
)
