"""fal: EVF-SAM2 and its siblings, behind fal's queue (submit, status, result, cancel).

Sources: the vendor's "EVF-SAM2 Segmentation" page; fal-client 1.0.3 and @fal-ai/client 1.10.1 for
the queue, storage, headers and errors; the endpoints' types in @fal-ai/client for the siblings.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...errors import InputError
from ..answers import picture_content, read_json, read_score, read_text, unusable
from ..contract import Features, ImageLimits, Profile, Provider, Queue, SegmentRequest, Upload
from ..failures import error_text, status_failure
from ..fields import (
    IMAGE_URL,
    POINTS,
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
    Failure,
    FailureKind,
    FoundMask,
    HttpRequest,
    JobStatus,
    ParsedAnswer,
    Picture,
    Ticket,
    Url,
    shorten,
)

QUEUE_URL = "https://queue.fal.run"
STORAGE_URL = "https://rest.fal.ai"
EVF_SAM = "fal-ai/evf-sam"
SAM2 = "fal-ai/sam2/image"
SAM2_AUTO = "fal-ai/sam2/auto-segment"
SAM3 = "fal-ai/sam-3/image"

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
}
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
        "nothing, and finds everything; sam-3/image words, points and boxes.",
    ),
    prompt_field("What to segment."),
    TextField(name="negative_prompt", tooltip="What to take away from it. evf-sam only."),
    POINTS,
    *_EVF_SAM_FIELDS,
    IMAGE_URL,
)
_MAX_MASKS = 32
_WAITING = {"IN_QUEUE", "IN_PROGRESS"}
_BALANCE_WORDS = ("balance", "locked", "top up", "billing")


def variant(options: Mapping[str, Any], profile: Profile) -> str:
    """The endpoint that is chosen on the node."""
    endpoint = read_text(options.get("endpoint")) or EVF_SAM
    return endpoint if endpoint in VARIANTS else EVF_SAM


def check_options(options: Mapping[str, Any], profile: Profile) -> None:
    """Raise InputError for a blur that is not odd."""
    blur = options.get("blur_mask") or 0
    if blur and blur % 2 == 0:
        raise InputError(
            f"blur_mask: found {blur}; accepted are 0 (off) and odd numbers, for it is the side of "
            f"a kernel with a centre. Use {blur + 1}."
        )


def auth_headers(profile: Profile) -> dict[str, str]:
    """The key under fal's own scheme."""
    return {"Authorization": f"Key {profile.key}"}


def build_request(request: SegmentRequest, profile: Profile) -> HttpRequest:
    """What submits the job to the endpoint's queue."""
    endpoint = variant(request.options, profile)
    builders = {EVF_SAM: _evf_input, SAM2: _sam2_input, SAM3: _sam3_input}
    body: dict[str, Any] = {"image_url": request.picture_url or _data_uri(request.picture)}
    if endpoint in builders:
        body |= builders[endpoint](request)
    return HttpRequest("POST", f"{profile.url}/{endpoint}", json=body | profile.extra_body)


def _data_uri(picture: Picture) -> str:
    return f"data:{picture.mime};base64,{base64.b64encode(picture.data).decode('ascii')}"


def _evf_input(request: SegmentRequest) -> dict[str, Any]:
    """What is off or empty is left out."""
    body: dict[str, Any] = {"prompt": request.prompt, "mask_only": True}
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
    info = CallInfo(
        answer.headers.get("x-fal-request-id"), cost=answer.headers.get("x-fal-billable-units")
    )
    pictures = _pictures(body)
    scores = _scores(body, len(pictures))
    masks = [
        FoundMask(picture_content(picture), label=request.label, score=score)
        for picture, score in zip(pictures, scores, strict=True)
    ]
    return ParsedAnswer(tuple(masks), info)


def _pictures(body: dict[str, Any]) -> list[Any]:
    """All masks of an answer; each endpoint has a place of its own for them."""
    for key in ("individual_masks", "masks"):
        if isinstance(body.get(key), list):
            return body[key]
    if body.get("image"):
        return [body["image"]]
    raise unusable(f"image, masks or individual_masks is expected, found {', '.join(body)}")


def _scores(body: dict[str, Any], count: int) -> list[float]:
    scores = body.get("scores")
    if not isinstance(scores, list) or len(scores) != count:
        return [1.0] * count
    return [read_score(score) for score in scores]


def map_error(answer: Answer) -> Failure | None:
    """What the status says, and fal's own marks: an empty account, what may be repeated."""
    failure = status_failure(answer)
    if failure is None:
        return None
    kind = failure.kind
    if answer.status == 403 and any(word in failure.detail.lower() for word in _BALANCE_WORDS):
        kind = FailureKind.CREDITS
    marks = (answer.headers.get(f"x-fal-{name}", "") for name in ("retryable", "needs-retry"))
    is_marked = any(mark.lower() in ("true", "1") for mark in marks)
    may_repeat = failure.may_repeat or (is_marked and answer.status not in (422, 504))
    return replace(failure, kind=kind, may_repeat=may_repeat)


def read_ticket(answer: Answer) -> Ticket:
    """Where the job that was submitted is; raises CallFailed where an address is missing."""
    body = read_json(answer)
    names = ("request_id", "status_url", "response_url", "cancel_url")
    values = [read_text(body.get(name)) if isinstance(body, dict) else "" for name in names]
    if not all(values):
        raise unusable(f"a job with {', '.join(names)} is expected")
    return Ticket(*values)


def read_status(answer: Answer) -> JobStatus:
    """How far a job is; raises CallFailed for a status that the queue does not have."""
    body = read_json(answer)
    status = read_text(body.get("status")) if isinstance(body, dict) else ""
    if status == "COMPLETED":
        # A job that failed is COMPLETED too, with an error beside it.
        detail = error_text(answer) if body.get("error") else ""
        return JobStatus(True, failure=Failure(FailureKind.SERVER, detail) if detail else None)
    if status not in _WAITING:
        raise unusable(f"a job is IN_QUEUE, IN_PROGRESS or COMPLETED, found {status!r}")
    logs = body.get("logs") or []
    last = logs[-1] if isinstance(logs, list) and logs else {}
    position = body.get("queue_position")
    return JobStatus(
        False,
        position if type(position) is int else None,
        shorten(read_text(last.get("message"))) if isinstance(last, dict) else "",
    )


def status_request(ticket: Ticket) -> HttpRequest:
    """Asks after a job, with its log."""
    return HttpRequest("GET", f"{ticket.status_url}?logs=1")


def result_request(ticket: Ticket) -> HttpRequest:
    """Fetches the result of a job that is done."""
    return HttpRequest("GET", ticket.result_url)


def cancel_request(ticket: Ticket) -> HttpRequest:
    """Takes a job back, which it may not be any more."""
    return HttpRequest("PUT", ticket.cancel_url)


def start_upload(picture: Picture, profile: Profile) -> HttpRequest:
    """Ask for a place in fal's storage; behind a gateway, at the gateway."""
    host = STORAGE_URL if profile.url == QUEUE_URL else profile.url
    url = f"{host}/storage/upload/initiate?storage_type=fal-cdn-v3"
    body = {"content_type": picture.mime, "file_name": picture.file_name}
    return HttpRequest("POST", url, json=body)


def read_place(answer: Answer) -> tuple[Url, Url]:
    """Where to put the file and where it will be; raises CallFailed where one is missing."""
    body = read_json(answer)
    names = ("upload_url", "file_url")
    places = [read_text(body.get(name)) if isinstance(body, dict) else "" for name in names]
    if not all(places):
        raise unusable("upload_url and file_url are expected")
    return Url(places[0]), Url(places[1])


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
    key_hosts=(STORAGE_URL,),
    queue=Queue(read_ticket, read_status, cancel_request, status_request, result_request),
    upload=Upload(5 * 2**20, start_upload, read_place),
)
