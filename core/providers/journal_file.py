"""The SQLite file of the journal: opened, told from another one of its name, put aside."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

_BUSY_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT, kind TEXT, status INTEGER, headers TEXT, body BLOB, job TEXT,
    height INTEGER, width INTEGER, bytes INTEGER, used REAL, PRIMARY KEY (key, kind)
);
CREATE TABLE IF NOT EXISTS files (
    key TEXT, address TEXT, data BLOB, PRIMARY KEY (key, address)
);
"""


def open_file(path: Path | None) -> sqlite3.Connection:
    """Open a journal's file, made where there is none; None for one in memory.

    One that is no journal is put aside. One that cannot be used is said in the log, and memory
    takes its place.
    """
    if path is None:
        return _connect(":memory:")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Answers are nobody else's business.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        return _connect(str(path))
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            return _in_memory(path, error)
    except OSError as error:
        return _in_memory(path, error)
    put_aside(path)
    return open_file(path)


def put_aside(path: Path) -> None:
    """Give a file that is no journal another name, under which the user may still look at it."""
    aside = path.with_suffix(".unreadable")
    log.warning("%s is no journal of paid answers; it is put aside as %s", path, aside.name)
    with suppress(FileNotFoundError):
        os.replace(path, aside)


def inodes(path: Path) -> tuple[tuple[int, int] | None, ...]:
    """What tells a journal and its log from others of their names; None for one that is not there.

    A journal without a byte is none.
    """
    found = []
    for name, fewest in ((path, 1), (f"{path}-wal", 0)):
        try:
            facts = os.stat(name)
        except OSError:
            found.append(None)
        else:
            is_one = facts.st_size >= fewest
            found.append((facts.st_dev, facts.st_ino) if is_one else None)
    return tuple(found)


def _in_memory(path: Path, error: Exception) -> sqlite3.Connection:
    log.warning(
        "%s cannot be used (%s): what is paid for is kept until ComfyUI ends. Make the folder "
        "writable, end other programs that hold the file, and restart it.",
        path,
        error,
    )
    return _connect(":memory:")


def _connect(place: str) -> sqlite3.Connection:
    database = sqlite3.connect(place, timeout=_BUSY_SECONDS, check_same_thread=False)
    try:
        # Given-up answers free their space; each answer is on the disk when `put` returns.
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
        database.execute("PRAGMA journal_mode = WAL").fetchall()
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(_SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database
