"""The pictures of the templates come into ComfyUI's input folder, and nothing there is touched."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import folder_paths
import pytest
from segment_anywhere.nodes.host.samples import PREFIX, place_samples

from tools.templates import pictures


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """ComfyUI's input folder."""
    path = tmp_path / "input"
    path.mkdir()
    monkeypatch.setattr(folder_paths, "input_directory", str(path))
    return path


def test_every_picture_that_a_template_opens_is_there(folder):
    place_samples()
    placed = {path.name: path.read_bytes() for path in folder.iterdir()}
    shipped = {each.input_name: each.path.read_bytes() for each in pictures.PICTURES.values()}
    assert placed == shipped
    assert pictures.PREFIX == PREFIX


def test_nothing_is_replaced(folder):
    own = folder / f"{PREFIX}dahlia.jpg"
    own.write_bytes(b"the user's own")
    (folder / "example.png").write_bytes(b"ComfyUI's own")
    place_samples()
    place_samples()
    assert own.read_bytes() == b"the user's own"
    assert (folder / "example.png").read_bytes() == b"ComfyUI's own"
    assert len(list(folder.iterdir())) == len(pictures.PICTURES) + 1


def test_what_cannot_be_written_is_a_line_in_the_log(folder, tmp_path, caplog):
    source = tmp_path / "pictures"
    source.mkdir()
    (source / "a.jpg").write_bytes(b"a")
    # A folder stands where the file is written.
    (folder / f"{PREFIX}a.{os.getpid()}.part").mkdir()
    with caplog.at_level(logging.WARNING):
        place_samples(source)
    assert str(folder) in caplog.text
    assert not (folder / f"{PREFIX}a.jpg").exists()


def test_without_an_input_folder_none_is_made(folder, caplog):
    folder.rmdir()
    place_samples()
    assert not folder.exists()
    assert caplog.text == ""
