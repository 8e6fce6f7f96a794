"""What was paid for, on disk before anything else happens to it: answers, files, job tickets.

A run that fails, is interrupted or is killed leaves here what it has paid for, and the next one
sends nothing of it again. There are no keys in it and no images that were sent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from .journal_file import inodes, open_file, put_aside
from .wire import Answer, CallFailed, JobFacts

log = logging.getLogger(__name__)

FILE_NAME = "paid.sqlite3"
# Some ten thousand masks, or some five hundred cut-out photographs.
MAX_BYTES = 2**30
# Another process may be in the middle of a run whose answers these are.
_FRESH_SECONDS = 3600.0
# Before the address of a picture that could not be read.
DOUBTED = "doubted:"


class Kind(str, Enum):
    """What a provider answered: with the result, or with the ticket of a job."""

    RESULT = "result"
    TICKET = "ticket"


@dataclass(frozen=True)
class Kept:
    """An answer and the pictures that it names, by their address.

    size: (H, W) of the picture that was sent, which what the answer says is measured in.
    """

    answer: Answer
    size: tuple[int, int]
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return len(self.answer.body) + sum(map(len, self.files.values()))


class Journal:
    """Answers by the fingerprint of their request, in a SQLite file; any thread may use it.

    path: the file, None to keep them in memory for as long as the process lives. max_bytes: above
    it those that were used longest ago are given up, but none of a run that is under way or that
    was the last to end, and none of the last `fresh_seconds`. A file that cannot be used is said
    in the log, and what it does not take stays in memory: no run fails for it. One that is removed
    or damaged while it is open gives way to a new one, with what the run under way has paid for.
    """

    def __init__(
        self,
        path: Path | None = None,
        max_bytes: int = MAX_BYTES,
        fresh_seconds: float = _FRESH_SECONDS,
    ):
        self._max_bytes = max_bytes
        self._fresh_seconds = fresh_seconds
        self._guard = threading.RLock()
        self._path = path
        self._open()
        # What the file did not take.
        self._unsaved: dict[tuple[str, Kind], Kept] = {}
        self._runs = 0
        self._touched: set[str] = set()
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    @contextmanager
    def run(self) -> Iterator[None]:
        """While it lasts nothing is given up; what was used in it counts as used at its end."""
        with self._guard:
            if self._runs == 0:
                self._touched.clear()
            self._runs += 1
        try:
            yield
        finally:
            with self._guard:
                self._runs -= 1
                if self._runs == 0:
                    self._tidy()

    def get(self, key: str, kind: Kind = Kind.RESULT) -> Kept | None:
        """What is kept under a key, with its files."""
        with self._guard:
            self._check_file()
            self._touched.add(key)
            if (key, kind) in self._unsaved:
                return self._unsaved[key, kind]
            try:
                return self._read(key, kind)
            except sqlite3.Error as error:
                self._note("a paid answer could not be read", error)
                return None

    def has(self, key: str, kind: Kind = Kind.RESULT) -> bool:
        """Whether anything of this kind is kept under a key."""
        with self._guard:
            self._check_file()
            self._touched.add(key)
            if (key, kind) in self._unsaved:
                return True
            try:
                query = "SELECT 1 FROM answers WHERE key = ? AND kind = ?"
                return self._database.execute(query, (key, kind)).fetchone() is not None
            except sqlite3.Error as error:
                self._note("the paid answers could not be searched", error)
                return False

    def put(self, key: str, kept: Kept, kind: Kind = Kind.RESULT) -> None:
        """Keep an answer, with its files, in place of what was kept of this kind before."""
        with self._guard:
            self._check_file()
            self._touched.add(key)
            self._unsaved.pop((key, kind), None)
            try:
                with self._database:
                    self._write(key, kept, kind)
            except sqlite3.Error as error:
                self._unsaved[key, kind] = kept
                self._note("a paid answer could not be written, and stays in memory", error)

    def drop(self, key: str, kind: Kind = Kind.RESULT) -> None:
        """Forget what is kept under a key."""
        with self._guard:
            self._check_file()
            self._unsaved.pop((key, kind), None)
            try:
                with self._database:
                    self._delete(key, kind)
            except sqlite3.Error as error:
                self._note("a paid answer could not be forgotten", error)

    def results(self) -> list[Kept]:
        """All answers that are kept, those used last at the end."""
        with self._guard:
            rows = self._database.execute(
                "SELECT key FROM answers WHERE kind = ? ORDER BY used, rowid", (Kind.RESULT,)
            ).fetchall()
            found = [self.get(key) for (key,) in rows]
        return [kept for kept in found if kept is not None]

    def lock(self, key: str) -> asyncio.Lock:
        """Held while a request is under way, so that an equal one waits for its answer."""
        return self._locks.setdefault(key, asyncio.Lock())

    def _open(self) -> None:
        self._database = open_file(self._path)
        file = self._database.execute("PRAGMA database_list").fetchone()[2]
        # SQLite goes on in a file that nobody finds any more; in memory there is none.
        self._file = Path(file) if file else None
        self._inodes = inodes(self._file) if self._file else None

    def _check_file(self) -> None:
        if self._file is not None and inodes(self._file) != self._inodes:
            log.warning("%s was removed or replaced while it was open: it is made anew", self._file)
            self._renew()

    def _note(self, what: str, error: sqlite3.Error) -> None:
        """Say what went wrong, and leave a file that has become unreadable."""
        log.warning("%s: %s", what, error)
        # All others are of kinds that pass: a full disk, another program that is at it.
        if self._file is not None and type(error) is sqlite3.DatabaseError:
            self._renew(is_damaged=True)

    def _renew(self, is_damaged: bool = False) -> None:
        """Open the file anew; what the run under way has used of the old one is written into it."""
        for key in self._touched:
            for kind in Kind:
                with suppress(sqlite3.Error):
                    kept = self._read(key, kind)
                    if kept is not None:
                        self._unsaved.setdefault((key, kind), kept)
        with suppress(sqlite3.Error):
            self._database.close()
        if is_damaged and self._file is not None:
            put_aside(self._file)
        self._open()
        try:
            with self._database:
                self._save()
            self._unsaved.clear()
        except sqlite3.Error as error:
            log.warning("paid answers stay in memory: %s", error)

    def _save(self) -> None:
        """Write what the file did not take."""
        for (key, kind), kept in self._unsaved.items():
            self._write(key, kept, kind)

    def _read(self, key: str, kind: Kind) -> Kept | None:
        query = (
            "SELECT status, headers, body, job, height, width FROM answers "
            "WHERE key = ? AND kind = ?"
        )
        row = self._database.execute(query, (key, kind)).fetchone()
        if row is None:
            return None
        status, headers, body, job, height, width = row
        # A ticket names no pictures.
        query = "SELECT address, data FROM files WHERE key = ?"
        files = self._database.execute(query, (key,)) if kind is Kind.RESULT else ()
        answer = Answer(status, json.loads(headers), body, _job_of(json.loads(job)))
        return Kept(answer, (height, width), dict(files))

    def _write(self, key: str, kept: Kept, kind: Kind) -> None:
        self._delete(key, kind)
        answer = kept.answer
        self._database.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(key, kind, answer.status, json.dumps(dict(answer.headers)), answer.body),
                json.dumps(asdict(answer.job) if answer.job else None),
                *(*kept.size, kept.bytes, time.time()),
            ),
        )
        self._database.executemany(
            "INSERT INTO files VALUES (?, ?, ?)",
            [(key, address, data) for address, data in kept.files.items()],
        )

    def _delete(self, key: str, kind: Kind) -> None:
        self._database.execute("DELETE FROM answers WHERE key = ? AND kind = ?", (key, kind))
        if kind is Kind.RESULT:
            self._database.execute("DELETE FROM files WHERE key = ?", (key,))

    def _tidy(self) -> None:
        self._check_file()
        try:
            with self._database:
                now = time.time()
                self._database.executemany(
                    "UPDATE answers SET used = ? WHERE key = ?",
                    [(now, key) for key in self._touched],
                )
                self._save()
                # Tickets are small, and stand for what is still to come.
                for key in self._surplus(now):
                    self._delete(key, Kind.RESULT)
            self._unsaved.clear()
            self._database.execute("PRAGMA incremental_vacuum").fetchall()
        except sqlite3.Error as error:
            self._note("paid answers could not be tidied up", error)

    def _surplus(self, now: float) -> list[str]:
        """The keys to give up, those used longest ago first."""
        rows = self._database.execute(
            "SELECT key, bytes, used FROM answers WHERE kind = ? ORDER BY used", (Kind.RESULT,)
        ).fetchall()
        excess = sum(size for _, size, _ in rows) - self._max_bytes
        given_up = []
        for key, size, used in rows:
            if excess <= 0:
                break
            if key not in self._touched and now - used >= self._fresh_seconds:
                given_up.append(key)
                excess -= size
        return given_up


@cache
def open_journal(path: Path | None) -> Journal:
    """The one journal of this process for a path; None is the memory of the process."""
    return Journal(path)


@dataclass(frozen=True)
class Entry:
    """The place of one request in the journal."""

    journal: Journal
    key: str

    def get(self, kind: Kind = Kind.RESULT) -> Kept | None:
        return self.journal.get(self.key, kind)

    def has(self, kind: Kind = Kind.RESULT) -> bool:
        return self.journal.has(self.key, kind)

    def put(self, kept: Kept, kind: Kind = Kind.RESULT) -> None:
        self.journal.put(self.key, kept, kind)

    def drop(self, kind: Kind = Kind.RESULT) -> None:
        self.journal.drop(self.key, kind)

    def doubt_files(self) -> None:
        """The pictures that the answer names are to be fetched again, if they can be."""
        kept = self.get()
        if kept is not None and not all(name.startswith(DOUBTED) for name in kept.files):
            files = {DOUBTED + name.removeprefix(DOUBTED): kept.files[name] for name in kept.files}
            self.put(replace(kept, files=files))

    def lock(self) -> asyncio.Lock:
        return self.journal.lock(self.key)

    @contextmanager
    def marking(self) -> Iterator[None]:
        """A failure that is raised within it says what is kept of the call."""
        try:
            yield
        except CallFailed as error:
            failure = replace(
                error.failure,
                is_kept=self.has(),
                has_ticket=self.has(Kind.TICKET),
            )
            raise CallFailed(failure) from error


def _job_of(value: Any) -> JobFacts | None:
    return JobFacts(value["request_id"], tuple(value["log"])) if value else None
