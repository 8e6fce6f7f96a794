"""Calls at a time over several processes that work at one task, on one machine.

Each call holds a lock file; that of a process that ends is free at once. Without a shared folder
every process counts for itself.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

_POLL_SECONDS = 0.05
# So many files stand for all requests; two that share one wait for each other, which is rare.
_BUCKET_DIGITS = 3
_NAME_DIGITS = 16
_folder: Path | None = None


def share(folder: Path | None) -> None:
    """Count this process's calls with those of all others that share the folder; None: alone."""
    global _folder
    _folder = folder


@asynccontextmanager
async def one_of(count: int, provider: str) -> AsyncIterator[None]:
    """Within it this is one of at most `count` calls to a provider, in all processes together."""
    name = _hash(provider)[:_NAME_DIGITS]
    async with _any_of([f"{name}-{number}.slot" for number in range(count)]):
        yield


@asynccontextmanager
async def alone_with(key: str) -> AsyncIterator[None]:
    """Within it no other process sends the request of this fingerprint: one is paid for once."""
    async with _any_of([f"{_hash(key)[:_BUCKET_DIGITS]}.request"]):
        yield


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@asynccontextmanager
async def _any_of(names: Sequence[str]) -> AsyncIterator[None]:
    folder = _folder
    if folder is None:
        yield
        return
    from filelock import FileLock, Timeout

    locks = [FileLock(folder / name) for name in names]
    while True:
        for lock in locks:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                yield
            finally:
                lock.release()
            return
        await asyncio.sleep(_POLL_SECONDS)
