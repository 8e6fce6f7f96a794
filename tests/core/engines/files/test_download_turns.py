"""Several programs that download the same file take turns."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import pytest
from segment_anywhere.core.engines.files.downloads import download

from tests.support.model_hub import CONTENT, ENTRY, FILE, Interrupted, ignore
from tests.support.paths import ROOT

# Another program that downloads the same file; says how far it is. It starts without what the face
# of `core` imports: PyTorch takes longer than the download.
DOWNLOAD = """
import hashlib, sys, types
from pathlib import Path

core = sys.modules["core"] = types.ModuleType("core")
core.__path__ = ["core"]
from core.engines.files.catalogue import Entry, RemoteFile
from core.engines.files.downloads import download

size, sha256, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
file = RemoteFile("weights/test.pt", size, sha256)
entry = Entry("sam2", "SAM", "test", "someone/sam-test", (file,), "Apache-2.0")
path = download(entry, folder, lambda done, total: print(done, flush=True))
print(hashlib.sha256(path.read_bytes()).hexdigest() == sha256)
"""


@contextmanager
def _another_program(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """One that has begun: the first thing that it has to say is said."""
    command = [sys.executable, "-c", DOWNLOAD, str(FILE.size), FILE.sha256, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        try:
            assert int(program.stdout.readline()) >= 0
            yield program
        finally:
            program.kill()


def test_of_two_programs_one_downloads_and_both_have_the_file(hub, tmp_path):
    hub.goes_on.clear()
    with _another_program(tmp_path) as first, _another_program(tmp_path) as second:
        hub.goes_on.set()
        for program in (first, second):
            output, _ = program.communicate()
            assert (program.returncode, output.split()[-1]) == (0, "True")
    assert len(hub.requests) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["test.pt"]


def test_who_waits_goes_on_where_a_killed_program_stopped(hub, tmp_path):
    hub.goes_on.clear()
    with _another_program(tmp_path) as first, _another_program(tmp_path) as second:
        part = tmp_path / "test.pt.part"
        while not part.is_file() or part.stat().st_size < len(CONTENT) // 2:
            time.sleep(0.01)
        first.kill()
        first.wait()
        hub.goes_on.set()
        output, _ = second.communicate()
        assert (second.returncode, output.split()[-1]) == (0, "True")
    assert [wanted for _, wanted in hub.requests] == [None, f"bytes={len(CONTENT) // 2}-"]


def test_who_waits_says_so_and_can_be_interrupted(hub, tmp_path, caplog):
    hub.goes_on.clear()
    waits = []

    def wait(done: int, total: int) -> None:
        waits.append((done, total))
        if len(waits) == 2:
            raise Interrupted

    with _another_program(tmp_path) as first:
        with caplog.at_level(logging.INFO), pytest.raises(Interrupted):
            download(ENTRY, tmp_path, ignore, wait)
        assert caplog.text.count("waiting for another program that downloads") == 1
        hub.goes_on.set()
        first.communicate()
        assert first.returncode == 0
    assert 0 < waits[1][0] < waits[1][1] == len(CONTENT)
    assert (tmp_path / "test.pt").read_bytes() == CONTENT


def test_a_file_system_without_locks(hub, tmp_path, monkeypatch):
    def refuse(lock):
        raise NotImplementedError("no flock")

    monkeypatch.setattr(filelock.FileLock, "_acquire", refuse)
    assert download(ENTRY, tmp_path, ignore).read_bytes() == CONTENT
