"""AI Refinery, /v1/images/segmentations: points in, one picture with a value per region out.

Sources: the vendor's "Image Segmentation API" page; the SDK's air/images/client.py (the argument
`image` travels as `image_prompt`).
"""

from __future__ import annotations

import base64

from ..answers import picture_content, read_json, read_score, read_text, unusable
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


def auth_headers(profile: Profile) -> dict[str, str]:
    """The key as a bearer token."""
    return {"Authorization": f"Bearer {profile.key}"}


def endpoint(url: str) -> str:
    """The full address; hosts that end in /inference are of the SDK before 1.16."""
    if url.endswith(("/inference", "/v1")):
        return url + "/images/segmentations"
    return url + "/v1/images/segmentations"


def build_request(request: SegmentRequest, profile: Profile) -> HttpRequest:
    """JSON with the picture in Base64 and all points in one list; labels are not part of them."""
    size = request.picture.size
    points = [pixel(point, size) for each in request.objects for point in each.points]
    model = read_text(request.option("model")) or profile.setting("model", DEFAULT_MODEL)
    body = {
        "model": model,
        "image_prompt": base64.b64encode(request.picture.data).decode("ascii"),
        "segment_prompt": [points],
        "extra_body": profile.extra_body or None,
    }
    return HttpRequest("POST", endpoint(profile.url), json=body)


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
    request_id = answer.headers.get("x-request-id")
    return ParsedAnswer(tuple(masks), CallInfo(request_id, usage=usage))


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
)
