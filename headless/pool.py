"""Many workers at one task: each job goes to whoever is free, and what is lost is done again.

A worker may be a ComfyUI (`headless/remote/farm.py`) or an actor of Ray's (`headless/cluster/`).
Where and how it runs, and that it is gone, is its own to say; here is only who does what. A job
that fails, or whose worker ends while it is under way, is tried once more and then reported.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

from .errors import RunnerLost, WorkflowError, one_line
from .runs import Outcome, Task, is_finished
from .sources.units import Job

TRIES = 2
# A worker that ends so often before it is ready is left out.
STARTS = 3

Say = Callable[[str], None]
"""Called with a line for the user."""


class Worker(Protocol):
    """Runs one job at a time; its futures may be waited for in any thread."""

    def start(self) -> Future[None]:
        """Get ready, also again after a loss.

        The future raises RunnerLost where it is worth another attempt, WorkflowError where not.
        """
        ...

    def run(self, job: Job) -> Future[Outcome]:
        """Run a job; a loss of the worker is an outcome whose error is RunnerLost."""
        ...

    def stop(self) -> None:
        """Let go of everything; what is still under way is given up."""
        ...


@dataclass
class _Unit:
    """A job, the worker that had it last, and how often it has failed."""

    job: Job
    worker: Worker | None = None
    tries: int = 0


class Pool:
    """Gives the jobs of a task to workers; used once, inside `with`.

    Args:
        recruit: makes the workers; called when there is a job that is not done yet.
        patience: seconds to go on without any worker that is ready.
        shortage: what to do where none is, for the message.
        say: told of workers that are lost or left out.
    """

    def __init__(
        self, recruit: Callable[[], Sequence[Worker]], patience: float, shortage: str, say: Say
    ) -> None:
        self._recruit = recruit
        self._patience = patience
        self._shortage = shortage
        self._say = say
        self._workers: Sequence[Worker] = ()
        self._idle: deque[Worker] = deque()
        self._under_way: dict[Future[Any], tuple[Worker, _Unit | None]] = {}
        self._again: deque[_Unit] = deque()
        self._failed_starts: Counter[Worker] = Counter()
        self._refusal: WorkflowError | None = None
        self._last_ready = 0.0
        self._is_exhausted = False
        self._has_run = False

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the workers; after an interrupt, once the jobs under way are over."""
        busy = [future for future, (_, unit) in self._under_way.items() if unit is not None]
        try:
            if kind is KeyboardInterrupt and busy:
                self._say("Waiting for what is under way; Ctrl-C gives it up.")
                wait(busy)
        finally:
            for worker in self._workers:
                worker.stop()

    def run(self, task: Task, *, force: bool = False) -> Iterator[Outcome]:
        """Run the jobs; each outcome comes as soon as its job is over, in any order.

        Args:
            task: from `prepare`.
            force: run them even if they are done.

        Raises:
            WorkflowError: no worker can work, before the first job has run. Later that is the last
                outcome.
        """
        jobs = iter(task.jobs)
        for job in jobs:
            if force or not is_finished(task, job):
                self._again.append(_Unit(job))
                break
            yield Outcome(job)
        else:
            return
        self._last_ready = time.monotonic()
        self._workers = self._recruit()
        for worker in self._workers:
            self._start(worker)
        while True:
            yield from self._hand_out(task, jobs, force)
            if self._is_over():
                return
            if self._is_hopeless():
                yield from self._give_up(jobs)
                return
            done, _ = wait(self._under_way, self._time_left(), FIRST_COMPLETED)
            for future in done:
                worker, unit = self._under_way.pop(future)
                if unit is None:
                    self._note_start(worker, future)
                else:
                    yield from self._settle(worker, unit, future)

    def _start(self, worker: Worker) -> None:
        self._under_way[worker.start()] = (worker, None)

    def _hand_out(self, task: Task, jobs: Iterator[Job], force: bool) -> Iterator[Outcome]:
        """Give every idle worker a unit; what an earlier run has done is an outcome."""
        for worker in list(self._idle):
            unit = self._pick(worker, jobs)
            while unit is not None and self._is_done(unit, task, force):
                yield Outcome(unit.job)
                unit = self._pick(worker, jobs)
            if unit is not None:
                self._idle.remove(worker)
                unit.worker = worker
                self._under_way[worker.run(unit.job)] = (worker, unit)

    def _is_done(self, unit: _Unit, task: Task, force: bool) -> bool:
        return unit.worker is None and not force and is_finished(task, unit.job)

    def _pick(self, worker: Worker, jobs: Iterator[Job]) -> _Unit | None:
        """The next unit for a worker: what another one has failed at, else one that is new."""
        is_alone = len(self._idle) + self._count_busy() == 1
        for unit in self._again:
            if unit.worker is not worker or is_alone:
                self._again.remove(unit)
                return unit
        job = next(jobs, None)
        self._is_exhausted = job is None
        return None if job is None else _Unit(job)

    def _count_busy(self) -> int:
        return sum(unit is not None for _, unit in self._under_way.values())

    def _is_over(self) -> bool:
        return self._is_exhausted and not self._again and not self._count_busy()

    def _time_left(self) -> float | None:
        """How long to wait for news: for a worker that is at work, any time."""
        if self._idle or self._count_busy():
            self._last_ready = time.monotonic()
            return None
        return max(0.0, self._last_ready + self._patience - time.monotonic())

    def _is_hopeless(self) -> bool:
        left = self._time_left()
        return not self._under_way or left == 0.0

    def _give_up(self, jobs: Iterator[Job]) -> Iterator[Outcome]:
        error = self._refusal or WorkflowError(self._shortage, stops_run=True)
        if not self._has_run:
            raise error
        job = self._again[0].job if self._again else next(jobs, None)
        if job is not None:
            yield Outcome(job, error=error)

    def _note_start(self, worker: Worker, future: Future[None]) -> None:
        error = future.exception()
        if error is None:
            self._failed_starts.pop(worker, None)
            self._idle.append(worker)
            self._refusal = None
            return
        self._failed_starts[worker] += 1
        if isinstance(error, RunnerLost) and self._failed_starts[worker] < STARTS:
            self._start(worker)
            return
        self._leave_out(_as_workflow_error(error))

    def _leave_out(self, error: WorkflowError) -> None:
        self._refusal = error
        self._say(f"One worker less: {error}")

    def _settle(self, worker: Worker, unit: _Unit, future: Future[Outcome]) -> Iterator[Outcome]:
        outcome = _outcome_of(unit.job, future)
        error = outcome.error
        if isinstance(error, RunnerLost):
            unit.tries += error.was_running
            self._say(f"{error} What it had is done again." if unit.tries < TRIES else str(error))
            self._start(worker)
        elif isinstance(error, WorkflowError) and error.stops_run:
            # The others may be able to do what this one refuses.
            self._leave_out(error)
        else:
            self._idle.append(worker)
            unit.tries += error is not None
        if error is not None and unit.tries < TRIES:
            self._again.append(unit)
            return
        self._has_run = True
        if isinstance(error, RunnerLost):
            message = f"its worker ended at it {TRIES} times, and it is left out: {error}"
            outcome = Outcome(unit.job, error=WorkflowError(message))
        yield outcome


def _outcome_of(job: Job, future: Future[Outcome]) -> Outcome:
    error = future.exception()
    return future.result() if error is None else Outcome(job, error=_as_workflow_error(error))


def _as_workflow_error(error: BaseException) -> WorkflowError:
    if isinstance(error, WorkflowError):
        return error
    return WorkflowError(f"{type(error).__name__}: {one_line(error)}")
