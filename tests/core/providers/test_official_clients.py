"""The vendors' own clients against the loopback servers, beside what our adapters send.

A server that suits only our adapter would prove nothing: what the official clients send must be
taken too, and mean the same.
"""

from __future__ import annotations

import base64
import contextlib
import io

import fal_client
import numpy as np
import pytest
import segmind
from huggingface_hub import InferenceClient
from PIL import Image
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point
from segment_anywhere.core.providers.contract import Profile, ProviderError
from segment_anywhere.core.providers.images import encode_picture, frame_pixels
from segment_anywhere.core.providers.registry import PROVIDERS

from tests.support.asks import ask_for, run, square_image, square_mask
from tests.support.servers import KEY, faults

CLICK = ObjectPrompt("object 0", (Point(30, 20),))


@pytest.fixture
def png() -> bytes:
    """The test image as our adapters send it."""
    return encode_picture(frame_pixels(square_image()), PROVIDERS["fal"].limits).data


def is_square(data: bytes) -> bool:
    mask = np.asarray(Image.open(io.BytesIO(data)).convert("L")) > 127
    return (mask & square_mask()).sum() / (mask | square_mask()).sum() > 0.9


def same_fields(server) -> bool:
    """Whether the last two requests are equal."""
    first, second = server.received[-2:]
    return (first.path, first.kind, first.fields) == (second.path, second.kind, second.fields)


@pytest.fixture
def fal(serve, monkeypatch):
    """fal's client, pointed at a loopback server."""
    server = serve("fal")
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{server.url}/")
    monkeypatch.setattr(fal_client.client, "REST_URL", server.url)
    return server, fal_client.SyncClient(key=KEY)


def test_fals_client_goes_through_the_queue_as_we_do(fal, png):
    server, client = fal
    uri = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    seen = []
    arguments = {"prompt": "square", "mask_only": True, "image_url": uri}
    result = client.subscribe(
        "fal-ai/evf-sam",
        arguments=arguments,
        with_logs=True,
        on_queue_update=lambda status: seen.append(type(status).__name__),
    )
    assert is_square(server.files[result["image"]["url"].rpartition("/")[2]])
    assert dict.fromkeys(seen) == dict.fromkeys(("Queued", "InProgress", "Completed"))
    run(ask_for(server, "fal"))
    assert same_fields(server)


@pytest.mark.parametrize("endpoint", ["fal-ai/sam2/image", "fal-ai/sam-3/image"])
def test_fals_client_finds_jobs_of_the_siblings(fal, png, endpoint):
    """Whose names have a third part that their jobs' addresses leave out."""
    server, client = fal
    run(ask_for(server, "fal", {"endpoint": endpoint}, [[CLICK]]))
    fields = server.received[-1].fields
    output = client.submit(endpoint, arguments=fields).get()
    (mask,) = output.get("masks", [output.get("image")])
    assert is_square(server.files[mask["url"].rpartition("/")[2]])
    assert same_fields(server)


def test_fals_client_finds_the_subject_as_we_do(fal):
    server, client = fal
    run(ask_for(server, "fal", {"endpoint": "fal-ai/birefnet/v2"}))
    output = client.submit("fal-ai/birefnet/v2", arguments=server.received[-1].fields).get()
    assert is_square(server.files[output["mask_image"]["url"].rpartition("/")[2]])
    assert same_fields(server)


def test_fals_client_asks_for_a_webhook_as_we_do(fal, png):
    server, client = fal
    uri = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    hook = "https://hooks.example.com/fal?who=me&of=a+b"
    arguments = {"prompt": "square", "mask_only": False, "image_url": uri}
    client.submit("fal-ai/evf-sam", arguments=arguments, webhook_url=hook)
    run(ask_for(server, "fal", {"prompt": "square", "mask_only": False, "webhook_url": hook}))
    assert server.webhooks == [hook, hook]
    assert same_fields(server)


@pytest.mark.parametrize("endpoint", ["fal-ai/evf-sam", "fal-ai/sam2/image"])
def test_fals_client_finds_earlier_jobs_where_we_do(fal, endpoint):
    server, client = fal
    handle = client.get_handle(endpoint, "764cabcf-b745")
    profile = Profile("fal", "", server.url, KEY)
    ticket = PROVIDERS["fal"].queue.ticket_of("764cabcf-b745", {"endpoint": endpoint}, profile)
    assert (handle.status_url, handle.response_url) == (ticket.status_url, ticket.result_url)
    assert handle.cancel_url == ticket.cancel_url


@pytest.mark.parametrize(
    ("code", "headers", "is_repeated"),
    [
        (502, {}, True),
        (503, {}, True),
        (504, {}, True),
        (500, {}, False),
        (502, {"x_fal_request_id": "1"}, False),
        (504, {"x_fal_request_timeout_type": "user"}, False),
    ],
)
def test_fals_client_repeats_what_we_repeat(fal, code, headers, is_repeated):
    server, client = fal
    page = faults.status(code, faults.HTML_502, "text/html", **headers)
    server.faults.append(page)
    arguments = {"prompt": "square", "image_url": "data:,"}
    with contextlib.suppress(fal_client.FalClientHTTPError):
        client.submit("fal-ai/evf-sam", arguments=arguments)
    assert len(server.received) == 1 + is_repeated
    server.faults.append(page)
    with contextlib.suppress(ProviderError):
        run(ask_for(server, "fal"))
    assert len(server.received) == 2 * (1 + is_repeated)


def test_fals_client_cancels_a_job(fal):
    server, client = fal
    server.mode = "never_completes"
    handle = client.submit("fal-ai/evf-sam", arguments={"prompt": "a", "image_url": "data:,"})
    handle.cancel()
    assert [job.is_cancelled for job in server.jobs.values()] == [True]


def test_fals_client_reads_an_error(fal):
    _, client = fal
    with pytest.raises(fal_client.FalClientHTTPError, match="Field required"):
        client.submit("fal-ai/evf-sam", arguments={"image_url": "data:,"})


@pytest.fixture
def segminds(serve):
    """Segmind's client, pointed at a loopback server."""
    server = serve("segmind")
    return server, segmind.SegmindClient(api_key=KEY, base_url=f"{server.url}/v1")


@pytest.mark.parametrize(
    ("options", "objects", "own"),
    [
        ({"prompt": "square"}, None, {"prompt": "square"}),
        ({}, [[CLICK]], {"coordinates": "[30,20]"}),
    ],
)
def test_segminds_client_sends_what_we_send(segminds, png, options, objects, own):
    server, client = segminds
    image = base64.b64encode(png).decode()
    response = client.run_sync("sam-v2-image", image=image, base64=False, overlay_mask=False, **own)
    assert is_square(response.content)
    assert response.headers["x-remaining-credits"] == "99.5"
    run(ask_for(server, "segmind", options, objects))
    assert same_fields(server)


def test_segminds_client_sends_its_switches_as_we_do(segminds, png):
    server, client = segminds
    own = {"overlay_mask": True, "base64": True, "prompt": "square"}
    response = client.run_sync("sam-v2-image", image=base64.b64encode(png).decode(), **own)
    assert response.json().keys() == {"image"}
    run(ask_for(server, "segmind", own))
    assert same_fields(server)


def test_segminds_client_reads_an_error(segminds):
    _, client = segminds
    with pytest.raises(
        segmind.exceptions.SegmindError, match="Provide either prompt or coordinates"
    ):
        client.run_sync("sam-v2-image", image=base64.b64encode(_plain()).decode())


def _plain() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    return stream.getvalue()


def test_hugging_faces_client_sends_the_same_bytes(serve, png):
    server = serve("custom", needs_key=True)
    client = InferenceClient(token=KEY)
    found = client.image_segmentation(png, model=f"{server.url}/models/owner/model")
    assert [each.label for each in found] == ["LABEL_0"]
    mask = found[0].mask
    assert (np.asarray(mask.convert("L")) > 127).sum() == square_mask().sum()
    run(ask_for(server, "custom", {}, dialect="huggingface", model="owner/model"))
    ours, theirs = server.received[-1], server.received[-2]
    assert ours.fields == theirs.fields == png
    assert ours.path == theirs.path
