"""Answers that were paid for, kept so that no request is sent twice."""

from __future__ import annotations

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from .wire import Answer, CallFailed

# Thousands of compressed masks; a photograph-sized cut-out each, some fifty.
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class PaidAnswer:
    """An answer and the pictures that it names, by their address."""

    answer: Answer
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.answer.body) + sum(map(len, self.files.values()))


class PaidAnswers:
    """The last answers by the fingerprint of their request, up to a number of bytes.

    They hold encoded masks, no image that was sent and no key. Used from one thread at a time.
    """

    def __init__(self, max_bytes: int = MAX_BYTES):
        self._max_bytes = max_bytes
        self._bytes = 0
        self._answers: OrderedDict[str, PaidAnswer] = OrderedDict()
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._answers)

    def __iter__(self) -> Iterator[PaidAnswer]:
        return iter(self._answers.values())

    def get(self, fingerprint: str) -> PaidAnswer | None:
        paid = self._answers.get(fingerprint)
        if paid is not None:
            self._answers.move_to_end(fingerprint)
        return paid

    def put(self, fingerprint: str, paid: PaidAnswer) -> None:
        self.drop(fingerprint)
        self._answers[fingerprint] = paid
        self._bytes += paid.size
        while self._bytes > self._max_bytes and len(self._answers) > 1:
            self.drop(next(iter(self._answers)))

    def drop(self, fingerprint: str) -> None:
        paid = self._answers.pop(fingerprint, None)
        self._bytes -= paid.size if paid else 0

    def lock(self, fingerprint: str) -> asyncio.Lock:
        """Held while a request is under way, so that an equal one waits for its answer."""
        return self._locks.setdefault(fingerprint, asyncio.Lock())


@dataclass(frozen=True)
class Entry:
    """The place of one request among the paid answers."""

    answers: PaidAnswers
    fingerprint: str

    def get(self) -> PaidAnswer | None:
        return self.answers.get(self.fingerprint)

    def put(self, paid: PaidAnswer) -> None:
        self.answers.put(self.fingerprint, paid)

    def drop(self) -> None:
        self.answers.drop(self.fingerprint)

    def drop_files(self) -> None:
        """Forget the pictures that the answer names, so that they are fetched again."""
        paid = self.get()
        if paid is not None and paid.files:
            self.put(PaidAnswer(paid.answer))

    def lock(self) -> asyncio.Lock:
        return self.answers.lock(self.fingerprint)

    @contextmanager
    def marking(self) -> Iterator[None]:
        """A failure that is raised within it says whether the answer is kept."""
        try:
            yield
        except CallFailed as error:
            failure = replace(error.failure, is_kept=self.get() is not None)
            raise CallFailed(failure) from error
