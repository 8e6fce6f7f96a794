"""How answers are read: once, beside the event loop, and with no surprise for other images."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace

import pytest
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point
from segment_anywhere.core.providers.contract import ProviderError
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.runs import Hooks
from segment_anywhere.core.providers.scheduler import RunLimits

from tests.support.asks import QUICK, always_uploading, ask_for, run, square_image
from tests.support.servers import SERVERS, faults

ONE = RunLimits(1, 20.0, QUICK.transport)
OBJECTS = [[ObjectPrompt("object 0", (Point(30, 20),)), ObjectPrompt("object 1", (Point(8, 40),))]]


class Spied:
    """A function that notes in which thread it is called, and breaks when it is told to."""

    def __init__(self, function, breaks=frozenset()):
        self.function = function
        self.breaks = breaks
        self.threads = []
        # Of calls; several threads may draw from it.
        self.numbers = itertools.count(1)

    def __call__(self, *args):
        self.threads.append(threading.get_ident())
        if next(self.numbers) in self.breaks:
            raise TypeError("unhashable type: 'list'")
        return self.function(*args)


def with_parser(ask, parse):
    return replace(ask, provider=replace(ask.provider, parse_answer=parse))


@pytest.mark.parametrize("key", SERVERS)
def test_an_answer_is_parsed_once_per_call_and_not_in_the_loop(serve, key):
    server, paid = serve(key), Journal()
    ask = ask_for(server, key)
    parse = Spied(ask.provider.parse_answer)
    ask = with_parser(ask, parse)
    assert len(run(ask, square_image(3), paid=paid).segments) == 3
    assert len(parse.threads) == 3
    # What is in memory is read again, once.
    run(ask, square_image(3), paid=paid)
    assert len(parse.threads) == 6
    # The loop is in this thread.
    assert threading.get_ident() not in parse.threads


def test_the_interrupt_is_looked_for_while_an_answer_is_parsed(serve):
    server, looked = serve("segmind"), threading.Event()
    ask, seen = ask_for(server, "segmind"), []
    parsing = threading.Event()

    def parse(*args):
        parsing.set()
        # Nothing sets it while the loop stands still.
        seen.append(looked.wait(10))
        return ask.provider.parse_answer(*args)

    def pause():
        if parsing.is_set():
            looked.set()

    run(with_parser(ask, parse), hooks=Hooks(pause, lambda done, total, text: None))
    assert seen == [True]


@pytest.mark.parametrize("key", [key for key in SERVERS if key != "fal"])
def test_what_nobody_expected_of_an_answer_is_the_failure_of_its_image(serve, key):
    """Kept, so that a pack that expects it reads it without another call."""
    server, paid = serve(key), Journal()
    ask = ask_for(server, key)
    broken = with_parser(ask, Spied(ask.provider.parse_answer, breaks={2}))
    with pytest.raises(ProviderError) as caught:
        run(broken, square_image(3), paid=paid)
    message = str(caught.value)
    assert message.startswith(ask.title)
    assert "1 of 3 images failed" in message
    assert "nobody expected (TypeError: unhashable type: 'list'). The answer is kept" in message
    result = run(ask, square_image(3), paid=paid)
    assert result.segments.frames.tolist() == [0, 1, 2]
    assert not any(call.is_new for call in result.calls)
    assert server.billed == 3


def test_an_answer_of_a_queue_that_nobody_expected_is_fetched_again(serve):
    """It costs nothing; only what stays unreadable is a failure."""
    server, paid = serve("fal"), Journal()
    ask = ask_for(server, "fal")
    run(with_parser(ask, Spied(ask.provider.parse_answer, breaks={2})), square_image(3), paid=paid)
    parse = Spied(ask.provider.parse_answer, breaks={2, 4, 5, 6, 7})
    broken = with_parser(replace(ask, salt="1"), parse)
    with pytest.raises(ProviderError, match="1 of 3 .*nobody expected.*The answer is kept"):
        run(broken, square_image(3), limits=ONE, paid=paid)
    result = run(replace(ask, salt="1"), square_image(3), paid=paid)
    assert not any(call.is_new for call in result.calls)
    assert server.billed == 6


def test_a_status_that_nobody_expected_is_asked_for_again(serve):
    server = serve("fal")
    ask = ask_for(server, "fal")
    queue = replace(ask.provider.queue, read_status=Spied(ask.provider.queue.read_status, {2}))
    broken = replace(ask, provider=replace(ask.provider, queue=queue))
    assert len(run(broken, square_image(3)).segments) == 3
    assert server.billed == 3


def test_a_ticket_that_nobody_expected_is_the_failure_of_its_image(serve):
    server, paid = serve("fal"), Journal()
    ask = ask_for(server, "fal")
    queue = replace(ask.provider.queue, read_ticket=Spied(ask.provider.queue.read_ticket, {2}))
    broken = replace(ask, provider=replace(ask.provider, queue=queue))
    with pytest.raises(ProviderError, match="1 of 3 .*nobody expected.*Run again;") as caught:
        run(broken, square_image(3), paid=paid)
    assert "The answer is kept" not in str(caught.value)
    assert len(paid.results()) == 2
    assert len(run(ask, square_image(3), paid=paid).segments) == 3


def test_what_nobody_expected_of_an_upload_is_the_failure_of_its_image(serve):
    server = serve("fal")
    ask = always_uploading(ask_for(server, "fal"))
    spied = Spied(ask.provider.upload.read_place, breaks={2})
    upload = replace(ask.provider.upload, read_place=spied)
    with pytest.raises(ProviderError, match="1 of 3 images failed.*nobody expected"):
        run(replace(ask, provider=replace(ask.provider, upload=upload)), square_image(3))
    assert server.billed == 2


@pytest.mark.parametrize("key", SERVERS)
def test_an_error_that_cannot_be_read_is_one_by_its_status(serve, key):
    """And a good answer is one in spite of it."""
    server = serve(key)
    server.faults.append(faults.status(500, '{"error": "cuda"}'))
    ask = ask_for(server, key)
    broken = Spied(ask.provider.map_error, breaks=range(1, 100))
    with pytest.raises(ProviderError, match=r"1 of 3 .*failed on its side \(500\): cuda"):
        run(replace(ask, provider=replace(ask.provider, map_error=broken)), square_image(3))
    assert server.billed == 2


def test_all_failures_of_an_image_are_named(serve):
    """Two objects are two calls, which may fail for two reasons."""
    server = serve("segmind")
    server.faults.extend(faults.status(code, f'{{"error": "e{code}"}}') for code in (500, 422))
    ask = ask_for(server, "segmind", {}, OBJECTS)
    with pytest.raises(ProviderError) as caught:
        run(ask)
    message = str(caught.value)
    assert "failed on its side (500): e500." in message
    assert "the request was refused (422): e422." in message


def test_two_equal_failures_of_an_image_are_one(serve):
    server = serve("segmind")
    server.faults.extend([faults.status(500, '{"error": "cuda"}')] * 2)
    ask = ask_for(server, "segmind", {}, [*OBJECTS, []])
    with pytest.raises(ProviderError, match=r"1 of 2 images failed. Image 0: it failed.*cuda"):
        run(ask, square_image(2))
