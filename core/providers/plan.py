"""The calls of a run, worked out before the first is sent: what is asked for, and which are paid.

A call is told by the pixels of its image and by the request without it, so that nothing has to be
encoded to know that its answer is there.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..errors import InputError
from .batch import BatchRequest
from .contract import SegmentRequest
from .images import largest_size, scale_objects
from .journal import Entry, Journal, Kind
from .wire import Picture


@dataclass(frozen=True)
class PlannedCall:
    """One call of a frame.

    place: which of the frame's calls. request: all of it but the picture, in
    place of which stands the hash of the pixels. is_unwanted: what it finds is taken away.
    job: the id of a job whose result is fetched instead, "" to send it. entry: where its answer is
    kept.
    """

    frame: int
    place: int
    request: SegmentRequest
    entry: Entry
    is_unwanted: bool = False
    job: str = ""

    @property
    def slot(self) -> tuple[int, int]:
        return self.frame, self.place

    def is_paid(self) -> bool:
        """Whether it costs nothing: its answer is kept, or a job of it is under way."""
        return bool(self.job) or any(map(self.entry.has, Kind))

    def with_picture(self, picture: Picture) -> SegmentRequest:
        """The request with the picture that is sent, and with prompts in its pixels."""
        objects = scale_objects(self.request.objects, self.request.picture.size, picture.size)
        return replace(self.request, picture=picture, objects=objects)


def plan_frame(
    asked: BatchRequest, frame: int, pixels: NDArray[np.uint8], journal: Journal
) -> list[PlannedCall]:
    """The calls for one frame: none where nothing is asked for; one for each phrase and object.

    pixels: [H, W, 3] uint8.
    """
    height, width = pixels.shape[:2]
    size = largest_size((height, width), asked.provider.limits)
    # Of 128 bits, in a fraction of SHA-256's time: nobody gains by two equal ones.
    digest = xxhash.xxh3_128(repr(pixels.shape).encode())
    digest.update(pixels.data)
    picture = Picture(digest.digest(), "image/png", size)
    objects = scale_objects(asked.objects[frame], (height, width), size)
    base = SegmentRequest(
        picture, asked.picture_url, "", asked.negative_prompt, options=asked.options
    )
    groups = _groups(asked, objects)
    wanted = [replace(base, prompt=words, objects=group) for words, group in groups]
    unwanted: list[SegmentRequest] = []
    if wanted:
        unwanted = [replace(base, prompt=words) for words in asked.unwanted_phrases]
    calls = []
    for place, request in enumerate([*wanted, *unwanted]):
        entry = Entry(journal, _key(asked, request))
        calls.append(PlannedCall(frame, place, request, entry, place >= len(wanted)))
    return calls


def _groups(asked: BatchRequest, objects: tuple) -> list[tuple[str, tuple]]:
    """Words and prompts that go into one call together.

    Beside points and boxes the words stay whole: nobody could say to which phrase these belong.
    """
    features = asked.features
    if any(each.is_wanted for each in objects):
        groups = [objects] if features.joins_objects else [(each,) for each in objects]
        return [(asked.prompt, group) for group in groups]
    if asked.phrases:
        # Points that are not wanted go with every phrase.
        return [(phrase, objects) for phrase in asked.phrases]
    return [("", ())] if features.everything or features.subject else []


def _key(asked: BatchRequest, request: SegmentRequest) -> str:
    http = asked.provider.build_request(request, asked.profile)
    # What the profile adds to each request may change the answer, too.
    added = {"headers": asked.profile.extra_headers, "account": asked.profile.setting("account")}
    digest = hashlib.sha256(json.dumps(added, sort_keys=True).encode()).hexdigest()
    return f"{asked.provider.key}:{http.fingerprint()}:{digest}:{asked.salt}"


def resumed(asked: BatchRequest, calls: list[PlannedCall]) -> list[PlannedCall]:
    """The same calls as the results of the jobs that are named, one for each.

    Raises InputError where there are not as many.
    """
    if not asked.resume:
        return calls
    if len(asked.resume) != len(calls):
        raise InputError(
            f"resume: found {len(asked.resume)} ids for {len(calls)} calls; accepted is one id for "
            "each, image by image, as info lists them. Complete the list, or empty it."
        )
    return [
        replace(call, job=job, entry=replace(call.entry, key=f"{asked.provider.key}:job:{job}"))
        for call, job in zip(calls, asked.resume, strict=True)
    ]


def check_number(asked: BatchRequest, calls: list[PlannedCall]) -> int:
    """How many calls have to be paid; raises InputError where that is more than `max_calls`."""
    # Equal requests, such as those of equal frames, are sent once.
    unpaid = len({call.entry.key for call in calls if not call.is_paid()})
    if asked.max_calls and unpaid > asked.max_calls:
        raise InputError(
            f"max_calls: found {asked.max_calls}, but this run would send {unpaid} calls; "
            f"nothing was sent. Raise it to {unpaid}, or give fewer images, phrases or objects."
        )
    return unpaid
