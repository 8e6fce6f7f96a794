"""fal: EVF-SAM2 and its siblings, behind fal's queue (submit, status, result, cancel).

Sources: the vendor's "EVF-SAM2 Segmentation" page; fal-client 1.0.3 and @fal-ai/client 1.10.1 for
headers, errors and the server-side proxy; the endpoints' types in @fal-ai/client for the siblings,
and the vendor's "Birefnet API" page. The queue, its storage and its proxies are in fal_queue.py.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from ...errors import InputError
from ..answers import picture_content, read_json, read_score, read_text, unusable
from ..contract import Features, ImageLimits, Profile, Provider, Queue, SegmentRequest, Upload
from ..fields import (
    IMAGE_URL,
    POINTS,
    AddressField,
    ChoiceField,
    NumberField,
    SwitchField,
    TextField,
    prompt_field,
)
from ..images import pixel
from ..wire import (
    Answer,
    CallInfo,
    FoundMask,
    HttpRequest,
    ParsedAnswer,
    Picture,
    Reading,
    Ticket,
    shorten,
)
from .fal_queue import (
    QUEUE_URL,
    STORAGE_URL,
    cancel_request,
    earlier_job,
    map_error,
    read_place,
    read_status,
    read_ticket,
    result_request,
    route,
    start_upload,
    status_request,
)

EVF_SAM = "fal-ai/evf-sam"
SAM2 = "fal-ai/sam2/image"
SAM2_AUTO = "fal-ai/sam2/auto-segment"
SAM3 = "fal-ai/sam-3/image"
BIREFNET = "fal-ai/birefnet/v2"

VARIANTS = {
    EVF_SAM: Features(text=True, negative_text=True),
    SAM2: Features(points=True, negative_points=True, boxes=True),
    SAM2_AUTO: Features(everything=True, several=True),
    SAM3: Features(
        text=True,
        points=True,
        negative_points=True,
        boxes=True,
        text_with_shapes=True,
        several=True,
        scores=True,
    ),
    BIREFNET: Features(subject=True),
}
_DYNAMIC, _LARGEST = "General Use (Dynamic)", "2304x2304"
# Only one endpoint takes these. What is off, or 0, is not sent: the provider's own default.
_EVF_SAM_FIELDS: tuple[SwitchField | NumberField, ...] = (
    SwitchField(
        name="semantic_type",
        tooltip="For body parts, background or several objects. evf-sam only, as what follows.",
    ),
    SwitchField(
        name="use_grounding_dino",
        tooltip="Finds the object with Grounding DINO.",
    ),
    SwitchField(name="revert_mask", tooltip="Swaps object and background."),
    NumberField(
        name="blur_mask",
        default=0,
        lowest=0,
        highest=255,
        tooltip="Blurs the mask's edge; side of the kernel in pixels, odd. 0 is off.",
    ),
    NumberField(
        name="expand_mask",
        default=0,
        lowest=0,
        highest=512,
        tooltip="Widens the mask, in pixels of the image that is sent. 0 is off.",
    ),
    SwitchField(name="fill_holes", tooltip="Fills holes in the mask."),
)
FIELDS = (
    ChoiceField(
        name="endpoint",
        choices=tuple(VARIANTS),
        default=EVF_SAM,
        tooltip="evf-sam takes a sentence; sam2/image points and boxes; sam2/auto-segment "
        "nothing, and finds everything; sam-3/image words, points and boxes; birefnet/v2 nothing, "
        "and finds the subject.",
    ),
    prompt_field("What to segment."),
    TextField(name="negative_prompt", tooltip="What to take away from it. evf-sam only."),
    POINTS,
    *_EVF_SAM_FIELDS,
    IMAGE_URL,
    SwitchField(
        name="mask_only",
        default=True,
        is_optional=True,
        tooltip="Off: fal returns the masked image, and the mask is read from where it differs "
        "from the image that was sent. evf-sam only.",
    ),
    AddressField(
        name="webhook_url",
        is_optional=True,
        tooltip="A public https address that fal calls with the result of each job too. Another "
        "address here is another request.",
    ),
    ChoiceField(
        name="model",
        choices=(
            *("General Use (Light)", "General Use (Light 2K)", "General Use (Heavy)"),
            *("Matting", "Portrait", _DYNAMIC),
        ),
        default="General Use (Light)",
        is_optional=True,
        tooltip="Matting for hair and fur, Portrait for people. birefnet only, as what follows.",
    ),
    ChoiceField(
        name="operating_resolution",
        choices=("1024x1024", "2048x2048", _LARGEST),
        default="1024x1024",
        is_optional=True,
        tooltip=f"The higher, the finer the mask of a large image. {_LARGEST} is for "
        f"{_DYNAMIC} alone.",
    ),
)
_MAX_MASKS = 32
# What is said of a picture beside its address.
_FACTS = ("content_type", "file_name", "file_size")


def variant(options: Mapping[str, Any], profile: Profile) -> str:
    """The endpoint that is chosen on the node."""
    endpoint = read_text(options.get("endpoint")) or EVF_SAM
    return endpoint if endpoint in VARIANTS else EVF_SAM


def check_options(options: Mapping[str, Any], profile: Profile) -> None:
    """Raise InputError for a blur that is not odd, and a resolution that the model has not."""
    blur = options.get("blur_mask") or 0
    if blur and blur % 2 == 0:
        raise InputError(
            f"blur_mask: found {blur}; accepted are 0 (off) and odd numbers, for it is the side of "
            f"a kernel with a centre. Use {blur + 1}."
        )
    is_largest = options.get("operating_resolution") == _LARGEST
    if variant(options, profile) == BIREFNET and is_largest and options.get("model") != _DYNAMIC:
        raise InputError(
            f"operating_resolution: found {_LARGEST} with the model {_model(options)}; accepted "
            f"are 1024x1024 and 2048x2048. Choose one, or the model {_DYNAMIC}."
        )


def auth_headers(profile: Profile) -> dict[str, str]:
    """The key under fal's own scheme; behind a proxy there may be none."""
    return {"Authorization": f"Key {profile.key}"} if profile.key else {}


def ticket_of(request_id: str, options: Mapping[str, Any], profile: Profile) -> Ticket:
    """Where a job of the chosen endpoint is that was submitted earlier; raises InputError."""
    return earlier_job(request_id, variant(options, profile), profile.url)


def build_request(request: SegmentRequest, profile: Profile) -> HttpRequest:
    """What submits the job to the endpoint's queue."""
    endpoint = variant(request.options, profile)
    builders = {
        EVF_SAM: _evf_input,
        SAM2: _sam2_input,
        SAM3: _sam3_input,
        BIREFNET: _birefnet_input,
    }
    body: dict[str, Any] = {"image_url": request.picture_url or _data_uri(request.picture)}
    if endpoint in builders:
        body |= builders[endpoint](request)
    webhook = read_text(request.option("webhook_url"))
    query = "?" + urlencode({"fal_webhook": webhook}) if webhook else ""
    return HttpRequest("POST", f"{profile.url}/{endpoint}{query}", json=body | profile.extra_body)


def _data_uri(picture: Picture) -> str:
    return f"data:{picture.mime};base64,{base64.b64encode(picture.data).decode('ascii')}"


def _evf_input(request: SegmentRequest) -> dict[str, Any]:
    """What is off or empty is left out."""
    body: dict[str, Any] = {"prompt": request.prompt}
    body["mask_only"] = request.option("mask_only", True)
    if request.negative_prompt:
        body["negative_prompt"] = request.negative_prompt
    for field in _EVF_SAM_FIELDS:
        value = request.option(field.name, field.default)
        if value:
            # NumPy's whole numbers count too, and JSON does not know them.
            body[field.name] = value if isinstance(value, bool) else int(value)
    return body


def _sam2_input(request: SegmentRequest) -> dict[str, Any]:
    prompts, boxes = _shapes(request)
    return {"prompts": prompts, "box_prompts": boxes, "apply_mask": False, "output_format": "png"}


def _sam3_input(request: SegmentRequest) -> dict[str, Any]:
    prompts, boxes = _shapes(request)
    body: dict[str, Any] = {"prompt": request.prompt} if request.prompt else {}
    body |= {"point_prompts": prompts} if prompts else {}
    body |= {"box_prompts": boxes} if boxes else {}
    # Without it the picture comes back with the mask painted on it.
    return body | {
        "apply_mask": False,
        "return_multiple_masks": True,
        "max_masks": _MAX_MASKS,
        "include_scores": True,
        "output_format": "png",
    }


def _birefnet_input(request: SegmentRequest) -> dict[str, Any]:
    # The cut-out is not used, so that its colours need no work.
    return {
        "model": _model(request.options),
        "operating_resolution": request.option("operating_resolution", "1024x1024"),
        "output_mask": True,
        "refine_foreground": False,
    }


def _model(options: Mapping[str, Any]) -> str:
    return read_text(options.get("model")) or "General Use (Light)"


def _shapes(request: SegmentRequest) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    prompts, boxes = [], []
    for each in request.objects:
        for point in each.points:
            x, y = pixel(point, request.picture.size)
            prompts.append({"x": x, "y": y, "label": int(point.positive)})
        if each.box is not None:
            box = each.box
            corners = {"x_min": box.x1, "y_min": box.y1, "x_max": box.x2, "y_max": box.y2}
            boxes.append({name: round(value) for name, value in corners.items()})
    return prompts, boxes


def parse_answer(answer: Answer, request: SegmentRequest, profile: Profile) -> ParsedAnswer:
    """The pictures of a job's result, which are named by their addresses."""
    body = read_json(answer)
    if not isinstance(body, dict):
        raise unusable("an object is expected")
    pictures = _pictures(body)
    scores = _scores(body, len(pictures))
    reading = _reading(body, request, profile)
    label = "subject" if variant(request.options, profile) == BIREFNET else request.label
    masks = [
        FoundMask(picture_content(picture), reading, label, score)
        for picture, score in zip(pictures, scores, strict=True)
    ]
    return ParsedAnswer(tuple(masks), _info(answer, pictures))


def _info(answer: Answer, pictures: list[Any]) -> CallInfo:
    job = answer.job
    facts = [_facts(picture) for picture in pictures]
    return CallInfo(
        answer.headers.get("x-fal-request-id") or (job.request_id if job else None),
        cost=answer.headers.get("x-fal-billable-units"),
        logs=(job.log if job else ()) or None,
        files=tuple(facts) if any(facts) else None,
    )


def _facts(picture: Any) -> dict[str, str | int]:
    said = {name: picture.get(name) for name in _FACTS} if isinstance(picture, dict) else {}
    texts = {name: shorten(value) for name, value in said.items() if isinstance(value, str)}
    return texts | {name: value for name, value in said.items() if type(value) is int}


def _reading(body: dict[str, Any], request: SegmentRequest, profile: Profile) -> Reading:
    """How the pictures that come back show their masks."""
    own, endpoint = profile.extra_body, variant(request.options, profile)
    if endpoint == BIREFNET:
        return Reading.LUMA if body.get("mask_image") else Reading.ALPHA
    if endpoint == EVF_SAM:
        is_painted = not own.get("mask_only", request.option("mask_only", True))
    else:
        is_painted = bool(own.get("apply_mask", False))
    return Reading.DIFFERENCE if is_painted else Reading.LUMA


def _pictures(body: dict[str, Any]) -> list[Any]:
    """All masks of an answer; each endpoint has a place of its own for them."""
    for key in ("individual_masks", "masks"):
        if isinstance(body.get(key), list):
            return body[key]
    # Beside a mask of its own the image is the cut-out.
    for key in ("mask_image", "image"):
        if body.get(key):
            return [body[key]]
    raise unusable(
        f"image, mask_image, masks or individual_masks is expected, found {', '.join(body)}"
    )


def _scores(body: dict[str, Any], count: int) -> list[float]:
    scores = body.get("scores")
    if not isinstance(scores, list) or len(scores) != count:
        return [1.0] * count
    return [read_score(score) for score in scores]


PROVIDER = Provider(
    key="fal",
    title="fal",
    url=QUEUE_URL,
    key_variables=(("FAL_KEY",), ("FAL_KEY_ID", "FAL_KEY_SECRET")),
    variants=VARIANTS,
    variant=variant,
    fields=FIELDS,
    auth_headers=auth_headers,
    build_request=build_request,
    parse_answer=parse_answer,
    map_error=map_error,
    check_options=check_options,
    limits=ImageLimits(max_bytes=24 * 2**20),
    is_proxied=True,
    key_hosts=(STORAGE_URL,),
    route=route,
    queue=Queue(
        read_ticket, read_status, cancel_request, status_request, result_request, ticket_of
    ),
    upload=Upload(5 * 2**20, start_upload, read_place),
)
