"""What goes wrong with jobs and with files that answers name: they are asked for again for free."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest
from segment_anywhere.core.providers.contract import ProviderError
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.scheduler import RunLimits

from tests.support.asks import QUICK, ask_for, run, square_image, square_mask
from tests.support.servers import faults
from tests.support.servers.vision import picture


@pytest.mark.parametrize("place", ["status_faults", "result_faults", "file_faults"])
@pytest.mark.parametrize(
    "fault",
    [faults.status(503, "{}"), faults.status(502, faults.HTML_502, "text/html"), faults.reset],
)
def test_questions_are_asked_again(serve, place, fault):
    """Polls, results and downloads cost nothing, so a hiccup there is no failure."""
    server = serve("fal")
    getattr(server, place).append(fault)
    assert len(run(ask_for(server, "fal")).segments) == 1
    assert server.billed == 1


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("completed_with_error", "Runner ran out of memory"),
        ("bad_status", "found 'LOST'"),
        ("off_origin", "127.0.0.2 that would get the key"),
    ],
)
def test_jobs_that_end_badly(serve, mode, words):
    server = serve("fal", mode=mode)
    with pytest.raises(ProviderError, match=words):
        run(ask_for(server, "fal"))


def test_the_result_of_a_job_may_be_a_422(serve):
    server = serve("fal")
    server.result_faults.append(faults.status(422, faults.TOO_LONG))
    with pytest.raises(ProviderError, match="refused.*too long"):
        run(ask_for(server, "fal"))


def test_a_job_that_takes_too_long_is_collected_by_the_next_run(serve):
    server, paid = serve("fal", mode="never_completes"), Journal()
    with pytest.raises(ProviderError, match="took too long.*The job goes on there, and its ticket"):
        run(ask_for(server, "fal"), limits=RunLimits(4, 0.6, QUICK.transport), paid=paid)
    (job,) = server.jobs.values()
    assert not job.is_cancelled
    server.mode = "url"
    (call,) = run(ask_for(server, "fal"), paid=paid).calls
    assert not call.is_new
    assert server.billed == 1


def test_a_job_that_the_provider_has_lost_is_submitted_anew_by_a_later_run(serve):
    """Which says so first: its plan counts the call."""
    server, paid = serve("fal", mode="never_completes"), Journal()
    with pytest.raises(ProviderError, match="took too long"):
        run(ask_for(server, "fal"), limits=RunLimits(4, 0.6, QUICK.transport), paid=paid)
    server.mode = "url"
    server.jobs.clear()
    with pytest.raises(ProviderError, match="does not exist"):
        run(replace(ask_for(server, "fal"), max_calls=1), paid=paid)
    assert server.billed == 1
    assert len(run(ask_for(server, "fal"), paid=paid).segments) == 1
    assert server.billed == 2


@pytest.mark.parametrize("code", [403, 500, 503])
@pytest.mark.parametrize("place", ["status_faults", "result_faults"])
def test_a_bad_answer_to_a_free_question_costs_no_job(serve, place, code):
    """However many runs it spoils."""
    server, paid = serve("fal", mode="never_completes"), Journal()
    with pytest.raises(ProviderError, match="took too long"):
        run(ask_for(server, "fal"), limits=RunLimits(4, 0.6, QUICK.transport), paid=paid)
    server.mode = "url"
    for _ in range(2):
        fault = faults.status(code, '{"detail": "Exhausted balance"}')
        getattr(server, place).extend([fault] * QUICK.transport.attempts)
        with pytest.raises(ProviderError, match="its ticket is kept"):
            run(ask_for(server, "fal"), paid=paid)
        getattr(server, place).clear()
    assert len(run(ask_for(server, "fal"), paid=paid).segments) == 1
    assert server.billed == 1


@pytest.mark.parametrize("place", ["status_faults", "result_faults"])
def test_a_job_that_cannot_be_found_is_the_failure_of_its_image_alone(serve, place):
    """And it is asked for again, for a gateway may only have forgotten it for a moment."""
    server, paid = serve("fal"), Journal()
    one = RunLimits(1, 20.0, QUICK.transport)
    getattr(server, place).extend([faults.status(404, "{}")] * 3)
    with pytest.raises(ProviderError, match="1 of 3 images failed.*its ticket is kept"):
        run(ask_for(server, "fal"), square_image(3), limits=one, paid=paid)
    assert server.billed == 3
    assert len(run(ask_for(server, "fal"), square_image(3), paid=paid).segments) == 3
    assert server.billed == 3


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("http://10.1.2.3/mask.png", "without https at 10.1.2.3"),
        ("https://10.1.2.3/mask.png", "private address 10.1.2.3"),
        ("https://169.254.169.254/latest/meta-data", "private address 169.254.169.254"),
        ("file:///etc/passwd", "not safe to follow"),
        ("ftp://cdn.example.com/mask.png", "not safe to follow"),
        ("data:image/png;base64,AAAA", "not safe to follow"),
        ("https://me:pass@cdn.example.com/mask.png", "address 'https://cdn.example.com/mask.png'"),
        ("https://[64:ff9b::a9fe:a9fe]/mask.png", "private address 64:ff9b::a9fe:a9fe"),
        ("https://[2002:7f00:1::]/mask.png", "private address 2002:7f00:1::"),
        ("https://[::ffff:10.1.2.3]/mask.png", "private address ::ffff:"),
        ("https://[fec0::1]/mask.png", "private address fec0::1"),
        ("https://2852039166/mask.png", "2852039166"),
        ("https://0xa9fea9fe/mask.png", "0xa9fea9fe"),
        ("https://169.254.43518/mask.png", "169.254"),
        ("/files/loop", "more than 3 redirects"),
    ],
)
def test_redirects_of_results(serve, target, words):
    server = serve("fal")
    server.file_faults = deque([faults.status(302, "", Location=target)] * 9)
    server.files["loop"] = b""
    with pytest.raises(ProviderError, match=words):
        run(ask_for(server, "fal"))


def test_a_redirect_within_reach_is_followed_without_the_key(serve):
    server, other = serve("fal"), serve("fal")
    server.file_faults.append(faults.status(302, "", Location=f"{other.url}/files/x.png"))
    other.files["x.png"] = picture(square_mask())
    assert len(run(ask_for(server, "fal")).segments) == 1
    assert server.leaks == other.leaks == []


def test_a_paid_answer_survives_a_download_that_fails(serve):
    server, paid = serve("fal"), Journal()
    server.file_faults = deque([faults.status(503, "")] * 3)
    with pytest.raises(ProviderError, match="503"):
        run(ask_for(server, "fal"), paid=paid)
    assert len(run(ask_for(server, "fal"), paid=paid).segments) == 1
    assert server.billed == 1


@pytest.mark.parametrize("code", [403, 404])
def test_a_mask_file_that_is_gone_is_looked_for_again(serve, code):
    """By the store's account; neither the key nor the other images have anything to do with it."""
    server, paid = serve("fal"), Journal()
    gone = faults.status(code, "")
    server.file_faults.append(gone)
    assert len(run(ask_for(server, "fal")).segments) == 1
    # Three times the file, for each of three times the job's result.
    server.file_faults.extend([gone] * 9)
    one = RunLimits(1, 20.0, QUICK.transport)
    ask = replace(ask_for(server, "fal"), salt="1")
    with pytest.raises(ProviderError, match="1 of 3 images failed.*had any more.*answer is kept"):
        run(ask, square_image(3), limits=one, paid=paid)
    assert len(run(ask, square_image(3), paid=paid).segments) == 3
    assert server.billed == 4


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_file_that_is_not_there_yet_is_asked_for_again(serve, status):
    server = serve("fal")
    server.file_faults.extend([faults.status(status, "")] * (QUICK.transport.attempts - 1))
    assert len(run(ask_for(server, "fal"), square_image(3)).segments) == 3
    assert server.billed == 3
