"""A run from the command line is interrupted while a provider works: what is paid for is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.servers import faults, serving
from tests.support.servers.__main__ import environment
from tests.support.servers.segmind import SegmindServer

INTERRUPTED = 130
# A program that runs in the background of a shell is deaf to Ctrl-C, and so are those it starts.
LISTENING = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_path("run_workflow.py", run_name="__main__")
"""
Run = subprocess.Popen[str]


@pytest.fixture
def server() -> Iterator[SegmindServer]:
    with serving(SegmindServer()) as server:
        yield server


@pytest.fixture
def start(server: SegmindServer, tmp_path: Path) -> Callable[[], Run]:
    """Starts the command line on Segmind's workflow, with its home in the test's own folder."""
    variables = {**os.environ, **environment({"segmind": server}), "COMFYUI_PATH": str(tmp_path)}
    command = [sys.executable, "-c", LISTENING, "workflows/api/remote_segmind.json"]
    command += ["--image", "workflows/images/dahlia.jpg", "--out", str(tmp_path / "out")]
    return lambda: subprocess.Popen(
        command, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True
    )


def interrupt_once_sent(server: SegmindServer, run: Run) -> None:
    while not server.received:
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    assert run.stderr is not None
    assert "so that their answers are kept; Ctrl-C gives them up" in run.stderr.readline()


def test_an_interrupt_waits_for_the_answer_that_is_paid_for(server, start):
    answer = threading.Event()
    server.faults.append(faults.held(answer))
    run = start()
    interrupt_once_sent(server, run)
    answer.set()
    assert "Interrupted" in run.communicate(timeout=120)[1]
    assert run.returncode == INTERRUPTED
    again = start()
    again.communicate(timeout=120)
    assert again.returncode == 0
    assert server.billed == len(server.received) == 1


def test_a_second_interrupt_gives_it_up(server, start):
    answer = threading.Event()
    server.faults.append(faults.held(answer))
    run = start()
    interrupt_once_sent(server, run)
    run.send_signal(signal.SIGINT)
    assert "Traceback" not in run.communicate(timeout=120)[1]
    assert run.returncode == INTERRUPTED
    answer.set()
