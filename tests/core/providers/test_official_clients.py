"""The vendors' own clients against the loopback servers, beside what our adapters send.

A server that suits only our adapter would prove nothing: what the official clients send must be
taken too, and mean the same.
"""

from __future__ import annotations

import base64
import io

import fal_client
import numpy as np
import pytest
import segmind
from huggingface_hub import InferenceClient
from PIL import Image
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point
from segment_anywhere.core.providers.images import encode_picture, frame_pixels
from segment_anywhere.core.providers.registry import PROVIDERS

from tests.support.asks import ask_for, run, square_image, square_mask
from tests.support.servers import KEY

CLICK = ObjectPrompt("object 0", (Point(30, 20),))


@pytest.fixture
def png() -> bytes:
    """The test image as our adapters send it."""
    return encode_picture(frame_pixels(square_image()[0]), PROVIDERS["fal"].limits).data


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
