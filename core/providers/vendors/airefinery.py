"""AI Refinery, /v1/images/segmentations: points in, one picture with a value per region out.

Sources: the vendor's "Image Segmentation API" page; the SDK's air/images/client.py (the argument
`image` travels as `image_prompt`).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from ..answers import number, picture_content, read_json, text, unusable
from ..contract import (
    Answer,
    CallInfo,
    Capabilities,
    Failure,
    FoundMask,
    HttpRequest,
    ParsedAnswer,
    Profile,
    Provider,
    Reading,
    SegmentRequest,
)
from ..failures import status_failure
from ..images import pixel
from ..options import check_text

DEFAULT_MODEL = "syscv-community/sam-hq-vit-base"


def check_options(options: Mapping[str, Any], profile: Profile) -> None:
    """Raise InputError for a model that is no text."""
    check_text(options, "model")


def auth_headers(profile: Profile) -> dict[str, str]:
    return {"Authorization": f"Bearer {profile.key}"}


def endpoint(url: str) -> str:
    """The full address; hosts that end in /inference are of the SDK before 1.16."""
    if url.endswith(("/inference", "/v1")):
        return url + "/images/segmentations"
    return url + "/v1/images/segmentations"


def build_request(request: SegmentRequest, profile: Profile) -> HttpRequest:
    size = request.picture.size
    points = [pixel(point, size) for each in request.objects for point in each.points]
    model = text(request.option("model")) or profile.setting("model", DEFAULT_MODEL)
    body = {
        "model": model,
        "image_prompt": base64.b64encode(request.picture.data).decode("ascii"),
        "segment_prompt": [points],
        "extra_body": profile.extra_body or None,
    }
    return HttpRequest("POST", endpoint(profile.url), json=body)


def parse_answer(answer: Answer, request: SegmentRequest, profile: Profile) -> ParsedAnswer:
    body = read_json(answer)
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        raise unusable("an object with a list named data is expected")
    masks = []
    for entry in body["data"]:
        if not isinstance(entry, dict):
            raise unusable("data holds something that is no object")
        content = picture_content(entry)
        label, score = text(entry.get("label")), number(entry.get("score"))
        masks.append(FoundMask(content, Reading.CATEGORIES, label, score))
    usage = body.get("usage") if isinstance(body.get("usage"), dict) else None
    request_id = answer.headers.get("x-request-id")
    return ParsedAnswer(tuple(masks), CallInfo(request_id, usage=usage))


def map_error(answer: Answer) -> Failure | None:
    return status_failure(answer)


PROVIDER = Provider(
    key="airefinery",
    title="AI Refinery",
    url="https://api.airefinery.accenture.com",
    key_variables=(("AIR_API_KEY",), ("AIREFINERY_API_KEY",)),
    variants={"": Capabilities(points=True, joins_objects=True, several=True, scores=True)},
    auth_headers=auth_headers,
    build_request=build_request,
    parse_answer=parse_answer,
    map_error=map_error,
    check_options=check_options,
    read_timeout=120.0,
)
