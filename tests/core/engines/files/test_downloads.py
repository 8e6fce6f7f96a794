"""Downloads, from a loopback server that behaves like the model hub."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import filelock
import pytest
from segment_anywhere.core.engines.families import family_named
from segment_anywhere.core.engines.files.catalogue import CATALOGUE, DETECTORS, Entry, RemoteFile
from segment_anywhere.core.engines.files.downloads import download, url
from segment_anywhere.core.errors import DownloadError

from tests.support.paths import ROOT

CONTENT = bytes(range(256)) * 20_000
FILE = RemoteFile("weights/test.pt", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
ENTRY = Entry(
    family="sam2",
    title="SAM",
    variant="test",
    folder="sam2",
    repository="someone/sam-test",
    files=(FILE,),
    licence="Apache-2.0",
)


@dataclass
class Hub:
    """What the server answers, and what it was asked."""

    content: bytes = CONTENT
    status: int = 200
    cut_after: int | None = None
    ignores_ranges: bool = False
    goes_on: threading.Event = field(default_factory=threading.Event)
    """Cleared, it keeps the second half of every answer back."""
    passes_on: bool = False
    """It answers with the address of a server, itself, that has the file."""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    state = Hub()
    state.goes_on.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            state.requests.append((self.path, wanted))
            state.logins.append(self.headers.get("Authorization"))
            if state.passes_on and not self.path.startswith("/files"):
                self.send_response(302)
                self.send_header("Location", f"http://localhost:{port}/files{self.path}")
                self.end_headers()
                return
            if state.status != 200:
                self.send_error(state.status)
                return
            start = 0
            if wanted and not state.ignores_ranges:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-/{len(state.content)}")
            self.send_header("Content-Length", str(len(state.content) - start))
            self.end_headers()
            answer = state.content[start : state.cut_after]
            self.wfile.write(answer[: len(answer) // 2])
            state.goes_on.wait()
            self.wfile.write(answer[len(answer) // 2 :])

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}/")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield state
    state.goes_on.set()
    server.shutdown()
    server.server_close()


def _ignore(done: int, total: int) -> None:
    pass


def test_a_file_arrives_whole(hub, tmp_path):
    seen = []
    path = download(ENTRY, tmp_path / "sam2", lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "sam2" / "test.pt"
    assert path.read_bytes() == CONTENT
    assert [item.name for item in path.parent.iterdir()] == ["test.pt"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)
    assert hub.requests == [("/someone/sam-test/resolve/main/weights/test.pt", None)]


class Interrupted(BaseException):
    """As ComfyUI's own, no Exception."""


def _interrupt(done: int, total: int) -> None:
    raise Interrupted


def test_an_interrupted_download_goes_on_where_it_stopped(hub, tmp_path):
    with pytest.raises(Interrupted):
        download(ENTRY, tmp_path, _interrupt)
    part = tmp_path / "test.pt.part"
    done = part.stat().st_size
    assert 0 < done < len(CONTENT)
    assert not (tmp_path / "test.pt").exists()
    assert download(ENTRY, tmp_path, _ignore).read_bytes() == CONTENT
    assert hub.requests[-1][1] == f"bytes={done}-"
    assert not part.exists()


def test_a_server_without_ranges_sends_it_all_again(hub, tmp_path):
    (tmp_path / "test.pt.part").write_bytes(b"old")
    hub.ignores_ranges = True
    assert download(ENTRY, tmp_path, _ignore).read_bytes() == CONTENT


def test_a_cut_connection_keeps_what_came(hub, tmp_path):
    hub.cut_after = 1_500_000
    with pytest.raises(DownloadError, match="queue again to continue|connection failed"):
        download(ENTRY, tmp_path, _ignore)
    assert (tmp_path / "test.pt.part").stat().st_size <= 1_500_000
    hub.cut_after = None
    assert download(ENTRY, tmp_path, _ignore).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!doctype html>" + CONTENT[15:], "a web page"),
        (b"x" + CONTENT[1:], "not the published file"),
        (CONTENT + b"more", "not the published file"),
        (b"short", "after 5 of"),
    ],
)
def test_wrong_content_never_gets_the_files_name(content, message, hub, tmp_path):
    hub.content = content
    with pytest.raises(DownloadError, match=message):
        download(ENTRY, tmp_path, _ignore)
    assert not (tmp_path / "test.pt").exists()


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_refusal_says_what_to_do_by_hand(status, hub, tmp_path):
    hub.status = status
    with pytest.raises(DownloadError) as caught:
        download(ENTRY, tmp_path, _ignore)
    message = str(caught.value)
    assert f"answered {status}" in message
    assert url(ENTRY, FILE) in message
    assert str(tmp_path / "test.pt") in message
    assert "grabcut (built in)" in message


@pytest.mark.parametrize(("status", "hints"), [(401, True), (403, True), (404, False)])
def test_a_refusal_that_a_login_may_mend_says_so(status, hints, hub, tmp_path):
    hub.status = status
    with pytest.raises(DownloadError) as caught:
        download(ENTRY, tmp_path, _ignore)
    assert ("HF_TOKEN" in str(caught.value)) == hints


def test_a_login_goes_to_the_hub_and_to_nobody_else(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.passes_on = True
    assert download(ENTRY, tmp_path, _ignore).read_bytes() == CONTENT
    assert hub.logins == ["Bearer hf_secret", None]


def test_a_login_never_goes_to_an_address_outside_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    outside = replace(ENTRY, repository=url(ENTRY, FILE).partition("/someone")[0] + "/files")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert download(outside, tmp_path, _ignore).read_bytes() == CONTENT
    assert hub.requests == [("/files/weights/test.pt", None)] and hub.logins == [None]


def test_no_network_at_all(monkeypatch, hub, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="connection failed.*grabcut"):
        download(ENTRY, tmp_path, _ignore)


@pytest.mark.parametrize("value", ["1", "true", "ON", "Yes"])
def test_offline_asks_nobody(value, monkeypatch, hub, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set"):
        download(ENTRY, tmp_path, _ignore)
    assert hub.requests == []
    assert list(tmp_path.iterdir()) == []


def test_the_hubs_own_cache_is_used(hub, tmp_path):
    repository = tmp_path / "hub" / "hub" / "models--someone--sam-test"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    (snapshot / "weights").mkdir()
    (snapshot / "weights" / "test.pt").write_bytes(CONTENT)
    assert download(ENTRY, tmp_path / "sam2", _ignore) == snapshot / "weights" / "test.pt"
    assert hub.requests == []


def test_a_full_disk_is_noticed_before_the_download(hub, tmp_path):
    with pytest.raises(DownloadError, match="the disk lacks room"):
        download(replace(ENTRY, files=(replace(FILE, size=2**60),)), tmp_path, _ignore)
    assert hub.requests == []


def test_a_folder_that_cannot_be_written(hub, tmp_path):
    (tmp_path / "sam2").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="cannot be written"):
        download(ENTRY, tmp_path / "sam2", _ignore)


def test_an_endpoint_without_scheme(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "hf-mirror.com")
    with pytest.raises(DownloadError, match="must begin with https://, found hf-mirror.com"):
        download(ENTRY, tmp_path, _ignore)


def test_without_a_published_hash_the_size_is_checked(hub, tmp_path):
    entry = replace(ENTRY, files=(replace(FILE, sha256=None),))
    assert download(entry, tmp_path, _ignore).read_bytes() == CONTENT


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.file)
def test_the_catalogue_is_complete(entry):
    assert entry.size > 10**6
    assert entry.licence
    assert family_named(entry.family).module
    (file,) = entry.files
    assert file.sha256 is None or len(file.sha256) == 64
    assert Path(entry.file).suffix in (".pt", ".pth", ".safetensors")


@pytest.mark.parametrize("entry", DETECTORS, ids=lambda entry: entry.file)
def test_a_detectors_folder_is_complete(entry):
    """Weights, tokenizer, how images are made, and last what makes the folder count as a model."""
    names = [file.name for file in entry.files]
    assert names[0] == "model.safetensors" and names[-1] == "config.json"
    assert {"tokenizer.json", "vocab.json"} & set(names)
    assert "preprocessor_config.json" in names
    assert family_named(entry.family).capabilities.words
    assert all(len(file.sha256) == 64 and file.size > 0 for file in entry.files)
    assert len(entry.revision) == 40


def test_the_default_hub_is_the_public_one(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert url(CATALOGUE[0], CATALOGUE[0].files[0]) == (
        "https://huggingface.co/facebook/sam2.1-hiera-tiny/resolve/main/sam2.1_hiera_tiny.pt"
    )


def test_files_outside_the_hub_have_their_own_address(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    entry = replace(ENTRY, repository="https://files.example/models")
    assert url(entry, FILE) == "https://files.example/models/weights/test.pt"


FOLDER = replace(
    ENTRY,
    title="Detector",
    folder="clipseg",
    repository="someone/detector-test",
    revision="c0ffee",
    files=tuple(replace(FILE, path=path) for path in ("model.safetensors", "config.json")),
)


def test_a_folder_arrives_whole_and_counts_as_a_model_last(hub, tmp_path):
    seen = []
    path = download(FOLDER, tmp_path, lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "detector-test"
    assert sorted(file.name for file in path.iterdir()) == ["config.json", "model.safetensors"]
    assert [each for each, _ in hub.requests] == [
        f"/someone/detector-test/resolve/c0ffee/{name}"
        for name in ("model.safetensors", "config.json")
    ]
    assert seen == sorted(seen) and seen[-1] == (FOLDER.size, FOLDER.size)


def test_a_folder_goes_on_where_it_stopped(hub, tmp_path):
    place = tmp_path / "detector-test"
    place.mkdir()
    (place / "model.safetensors").write_bytes(CONTENT)
    download(FOLDER, tmp_path, _ignore)
    assert [path.rsplit("/", 1)[-1] for path, _ in hub.requests] == ["config.json"]


def test_a_folder_of_the_hubs_cache_is_used_where_it_lies(hub, tmp_path):
    repository = tmp_path / "hub" / "hub" / "models--someone--detector-test"
    snapshot = repository / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(CONTENT)
    assert download(FOLDER, tmp_path, _ignore) == tmp_path / "detector-test"
    (snapshot / "config.json").write_bytes(CONTENT)
    hub.requests.clear()
    assert download(FOLDER, tmp_path, _ignore) == snapshot
    assert hub.requests == []


def test_a_folder_that_cannot_be_fetched_names_all_its_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = (
        f"Detector test could not be downloaded: HF_HUB_OFFLINE is set.*save it as "
        f"{tmp_path}/detector-test/model.safetensors .the whole folder: model.safetensors, "
        "config.json., or choose another detector in Text Segment"
    )
    with pytest.raises(DownloadError, match=message):
        download(FOLDER, tmp_path, _ignore)


# Another program that downloads the same file; says how far it is.
DOWNLOAD = """
import hashlib, sys
from pathlib import Path
from core.engines.files.catalogue import Entry, RemoteFile
from core.engines.files.downloads import download

size, sha256, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
file = RemoteFile("weights/test.pt", size, sha256)
entry = Entry("sam2", "SAM", "test", "sam2", "someone/sam-test", (file,), "Apache-2.0")
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
            output, _ = program.communicate(timeout=60)
            assert (program.returncode, output.split()[-1]) == (0, "True")
    assert len(hub.requests) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["test.pt"]


def test_who_waits_goes_on_where_a_killed_program_stopped(hub, tmp_path):
    hub.goes_on.clear()
    with _another_program(tmp_path) as first, _another_program(tmp_path) as second:
        part = tmp_path / "test.pt.part"
        while part.stat().st_size < len(CONTENT) // 2:
            time.sleep(0.01)
        first.kill()
        first.wait()
        hub.goes_on.set()
        output, _ = second.communicate(timeout=60)
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
            download(ENTRY, tmp_path, _ignore, wait)
        assert caplog.text.count("waiting for another program that downloads") == 1
        hub.goes_on.set()
        first.communicate(timeout=60)
        assert first.returncode == 0
    assert 0 < waits[1][0] < waits[1][1] == len(CONTENT)
    assert (tmp_path / "test.pt").read_bytes() == CONTENT


def test_a_file_system_without_locks(hub, tmp_path, monkeypatch):
    def refuse(lock):
        raise NotImplementedError("no flock")

    monkeypatch.setattr(filelock.FileLock, "_acquire", refuse)
    assert download(ENTRY, tmp_path, _ignore).read_bytes() == CONTENT
