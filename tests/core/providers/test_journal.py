"""What is paid for is on disk, in one piece, and within bounds."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from segment_anywhere.core.providers.journal import Journal, Kept, Kind
from segment_anywhere.core.providers.wire import Answer

KEPT = Kept(Answer(200, {"x-request-id": "7"}, b"\x89PNG"), (48, 64), {"https://a/b": b"mask"})
TICKET = Kept(Answer(202, {}, b'{"request_id": "1"}'), (48, 64))


def entry(size: int) -> Kept:
    return Kept(Answer(200, {}, bytes(size)), (1, 1))


def test_what_is_kept_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "user" / "paid.sqlite3"
    first = Journal(path)
    first.put("key", KEPT)
    first.put("key", TICKET, Kind.TICKET)
    second = Journal(path)
    assert second.get("key") == KEPT
    assert second.get("key", Kind.TICKET) == TICKET
    assert second.has("key") and not second.has("other")
    assert second.get("other") is None
    second.drop("key")
    assert first.get("key") is None
    assert first.get("key", Kind.TICKET) == TICKET


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such modes")
def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "paid.sqlite3"
    Journal(path).put("key", KEPT)
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}


def test_a_later_answer_takes_the_place_of_the_earlier_one() -> None:
    journal = Journal()
    journal.put("key", KEPT)
    journal.put("key", entry(3))
    assert journal.get("key") == entry(3)
    assert journal.results() == [entry(3)]


_KILLED = """
import os, pathlib, signal, sys
from segment_anywhere.core.providers.journal import Journal, Kept
from segment_anywhere.core.providers.wire import Answer
journal = Journal(pathlib.Path(sys.argv[1]))
with journal.run():
    for number in range(20):
        journal.put(str(number), Kept(Answer(200, {}, bytes(100_000)), (1, 1)))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_loses_nothing_of_what_it_has_put(tmp_path: Path) -> None:
    path = tmp_path / "paid.sqlite3"
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    journal = Journal(path)
    assert all(journal.get(str(number)) == entry(100_000) for number in range(20))


def test_what_was_used_longest_ago_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "paid.sqlite3"
    journal = Journal(path, max_bytes=1_000_000, fresh_seconds=0.0)
    for number in range(10):
        with journal.run():
            journal.put(str(number), entry(300_000))
            journal.get("0")
    kept = [number for number in range(10) if journal.has(str(number))]
    assert kept == [0, 8, 9]
    # What is given up frees its room on the disk.
    assert path.stat().st_size < 2_000_000


def test_tickets_are_never_given_up() -> None:
    journal = Journal(max_bytes=100, fresh_seconds=0.0)
    with journal.run():
        journal.put("job", TICKET, Kind.TICKET)
    for number in range(5):
        with journal.run():
            journal.put(str(number), entry(300))
    assert journal.has("job", Kind.TICKET)


def test_what_a_full_disk_did_not_take_is_written_once_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "paid.sqlite3"
    journal = Journal(path)
    pages = journal._database.execute("PRAGMA page_count").fetchone()[0]
    journal._database.execute(f"PRAGMA max_page_count = {pages + 2}")
    with journal.run():
        journal.put("key", entry(100_000))
        journal._database.execute("PRAGMA max_page_count = 1000000")
    assert Journal(path).get("key") == entry(100_000)


def test_nothing_of_a_run_is_given_up_before_another_one_ends() -> None:
    """However large: the next run needs the answers that this one has paid for."""
    journal = Journal(max_bytes=100, fresh_seconds=0.0)
    for _ in range(3):
        with journal.run():
            for number in range(10):
                if not journal.has(str(number)):
                    journal.put(str(number), entry(30))
    assert len(journal.results()) == 10
    with journal.run():
        journal.put("other", entry(30))
    assert 1 <= len(journal.results()) <= 4


def test_what_another_process_may_be_at_is_left_alone() -> None:
    journal = Journal(max_bytes=100)
    for number in range(10):
        with journal.run():
            journal.put(str(number), entry(30))
    assert len(journal.results()) == 10


def test_two_runs_at_once_protect_each_other() -> None:
    journal = Journal(max_bytes=100, fresh_seconds=0.0)
    with journal.run():
        with journal.run():
            for number in range(10):
                journal.put(str(number), entry(30))
        assert len(journal.results()) == 10


def test_a_file_that_is_no_journal_is_put_aside(tmp_path: Path, caplog) -> None:
    path = tmp_path / "paid.sqlite3"
    path.write_bytes(b"no database" * 1000)
    journal = Journal(path)
    journal.put("key", KEPT)
    assert Journal(path).get("key") == KEPT
    assert (tmp_path / "paid.unreadable").read_bytes().startswith(b"no database")
    assert "put aside" in caplog.text


def _remove_all(path: Path) -> None:
    for each in path.parent.iterdir():
        each.unlink()


def _damage(path: Path) -> None:
    path.write_bytes(b"no database" * 10_000)
    path.with_name(f"{path.name}-wal").unlink()


def _replace(path: Path) -> None:
    path.with_suffix(".copy").write_bytes(path.read_bytes())
    os.replace(path.with_suffix(".copy"), path)


LOST = {
    "removed": Path.unlink,
    "removed with its log": _remove_all,
    "its log removed": lambda path: path.with_name(f"{path.name}-wal").unlink(),
    "renamed": lambda path: path.rename(path.with_suffix(".old")),
    "emptied": lambda path: path.write_bytes(b""),
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "damaged": _damage,
    "replaced by a copy": _replace,
}


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps an open file from being removed")
@pytest.mark.parametrize("how", LOST)
def test_a_file_that_is_lost_while_it_is_open_gives_way_to_a_new_one(
    tmp_path: Path, how: str, caplog
) -> None:
    """What the run under way pays for is in it, also what it had paid for before."""
    path = tmp_path / "paid.sqlite3"
    journal = Journal(path)
    # More than SQLite leaves in its log.
    for number in range(60):
        journal.put(str(number), entry(100_000))
    with journal.run():
        journal.put("before", KEPT)
        journal.put("before", TICKET, Kind.TICKET)
        LOST[how](path)
        journal.put("after", KEPT)
        for number in range(5):
            journal.get(str(number))
    assert "paid.sqlite3" in caplog.text
    assert journal.get("before") == journal.get("after") == KEPT
    later = Journal(path)
    assert later.get("before") == later.get("after") == KEPT
    assert later.get("before", Kind.TICKET) == TICKET


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps an open file from being removed")
def test_who_removes_the_file_between_two_runs_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "paid.sqlite3"
    journal = Journal(path)
    with journal.run():
        journal.put("old", KEPT)
    path.unlink()
    with journal.run():
        assert not journal.has("old")
        journal.put("new", KEPT)
    later = Journal(path)
    assert later.get("new") == KEPT
    assert not later.has("old")


def test_a_file_that_two_journals_have_open_is_not_made_anew(tmp_path: Path, caplog) -> None:
    path = tmp_path / "paid.sqlite3"
    first, second = Journal(path), Journal(path)
    for number in range(60):
        for journal in (first, second):
            with journal.run():
                journal.put(str(number), entry(100_000))
    assert len(first.results()) == len(second.results()) == 60
    assert not caplog.text


def test_a_folder_that_cannot_be_written_leaves_memory(tmp_path: Path, caplog) -> None:
    (tmp_path / "user").write_text("a file where a folder should be")
    journal = Journal(tmp_path / "user" / "paid.sqlite3")
    journal.put("key", KEPT)
    assert journal.get("key") == KEPT
    assert "Make the folder writable" in caplog.text


def test_a_full_disk_costs_no_answer(tmp_path: Path, caplog) -> None:
    journal = Journal(tmp_path / "paid.sqlite3")
    pages = journal._database.execute("PRAGMA page_count").fetchone()[0]
    journal._database.execute(f"PRAGMA max_page_count = {pages + 2}")
    large = entry(100_000)
    journal.put("key", large)
    assert "stays in memory" in caplog.text
    assert journal.get("key") == large and journal.has("key")
    journal.drop("key")
    assert not journal.has("key")
