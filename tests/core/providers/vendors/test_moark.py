"""MoArk: what it counts and names, and how it says that its masks are written."""

from __future__ import annotations

import json

import pytest
import torch
from segment_anywhere.core.providers.contract import ProviderError
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.reports import summary

from tests.support.asks import ask_for, run, square_image, square_mask
from tests.support.overlap import iou
from tests.support.servers import faults


def told(server, image=None, options=None) -> dict:
    """What info says of the one call."""
    ask = ask_for(server, "moark", options)
    (call,) = summary(ask, run(ask, image))["calls"]
    return call


def test_info_has_its_count_and_its_ids(serve):
    image = square_image()
    image[:, 38:46, 4:16] = torch.tensor([0.9, 0.8, 0.1])
    call = told(serve("moark"), image, {"prompt": "square,dot"})
    assert (call["num_segments"], call["ids"]) == (2, (1, 2))
    assert "notes" not in call


@pytest.mark.parametrize("more", [-1, 2])
def test_a_count_that_is_not_the_lists_is_said_and_nothing_is_lost(serve, more):
    server = serve("moark", counted=more)
    call = told(server)
    assert call["num_segments"] == 1 + more
    assert call["notes"] == (f"num_segments says {1 + more}, but 1 were listed",)
    assert server.billed == 1


@pytest.mark.parametrize("odd", [None, "3", 2.5, True, [1]])
def test_a_count_that_is_none_says_nothing(serve, odd):
    def change(data: bytes) -> bytes:
        body = json.loads(data) | {"num_segments": odd}
        body["segments"][0]["id"] = odd if isinstance(odd, list) else None
        return json.dumps(body).encode()

    server = serve("moark")
    server.faults.append(faults.changed(change))
    assert not {"num_segments", "ids", "notes"} & told(server).keys()


@pytest.mark.parametrize("encoding", ["rle", "RLE", "coco_rle", ""])
def test_encodings_that_are_run_lengths(serve, encoding):
    segments = run(ask_for(serve("moark", encoding=encoding), "moark")).segments
    assert iou(segments.mask(0), square_mask()) > 0.95


def test_an_encoding_that_nobody_knows_is_named_and_the_answer_is_kept(serve):
    server, paid = serve("moark", encoding="png"), Journal()
    ask = ask_for(server, "moark")
    with pytest.raises(ProviderError, match="encoding is rle, .*found 'png'.*The answer is kept"):
        run(ask, paid=paid)
    assert len(paid.results()) == 1
