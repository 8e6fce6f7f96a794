"""A server of your own, in one of three dialects that the profile names.

openai: POST /v1/images/segmentations with a form, as vLLM-Omni and others serve it.
huggingface: the image-segmentation task of an Inference Endpoint, or of a small server like it.
roboflow: Roboflow's inference server; words go to SAM 3, points and boxes to SAM 2.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from ...errors import InputError
from ...prompts.phrases import split_names
from ...prompts.prompts import ObjectPrompt
from ..answers import is_picture, read_json, read_number, read_text
from ..contract import Features, Profile, Provider, SegmentRequest
from ..failures import error_text, stated_error, status_failure
from ..fields import POINTS, TextField, prompt_field
from ..images import pixel
from ..wire import (
    Answer,
    CallFailed,
    CallInfo,
    Failure,
    FailureKind,
    FormPart,
    FoundMask,
    HttpRequest,
    ParsedAnswer,
)
from .custom_answers import find_masks

OPENAI = "openai"
HUGGINGFACE = "huggingface"
ROBOFLOW = "roboflow"

VARIANTS = {
    OPENAI: Features(
        text=True,
        boxes=True,
        negative_boxes=True,
        text_with_shapes=True,
        several=True,
        scores=True,
    ),
    HUGGINGFACE: Features(
        text=True, everything=True, several=True, names_phrases=True, scores=True
    ),
    ROBOFLOW: Features(
        text=True,
        points=True,
        negative_points=True,
        boxes=True,
        several=True,
        names_phrases=True,
        scores=True,
    ),
}
FIELDS = (
    TextField(
        name="profile",
        default="openai",
        tooltip="A server from providers.toml, or one of the built-in openai, huggingface and "
        "roboflow, which stand for such a server on this machine (huggingface: its router).",
    ),
    prompt_field("What to segment, if the server takes words; roboflow: phrases with commas."),
    POINTS,
)
_MAX_PHRASES = 16


def variant(options: Mapping[str, Any], profile: Profile) -> str:
    """The dialect that the profile names, openai where it names none."""
    dialect = profile.setting("dialect", OPENAI)
    return dialect if dialect in VARIANTS else OPENAI


def auth_headers(profile: Profile) -> dict[str, str]:
    """The key as a bearer token, where there is one."""
    return {"Authorization": f"Bearer {profile.key}"} if profile.key else {}


def build_request(request: SegmentRequest, profile: Profile) -> HttpRequest:
    """The request in the profile's dialect."""
    builders = {OPENAI: _openai, HUGGINGFACE: _huggingface, ROBOFLOW: _roboflow}
    return builders[variant(request.options, profile)](request, profile)


def _openai(request: SegmentRequest, profile: Profile) -> HttpRequest:
    picture = request.picture
    boxes = [box for each in request.objects for box in (each.box, *each.negative_boxes) if box]
    fields: dict[str, Any] = {"mask_format": "png"}
    fields |= {"prompt": request.prompt} if request.prompt else {}
    if boxes:
        fields["boxes"] = json.dumps([[round(v) for v in (b.x1, b.y1, b.x2, b.y2)] for b in boxes])
        fields["box_labels"] = json.dumps([int(box.positive) for box in boxes])
    fields |= {"model": profile.setting("model")} if profile.setting("model") else {}
    fields |= profile.extra_body
    parts = [FormPart("image", picture.data, picture.file_name, picture.mime)]
    parts += [FormPart(name, str(value)) for name, value in fields.items()]
    path = "" if profile.url.endswith("/images/segmentations") else "/images/segmentations"
    if path and not profile.url.endswith("/v1"):
        path = "/v1" + path
    return HttpRequest("POST", profile.url + path, form=tuple(parts))


def _huggingface(request: SegmentRequest, profile: Profile) -> HttpRequest:
    """The bare picture, or JSON where there is anything besides; `prompt` is for own handlers."""
    model = profile.setting("model")
    url = f"{profile.url}/models/{model}" if model else profile.url
    parameters = dict(profile.extra_body)
    parameters |= {"prompt": request.prompt} if request.prompt else {}
    if not parameters:
        picture = request.picture
        return HttpRequest("POST", url, data=picture.data, headers={"Content-Type": picture.mime})
    inputs = base64.b64encode(request.picture.data).decode("ascii")
    return HttpRequest("POST", url, json={"inputs": inputs, "parameters": parameters})


def _roboflow(request: SegmentRequest, profile: Profile) -> HttpRequest:
    encoded = base64.b64encode(request.picture.data).decode("ascii")
    body: dict[str, Any] = {"image": {"type": "base64", "value": encoded}, "format": "rle"}
    if request.objects:
        prompts = [_sam2_prompt(each, request) for each in request.objects]
        body |= {"prompts": {"prompts": prompts}, "multimask_output": True}
        return HttpRequest(
            "POST", f"{profile.url}/sam2/segment_image", json=body | profile.extra_body
        )
    prompts = [{"type": "text", "text": phrase} for phrase in split_names(request.prompt)]
    body |= {"model_id": profile.setting("model", "sam3/sam3_final"), "prompts": prompts}
    return HttpRequest(
        "POST", f"{profile.url}/sam3/concept_segment", json=body | profile.extra_body
    )


def _sam2_prompt(each: ObjectPrompt, request: SegmentRequest) -> dict[str, Any]:
    prompt: dict[str, Any] = {}
    if each.points:
        places = [(*pixel(point, request.picture.size), point.positive) for point in each.points]
        prompt["points"] = [{"x": x, "y": y, "positive": on} for x, y, on in places]
    if each.box is not None:
        box = each.box
        # This one route measures boxes from their centre.
        prompt["box"] = {
            "x": (box.x1 + box.x2) / 2,
            "y": (box.y1 + box.y2) / 2,
            "width": box.x2 - box.x1,
            "height": box.y2 - box.y1,
        }
    return prompt


def check_options(options: Mapping[str, Any], profile: Profile) -> None:
    """Raise InputError for an unknown dialect, or more phrases than one call takes."""
    dialect = profile.setting("dialect", OPENAI)
    if dialect not in VARIANTS:
        raise InputError(
            f"profile: {profile.name!r} names the dialect {dialect!r}; accepted are "
            f"{', '.join(VARIANTS)}. Correct it in providers.toml."
        )
    count = len(split_names(read_text(options.get("prompt"))))
    if dialect == ROBOFLOW and count > _MAX_PHRASES:
        raise InputError(
            f"prompt: found {count} phrases; accepted are up to {_MAX_PHRASES} in one call. Split "
            "them over two nodes."
        )


def parse_answer(answer: Answer, request: SegmentRequest, profile: Profile) -> ParsedAnswer:
    """Whatever masks the answer holds: a picture, or JSON of any of the usual shapes."""
    info = CallInfo(answer.headers.get("x-request-id"))
    if is_picture(answer):
        return ParsedAnswer((FoundMask(answer.body, label=request.label),), info)
    body = read_json(answer)
    failure = stated_error(answer, body)
    if failure is not None:
        raise CallFailed(failure)
    return ParsedAnswer(tuple(find_masks(body, request)), info)


def map_error(answer: Answer) -> Failure | None:
    """What the status says; a model that is still being loaded is busy."""
    failure = status_failure(answer)
    if answer.status != 503 or b'"estimated_time"' not in answer.body:
        return failure
    body = read_json(answer)
    if not isinstance(body, dict):
        return failure
    # Hugging Face, while a model loads; nothing has been computed.
    wait = read_number(body.get("estimated_time"))
    return Failure(FailureKind.BUSY, error_text(answer), 503, may_repeat=True, wait=wait)


PROVIDER = Provider(
    key="custom",
    title="Your server",
    url="http://127.0.0.1:8091",
    key_variables=(),
    variants=VARIANTS,
    variant=variant,
    fields=FIELDS,
    auth_headers=auth_headers,
    build_request=build_request,
    parse_answer=parse_answer,
    map_error=map_error,
    check_options=check_options,
    needs_key=False,
)
