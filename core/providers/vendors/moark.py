"""Gitee AI / MoArk sam3, /v1/images/segmentation: words, or nothing for everything, to instances.

Source: the vendor's "Image Segmentation" page. Masks are COCO run lengths, see core/results/rle.py.
"""

from __future__ import annotations

from typing import Any

from ..answers import read_json, read_score, read_text, read_whole, run_length_mask, unusable
from ..contract import Features, Profile, Provider, SegmentRequest
from ..failures import stated_error, status_failure
from ..fields import IMAGE_URL, prompt_field
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
    shorten,
)

_PATH = "/v1/images/segmentation"
# "The token is bound to no resource package": nothing was bought yet, or it is used up.
_NO_PACKAGE = "资源包"


def auth_headers(profile: Profile) -> dict[str, str]:
    """The key as a bearer token."""
    return {"Authorization": f"Bearer {profile.key}"}


def build_request(request: SegmentRequest, profile: Profile) -> HttpRequest:
    """A form; JSON loses its files there without a word."""
    picture = request.picture
    if request.picture_url:
        image = FormPart("image", request.picture_url)
    else:
        image = FormPart("image", picture.data, picture.file_name, picture.mime)
    model = FormPart("model", profile.setting("model", "sam3"))
    parts = [image, model, FormPart("prompt", request.prompt)]
    parts += [FormPart(name, str(value)) for name, value in profile.extra_body.items()]
    return HttpRequest("POST", profile.url + _PATH, form=tuple(parts))


def parse_answer(answer: Answer, request: SegmentRequest, profile: Profile) -> ParsedAnswer:
    """The masks of the list `segments`, as run lengths of the picture's size.

    What was paid for is used though `num_segments` counts otherwise; the info then says so.
    """
    body = read_json(answer)
    if not isinstance(body, dict) or not isinstance(body.get("segments"), list):
        failure = stated_error(answer, body)
        if failure is not None:
            raise CallFailed(_with_credits(failure))
        raise unusable("an object with a list named segments is expected")
    masks = []
    for entry in body["segments"]:
        if not isinstance(entry, dict):
            raise unusable("segments holds something that is no object")
        _check_encoding(entry.get("mask"))
        mask = run_length_mask(entry.get("mask"), request.picture.size)
        label = read_text(entry.get("label")) or request.label
        masks.append(FoundMask(mask, label=label, score=read_score(entry.get("confidence"))))
    return ParsedAnswer(tuple(masks), _info(answer, body))


def _check_encoding(mask: Any) -> None:
    encoding = mask.get("encoding") if isinstance(mask, dict) else None
    if encoding and "rle" not in str(encoding).lower():
        raise unusable(
            f"a mask's encoding is rle, run lengths as in COCO, found {shorten(repr(encoding))}"
        )


def _info(answer: Answer, body: dict[str, Any]) -> CallInfo:
    count, listed = read_whole(body.get("num_segments")), len(body["segments"])
    note = f"num_segments says {count}, but {listed} were listed"
    ids = [each.get("id") for each in body["segments"]]
    said = tuple(shorten(each) if isinstance(each, str) else read_whole(each) for each in ids)
    return CallInfo(
        answer.headers.get("x-request-id"),
        num_segments=count,
        ids=said if any(each is not None for each in said) else None,
        notes=None if count in (None, listed) else (note,),
    )


def map_error(answer: Answer) -> Failure | None:
    """What the status says; a token without a resource package has no credits."""
    failure = status_failure(answer)
    return failure and _with_credits(failure)


def _with_credits(failure: Failure) -> Failure:
    if _NO_PACKAGE in failure.detail:
        return Failure(FailureKind.CREDITS, failure.detail, failure.status)
    return failure


PROVIDER = Provider(
    key="moark",
    title="MoArk",
    url="https://ai.gitee.com",
    key_variables=(("GITEE_AI_API_KEY",), ("MOARK_API_KEY",)),
    variants={
        "": Features(text=True, everything=True, several=True, names_phrases=True, scores=True)
    },
    fields=(
        prompt_field("Classes, separated by commas: dog,cat. Empty segments everything."),
        IMAGE_URL,
    ),
    auth_headers=auth_headers,
    build_request=build_request,
    parse_answer=parse_answer,
    map_error=map_error,
)
