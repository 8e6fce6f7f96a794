"""A ComfyUI that is killed after a payment: the next one pays nothing for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.servers import ProviderServer, faults
from tests.support.servers.__main__ import environment

from .api import Api
from .comfy_server import ComfyMissing, ComfyServer, find_install
from .test_remote import wait_until, workflow

pytestmark = pytest.mark.xdist_group("comfyui")

CALLS = 6


@pytest.fixture
def mortal(tmp_path: Path, providers: dict[str, ProviderServer]) -> Iterator[ComfyServer]:
    """A ComfyUI of the test's own."""
    try:
        server = ComfyServer(find_install(), tmp_path, variables=environment(providers))
        server.start()
    except ComfyMissing as reason:
        pytest.skip(str(reason))
    yield server
    server.stop()


def six_calls(key: str, image: str) -> dict:
    """A provider's own workflow, asked for six things."""
    graph = workflow(key, image)
    graph["2"]["inputs"]["provider.prompt"] = "a, b, c, d, e, f"
    return graph


def test_a_run_that_is_killed_after_payment(mortal, providers):
    """One call hangs, so that the run cannot end by itself; five are paid."""
    photo = ROOT / "workflows" / "images" / "dahlia.jpg"
    with Api(mortal.url) as api:
        image = api.upload("dahlia.jpg", photo)
        graphs = {key: six_calls(key, image) for key in ("segmind", "fal")}
        segmind, fal = providers["segmind"], providers["fal"]
        segmind.faults.extend([None] * (CALLS - 1) + [faults.Hang()])
        api.queue(graphs["segmind"])
        wait_until(lambda: segmind.billed == CALLS - 1 and len(segmind.received) == CALLS)
        # Until the last answer is on the disk, which nothing tells from outside.
        time.sleep(0.5)
    mortal.kill()
    assert segmind.billed == CALLS - 1
    fal.mode = "never_completes"
    mortal.start()
    with Api(mortal.url) as api:
        api.succeed(graphs["segmind"])
        assert segmind.billed == CALLS
        api.queue(graphs["fal"])
        wait_until(lambda: len(fal.jobs) == 4 and all(job.looks for job in fal.jobs.values()))
    mortal.kill()
    fal.mode = "url"
    mortal.start()
    with Api(mortal.url) as api:
        assert "6 objects" in api.succeed(graphs["fal"]).text("2")
    assert fal.billed == CALLS
    assert not any(job.is_cancelled for job in fal.jobs.values())
