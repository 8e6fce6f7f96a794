"""Files elsewhere, through fsspec's places in memory and on the disk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from headless.errors import WorkflowError
from headless.sources.files import at_hand
from headless.sources.naming import expand_sources, plan_jobs
from headless.sources.units import Sampling


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    system = fsspec.filesystem("memory")
    for name in ("photos/b.jpg", "photos/a.png", "photos/notes.txt", "photos/deep/c.mp4"):
        system.pipe(f"/{name}", name.encode())
    yield system
    system.rm("/photos", recursive=True)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("memory://photos", ["a.png", "b.jpg"]),
        ("memory://photos/*.jpg", ["b.jpg"]),
        ("memory://photos/**", ["a.png", "b.jpg", "deep/c.mp4"]),
        ("memory://photos/notes.txt", ["notes.txt"]),
    ],
)
def test_addresses_are_listed_as_paths_are(memory, address, found):
    sources = expand_sources([address, address])
    assert [each.place for each in sources] == [f"memory:///photos/{name}" for name in found]
    assert [each.is_clip for each in sources] == [name.endswith(".mp4") for name in found]
    assert all(each.is_elsewhere and each.stamp for each in sources)


def test_a_file_is_fetched_once_and_goes_when_another_comes(memory, monkeypatch):
    first, second = expand_sources(["memory://photos"])
    fetched = []
    real = MemoryFileSystem.get_file

    def counted(self: MemoryFileSystem, remote: str, local: str) -> None:
        fetched.append(remote)
        real(self, remote, local)

    monkeypatch.setattr(MemoryFileSystem, "get_file", counted)
    paths = [Path(at_hand(each).place) for each in (first, first)]
    assert paths[0] == paths[1] and paths[0].read_bytes() == b"photos/a.png"
    assert len(fetched) == 1
    assert Path(at_hand(second).place).read_bytes() == b"photos/b.jpg"
    assert not paths[0].exists()


def test_a_changed_file_is_fetched_again(memory):
    (source,) = expand_sources(["memory://photos/b.jpg"])
    assert Path(at_hand(source).place).read_bytes() == b"photos/b.jpg"
    memory.pipe("/photos/b.jpg", b"other content")
    (changed,) = expand_sources(["memory://photos/b.jpg"])
    assert changed.stamp != source.stamp
    assert Path(at_hand(changed).place).read_bytes() == b"other content"


def test_a_local_address_is_like_a_path_and_stems_do_not_clash(memory, tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"local")
    sources = expand_sources([f"file://{tmp_path}/b.jpg", "memory://photos/b.jpg"])
    assert Path(at_hand(sources[0]).place).read_bytes() == b"local"
    stems = {job.stem for job in plan_jobs(sources, ["mask"])}
    assert len(stems) == 2 and all(stem.endswith("b") for stem in stems)


def test_a_clip_that_cannot_be_read_is_a_job_that_says_so(memory):
    (clip,) = expand_sources(["memory://photos/deep/c.mp4"], sampling=Sampling(2.0))
    (job,) = plan_jobs([clip], ["mask"], whole_clips=False)
    assert job.stem == "c" and job.source == clip


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("memory://nothing", "nothing there"),
        ("memory://photos/*.gif", "no image or clip"),
        ("nope://photos", "Check what the address begins with"),
        ("s3://bucket/dog.jpg", "pip install s3fs"),
        ("gs://bucket/dog.jpg", "pip install gcsfs"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_sentence(memory, address, says):
    with pytest.raises(WorkflowError, match=says) as caught:
        expand_sources([address])
    assert address in str(caught.value)


class NoCredentialsError(Exception):
    """As boto's, which is below Exception itself."""


class Answer(Exception):
    """As the HTTP clients' errors, with the status that was answered."""

    status = 403


@pytest.mark.parametrize("error", [PermissionError("denied"), NoCredentialsError("none"), Answer()])
def test_an_address_without_rights(memory, monkeypatch, error):
    (source,) = expand_sources(["memory://photos/b.jpg"])

    def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(MemoryFileSystem, "info", refused)
    monkeypatch.setattr(MemoryFileSystem, "get_file", refused)
    with pytest.raises(WorkflowError, match="no right to read it"):
        expand_sources(["memory://photos/b.jpg"])
    with pytest.raises(WorkflowError, match="no right to read it"):
        at_hand(replace(source, stamp="changed"))


def test_without_fsspec_the_command_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(WorkflowError, match=r"fsspec, which is not installed\. Run .* pip install"):
        expand_sources(["s3://bucket/photos"])
