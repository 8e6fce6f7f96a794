"""AI Refinery: points by object, what goes along with a call, and who calls."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point
from segment_anywhere.core.providers.reports import summary

from tests.support.asks import ask_for, run, square_image, square_mask
from tests.support.overlap import iou
from tests.support.servers import KEY

TWICE = ObjectPrompt("object 0", (Point(30, 20), Point(40, 30)), number=0)
SMALL = ObjectPrompt("object 1", (Point(8, 40),), number=1)


def test_each_object_has_a_list_of_its_own(serve):
    """The provider's own grouping, as the node's points have it."""
    server = serve("airefinery")
    image = square_image()
    image[:, 38:46, 4:16] = torch.tensor([0.9, 0.8, 0.1])
    segments = run(ask_for(server, "airefinery", {}, [[TWICE, SMALL]]), image).segments
    assert server.received[0].fields["segment_prompt"] == [[[30, 20], [40, 30]], [[8, 40]]]
    assert segments.labels == ("object 0", "object 1")
    assert iou(segments.mask(0), square_mask()) > 0.95
    assert segments.boxes[1].tolist() == pytest.approx([4, 38, 16, 46], abs=1)


def test_further_keywords_go_where_the_sdk_puts_them(serve):
    """segment(..., n=1, user="me", extra_body={...}): the first two at the top level."""
    server = serve("airefinery")
    own = {"n": 1, "size": "1024x1024", "user": "me", "extra_body": {"seed": 7}}
    run(ask_for(server, "airefinery", body=own))
    fields = server.received[0].fields
    assert own.items() <= fields.items()
    assert fields.keys() - own.keys() == {"model", "image_prompt", "segment_prompt"}


def test_without_them_extra_body_is_null_as_the_sdk_sends_it(serve):
    server = serve("airefinery")
    run(ask_for(server, "airefinery"))
    assert server.received[0].fields["extra_body"] is None


def test_extra_headers_go_before_our_own(serve):
    server = serve("airefinery")
    run(ask_for(server, "airefinery", headers={"X-Team": "vision", "sdk_version": "1.33.2"}))
    assert server.received[0].headers["X-Team"] == "vision"
    assert server.received[0].headers["sdk_version"] == "1.33.2"


def test_info_says_when_and_what_was_used(serve):
    server = serve("airefinery")
    ask = ask_for(server, "airefinery")
    (call,) = summary(ask, run(ask))["calls"]
    assert call["created"] == 1730000000
    assert call["usage"]["total_tokens"] == 7


@pytest.mark.parametrize(("account", "sent"), [("", None), ("team-7", "team-7")])
def test_an_account_goes_along_and_the_key_is_the_token(serve, account, sent):
    server = serve("airefinery")
    run(ask_for(server, "airefinery", account=account))
    headers = server.received[0].headers
    assert headers.get("airefinery_account") == sent
    assert headers["Authorization"] == f"Bearer {KEY}"
    # A login would only validate the key, which the call itself does.
    assert server.logins == []


@pytest.mark.parametrize("account", ["team\r\nX-Other: 1", "té"])
def test_an_account_that_no_header_carries_is_refused(serve, account):
    server = serve("airefinery")
    with pytest.raises(InputError, match="account: .*Correct it in providers.toml"):
        run(ask_for(server, "airefinery", account=account))
    assert server.received == []


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("", "/v1/images/segmentations"),
        ("/v1", "/v1/images/segmentations"),
        ("/inference", "/inference/images/segmentations"),
    ],
)
def test_the_path_is_that_of_the_sdk(serve, base, path):
    """Hosts that end in /inference are of the SDK before 1.16, whose login() added it."""
    server = serve("airefinery")
    ask = ask_for(server, "airefinery")
    ask = replace(ask, profile=replace(ask.profile, url=server.url + base))
    assert len(run(ask).segments) == 1
    assert server.received[0].path == path
