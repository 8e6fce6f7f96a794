"""Who does what: losses, failures and refusals of workers whose every step is written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from headless.errors import RunnerLost, WorkflowError
from headless.graph import parse_graph
from headless.pool import STARTS, TRIES, Pool
from headless.runs import Outcome, Task
from headless.sinks.files import NodeResult, Plan, save, signature
from headless.sources.units import Job

GRAPH = parse_graph({"1": {"class_type": "SaveImage", "inputs": {}}}, "test")
SHORTAGE = "nobody is there"
LOST = RunnerLost("It is gone.", was_running=True)
OUT_OF_REACH = RunnerLost("It does not answer.")
BROKEN = WorkflowError("no picture")
REFUSED = WorkflowError("lacks a node", stops_run=True)
Answer = Callable[[Job], Exception | None]


class Scripted:
    """A worker that settles at once: with an error of its script, or with success."""

    def __init__(self, answer: Answer, starts: Sequence[Exception | None] = ()) -> None:
        self.began: list[str] = []
        self.starts = 0
        self.is_stopped = False
        self._answer = answer
        self._starts = list(starts)

    def start(self) -> Future[None]:
        self.starts += 1
        future: Future[None] = Future()
        error = self._starts.pop(0) if self._starts else None
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
        return future

    def run(self, job: Job) -> Future[Outcome]:
        self.began.append(job.stem)
        future: Future[Outcome] = Future()
        error = self._answer(job)
        if error is None or isinstance(error, WorkflowError):
            future.set_result(Outcome(job, () if error else (Path(job.stem),), error))
        else:
            future.set_exception(error)
        return future

    def stop(self) -> None:
        self.is_stopped = True


def fine(job: Job) -> None:
    return None


def failing(stem: str, error: Exception, times: int = 99) -> Answer:
    """Fails so often for one job; the count is shared by all workers that get this answer."""
    left = [times]

    def answer(job: Job) -> Exception | None:
        if job.stem != stem or left[0] == 0:
            return None
        left[0] -= 1
        return error

    return answer


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(GRAPH, None, [Job(stem) for stem in "abcde"], Plan(tmp_path, {"1": "x"}))


def work(
    task: Task, workers: Sequence[Scripted], *, force: bool = False, patience: float = 60.0
) -> tuple[dict[str, Outcome], list[str]]:
    said: list[str] = []
    with Pool(lambda: workers, patience, SHORTAGE, said.append) as pool:
        outcomes = list(pool.run(task, force=force))
    assert all(worker.is_stopped for worker in workers)
    assert len({each.job.stem for each in outcomes}) == len(outcomes)
    return {each.job.stem: each for each in outcomes}, said


def begun(workers: Sequence[Scripted]) -> str:
    return "".join(sorted("".join("".join(worker.began) for worker in workers)))


@pytest.mark.parametrize("count", [1, 2, 7])
def test_every_job_is_done_once(task, count):
    workers = [Scripted(fine) for _ in range(count)]
    outcomes, said = work(task, workers)
    assert sorted(outcomes) == list("abcde") and all(each.written for each in outcomes.values())
    assert begun(workers) == "abcde" and not said


FAILURES = [
    # What a job meets, how often, how often it is begun, and what becomes of it.
    (LOST, 1, 2, None),
    (LOST, 99, TRIES, "ended at it 2 times"),
    (OUT_OF_REACH, 5, 6, None),
    (BROKEN, 1, 2, None),
    (BROKEN, 99, TRIES, "no picture"),
    (KeyError("surprise"), 99, TRIES, "KeyError: 'surprise'"),
]


@pytest.mark.parametrize(("error", "times", "tries", "text"), FAILURES, ids=str)
def test_a_job_that_fails_costs_no_other(task, error, times, tries, text):
    answer = failing("b", error, times)
    workers = [Scripted(answer), Scripted(answer)]
    outcomes, said = work(task, workers)
    assert begun(workers) == "a" + "b" * tries + "cde"
    others = [each for stem, each in outcomes.items() if stem != "b"]
    assert len(others) == 4 and all(each.written for each in others)
    if text is None:
        assert outcomes["b"].written
    else:
        assert text in str(outcomes["b"].error) and not outcomes["b"].stops_run
    # A worker is begun anew for each loss, and only then is anything said.
    losses = min(times, tries) if isinstance(error, RunnerLost) else 0
    assert sum(worker.starts for worker in workers) == 2 + losses and len(said) == losses


def test_a_second_try_is_another_workers(task):
    bad, good = Scripted(lambda job: LOST), Scripted(fine)
    outcomes, _ = work(task, [bad, good])
    assert all(each.written for each in outcomes.values()) and len(outcomes) == 5
    assert sorted(good.began) == list("abcde")


def test_what_one_worker_refuses_another_does(task):
    workers = [Scripted(lambda job: REFUSED), Scripted(fine)]
    outcomes, said = work(task, workers)
    assert all(each.written for each in outcomes.values()) and len(outcomes) == 5
    assert len(workers[0].began) == 1 and said == ["One worker less: lacks a node"]


def test_what_all_refuse_is_an_error(task):
    with pytest.raises(WorkflowError, match="lacks a node"):
        work(task, [Scripted(lambda job: REFUSED), Scripted(lambda job: REFUSED)])


def test_a_refusal_after_the_first_job_is_the_last_outcome(task):
    outcomes, _ = work(task, [Scripted(failing("c", REFUSED))])
    assert list(outcomes) == ["a", "b", "c"] and outcomes["c"].stops_run


STARTED = [
    # How the attempts of the first worker end, how many there are, and whether it then works.
    ([None], 1, True),
    ([LOST] * (STARTS - 1), STARTS, True),
    ([LOST] * STARTS, STARTS, False),
    ([REFUSED], 1, False),
    ([KeyError("surprise")], 1, False),
]


@pytest.mark.parametrize(("starts", "attempts", "works"), STARTED, ids=str)
def test_a_worker_that_does_not_start_is_left_out(task, starts, attempts, works):
    workers = [Scripted(fine, starts), Scripted(fine)]
    outcomes, said = work(task, workers)
    assert all(each.written for each in outcomes.values()) and len(outcomes) == 5
    assert workers[0].starts == attempts
    assert len(said) == (not works)


def test_without_a_worker_that_starts_the_reason_is_told(task):
    with pytest.raises(WorkflowError, match="lacks a node"):
        work(task, [Scripted(fine, [REFUSED])])


def test_workers_that_never_become_ready_are_waited_for_in_vain(task):
    waiting = Scripted(fine)
    waiting.start = Future  # type: ignore[method-assign]
    with pytest.raises(WorkflowError, match=SHORTAGE):
        work(task, [waiting], patience=0.01)


def test_all_workers_gone_midway_is_the_last_outcome(task):
    """As after a fire: what was begun is lost, and nobody comes back."""
    worker = Scripted(failing("c", LOST))
    once = worker.start
    worker.start = lambda: once() if not worker.began else Future()  # type: ignore[method-assign]
    outcomes, _ = work(task, [worker], patience=0.01)
    assert list(outcomes) == ["a", "b", "c"]
    assert outcomes["c"].stops_run and SHORTAGE in str(outcomes["c"].error)


def _finish(task: Task, stems: str) -> None:
    for job in task.jobs:
        if job.stem in stems:
            result = NodeResult("1", texts=["made"])
            save(task.plan, job, [result], signature(task.graph, task.plan.names, None))


def test_only_what_is_missing_is_done(task):
    _finish(task, "abd")
    workers = [Scripted(fine)]
    outcomes, _ = work(task, workers)
    assert begun(workers) == "ce"
    assert [stem for stem, each in outcomes.items() if each.skipped] == ["a", "b", "d"]
    workers = [Scripted(fine)]
    work(task, workers, force=True)
    assert begun(workers) == "abcde"


def test_nobody_is_recruited_where_all_is_done(task):
    _finish(task, "abcde")
    worker = Scripted(fine)
    with Pool(lambda: [worker], 0.0, SHORTAGE, print) as pool:
        assert all(each.skipped for each in pool.run(task))
    assert worker.starts == 0 and not worker.is_stopped


def test_an_interrupt_waits_for_what_is_under_way(task):
    held: Future[Outcome] = Future()
    workers = [Scripted(fine), Scripted(fine)]
    given: list[Job] = []
    said: list[str] = []

    def run(job: Job) -> Future[Outcome]:
        given.append(job)
        if len(given) == 2:
            raise KeyboardInterrupt
        return held

    def say(line: str) -> None:
        said.append(line)
        assert not any(worker.is_stopped for worker in workers)
        held.set_result(Outcome(given[0], [Path("a")]))

    for worker in workers:
        worker.run = run  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt), Pool(lambda: workers, 60, "", say) as pool:
        list(pool.run(task))
    assert said == ["Waiting for what is under way; Ctrl-C gives it up."]
    assert all(worker.is_stopped for worker in workers)
