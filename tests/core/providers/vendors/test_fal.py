"""fal: the inputs that only it has, what a job's queue says, proxies, and what is asked again."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import replace

import pytest
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point
from segment_anywhere.core.providers.contract import Profile, ProviderError
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.registry import PROVIDERS
from segment_anywhere.core.providers.reports import summary
from segment_anywhere.core.providers.vendors.fal_queue import QUEUE_URL, STORAGE_URL, read_status
from segment_anywhere.core.providers.wire import Answer

from tests.support.asks import (
    always_uploading,
    ask_for,
    grainy_image,
    run,
    square_image,
    square_mask,
)
from tests.support.overlap import iou
from tests.support.servers import faults

EVF = {"endpoint": "fal-ai/evf-sam", "prompt": "square"}
SUBJECT = {"endpoint": "fal-ai/birefnet/v2"}
CLICK = ObjectPrompt("object 0", (Point(30, 20),))
HOOK = "https://hooks.example.com/fal?who=me&of=a+b"
NGINX = faults.HTML_502


def test_the_masked_image_is_read_from_where_it_differs(serve):
    server = serve("fal")
    segments = run(ask_for(server, "fal", {**EVF, "mask_only": False})).segments
    assert server.received[0].fields["mask_only"] is False
    assert iou(segments.mask(0), square_mask()) > 0.95


@pytest.mark.parametrize(
    ("options", "objects", "own"),
    [
        (EVF, None, {"mask_only": False}),
        ({"endpoint": "fal-ai/sam-3/image", "prompt": "square"}, None, {"apply_mask": True}),
        ({"endpoint": "fal-ai/sam2/image"}, [[CLICK]], {"apply_mask": True}),
    ],
)
def test_the_profile_may_ask_for_the_masked_image_too(serve, options, objects, own):
    server = serve("fal")
    segments = run(ask_for(server, "fal", options, objects, body=own), grainy_image()).segments
    assert own.items() <= server.received[0].fields.items()
    assert iou(segments.mask(0), square_mask()) > 0.95


def test_the_subject_needs_no_prompt(serve):
    server = serve("fal")
    options = {**SUBJECT, "model": "Portrait", "operating_resolution": "2048x2048"}
    segments = run(ask_for(server, "fal", options)).segments
    assert segments.labels == ("subject",)
    assert iou(segments.mask(0), square_mask()) > 0.99
    fields = server.received[0].fields
    assert (fields["model"], fields["operating_resolution"]) == ("Portrait", "2048x2048")
    assert fields.keys() == {
        *("image_url", "model", "operating_resolution", "output_mask", "refine_foreground")
    }


@pytest.mark.parametrize(
    ("options", "objects", "message"),
    [
        ({"prompt": "square"}, None, r"prompt: .*birefnet"),
        ({}, [[CLICK]], r"points: .*birefnet"),
        ({"operating_resolution": "2304x2304"}, None, r"2304x2304 with the model General Use \(L"),
        ({"model": "mine"}, None, "model: found 'mine'; accepted are"),
    ],
)
def test_what_the_subject_is_not_asked_for_with(serve, options, objects, message):
    server = serve("fal")
    with pytest.raises(InputError, match=message):
        run(ask_for(server, "fal", {**SUBJECT, **options}, objects))
    assert server.received == []


def test_the_largest_resolution_is_for_the_model_that_has_it(serve):
    server = serve("fal")
    options = {"model": "General Use (Dynamic)", "operating_resolution": "2304x2304"}
    assert len(run(ask_for(server, "fal", {**SUBJECT, **options})).segments) == 1
    # On other endpoints it stands there unused.
    options = {**EVF, "operating_resolution": "2304x2304"}
    assert len(run(ask_for(server, "fal", options)).segments) == 1
    assert server.received[1].fields.keys() == {"image_url", "prompt", "mask_only"}


def test_a_webhook_is_asked_for_as_fals_client_does(serve):
    server, paid = serve("fal"), Journal()
    run(ask_for(server, "fal", {**EVF, "webhook_url": f" {HOOK} "}), paid=paid)
    assert server.webhooks == [HOOK]
    assert "webhook_url" not in server.received[0].fields
    run(ask_for(server, "fal", {**EVF, "webhook_url": ""}), paid=paid)
    assert server.billed == 2


@pytest.mark.parametrize(
    "address",
    [
        "http://hooks.example.com/",
        "https://me:secret@hooks.example.com/",
        "https://127.0.0.1/hook",
        "https://[::1]/hook",
        "https://10.0.0.7/hook",
        "https://localhost/hook",
        "https://box.local/hook",
        "https://nas/hook",
        "https://hooks.example.com:port/",
        "hooks.example.com",
    ],
)
def test_a_webhook_that_fal_cannot_call_is_refused(serve, address):
    server = serve("fal")
    with pytest.raises(InputError, match="webhook_url: found .*; accepted is a public https"):
        run(ask_for(server, "fal", {**EVF, "webhook_url": address}))
    assert server.received == []


@pytest.mark.parametrize("has_id", [True, False])
def test_info_has_what_the_queue_and_the_result_say(serve, has_id):
    """The id is the ticket's where the result does not name it; kept answers say the same."""
    server, paid = serve("fal", has_id=has_id), Journal()
    ask = ask_for(server, "fal", EVF)
    for is_new in (True, False):
        (call,) = summary(ask, run(ask, paid=paid))["calls"]
        assert call["sent"] is is_new
        assert call["request_id"] == "00000000-0000-4000-8000-000000000000"
        assert call["logs"] == ("loading", "segmenting", "writing")
        (file,) = call["files"]
        size = len(next(iter(server.files.values())))
        wanted = {"content_type": "image/png", "file_name": "mask.png", "file_size": size}
        assert file == wanted


def test_a_log_is_bounded_and_its_newest_line_is_the_jobs():
    lines = [{"message": f"line {number} {'x' * 400}"} for number in range(1000)]
    body = {"status": "IN_PROGRESS", "logs": [*lines, "odd", {"message": 5}, {"message": "last"}]}
    status = read_status(Answer(202, {}, json.dumps(body).encode()))
    assert status.log == "last"
    assert 100 < len(status.logs) <= 200
    assert max(map(len, status.logs)) <= 300


def test_a_picture_without_facts_says_nothing(serve):
    server = serve("fal")
    server.result_faults.append(faults.changed(lambda data: data.replace(b"file_", b"other_")))
    server.result_faults.append(None)
    (call,) = run(ask_for(server, "fal", EVF)).calls
    assert call.info.files == ({"content_type": "image/png"},)


REPEATED = {
    "a gateway's 502": (faults.status(502, NGINX, "text/html"), True),
    "a gateway's 503": (faults.status(503, NGINX, "text/html"), True),
    "a gateway's 504": (faults.status(504, NGINX, "text/html"), True),
    "its 500": (faults.status(500, NGINX, "text/html"), False),
    "another's page": (faults.status(502, "<html>Bad Gateway</html>", "text/html"), False),
    "with fal's id": (faults.status(502, NGINX, "text/html", x_fal_request_id="1"), False),
    "one's own limit": (
        faults.status(504, NGINX, "text/html", x_fal_request_timeout_type="user"),
        False,
    ),
    "fal's own 503": (faults.status(503, '{"detail": "runner"}', x_fal_request_id="1"), False),
}


@pytest.mark.parametrize("name", REPEATED)
def test_a_page_of_the_gateway_alone_means_that_nothing_was_accepted(serve, name):
    fault, is_repeated = REPEATED[name]
    server = serve("fal")
    server.faults.append(fault)
    if is_repeated:
        assert len(run(ask_for(server, "fal", EVF)).segments) == 1
    else:
        with pytest.raises(ProviderError, match="failed on its side|took too long"):
            run(ask_for(server, "fal", EVF))
    assert len(server.received) == 1 + is_repeated
    assert server.billed == is_repeated


@pytest.mark.parametrize(
    ("endpoint", "app"),
    [
        ("fal-ai/evf-sam", "fal-ai/evf-sam"),
        ("fal-ai/sam2/image", "fal-ai/sam2"),
        ("fal-ai/sam-3/image", "fal-ai/sam-3"),
        ("fal-ai/birefnet/v2", "fal-ai/birefnet"),
    ],
)
def test_the_ticket_of_an_earlier_job(serve, endpoint, app):
    """Is the one that its submission gave."""
    fal = PROVIDERS["fal"]
    profile = Profile("fal", "", QUEUE_URL, "key")
    ticket = fal.queue.ticket_of("764cabcf-b745-4b3e", {"endpoint": endpoint}, profile)
    job = f"https://queue.fal.run/{app}/requests/764cabcf-b745-4b3e"
    assert (ticket.status_url, ticket.result_url) == (f"{job}/status", job)
    assert (ticket.cancel_url, ticket.request_id) == (f"{job}/cancel", "764cabcf-b745-4b3e")


@pytest.mark.parametrize("odd", ["", "..", "a/b", "a?b", "a b", "x" * 101, "1\n"])
def test_an_id_that_no_job_has_is_refused(odd):
    fal = PROVIDERS["fal"]
    with pytest.raises(InputError, match="request id: found"):
        fal.queue.ticket_of(odd, {}, Profile("fal", "", QUEUE_URL))


def test_a_proxy_adds_the_key_and_is_told_the_true_addresses(serve):
    server = serve("fal", named=QUEUE_URL)
    ask = always_uploading(ask_for(server, "fal", EVF, secret="", proxy=True))
    ask = replace(ask, profile=replace(ask.profile, url=f"{server.url}/api/fal/proxy"))
    segments = run(ask).segments
    assert iou(segments.mask(0), square_mask()) > 0.95
    job = f"{QUEUE_URL}/fal-ai/evf-sam/requests/00000000-0000-4000-8000-000000000000"
    assert list(dict.fromkeys(server.proxied)) == [
        f"{STORAGE_URL}/storage/upload/initiate?storage_type=fal-cdn-v3",
        f"{QUEUE_URL}/fal-ai/evf-sam",
        f"{job}/status?logs=1",
        job,
    ]
    assert server.leaks == []


def test_a_proxy_is_not_asked_for_what_is_not_fals(serve):
    server = serve("fal", mode="off_origin")
    ask = ask_for(server, "fal", EVF, secret="", proxy=True)
    ask = replace(ask, profile=replace(ask.profile, url=f"{server.url}/api/fal/proxy"))
    with pytest.raises(ProviderError, match="127.0.0.2 that would get the key"):
        run(ask)


def test_behind_a_gateway_jobs_are_asked_for_there(serve):
    """Though the tickets that pass through it name fal's own address."""
    server = serve("fal", named=QUEUE_URL)
    assert len(run(ask_for(server, "fal", EVF), square_image(2)).segments) == 2
    assert server.billed == 2


def test_a_good_answer_of_the_gateway_is_paid_once(serve):
    server = serve("fal")
    server.faults = deque([faults.status(502, NGINX, "text/html"), None] * 2)
    assert len(run(ask_for(server, "fal", EVF), square_image(2)).segments) == 2
    assert server.billed == 2
