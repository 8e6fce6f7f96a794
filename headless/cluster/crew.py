"""Workers that Ray runs, as a pool takes them."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import RunnerLost, WorkflowError, one_line
from ..graph import REMOTE_CLASS
from ..pool import Pool, Say
from ..runs import Outcome, Request, Task, open_runner, prepare
from ..sources.units import Job
from .hands import Hands, Setup
from .session import require_ray, session

# A cluster may have to start a machine first.
PATIENCE = 300.0
CLOSE_SECONDS = 10.0


@dataclass(frozen=True)
class Wanted:
    """How many workers, and where.

    Args:
        workers: None for one per share of a GPU, without GPUs one per machine.
        address: of a cluster, None for this machine.
        gpus: of each worker, None to share out what there is.
        models: folder of the model files, None for the usual one.
        out: folder of the results.
    """

    workers: int | None
    address: str | None
    gpus: float | None
    models: Path | None
    out: Path


class RayCrew:
    """Runs tasks with workers of Ray's; used inside `with`.

    Args:
        wanted: how many, and where.
        say: told of workers that are lost or left out.
        patience: seconds to go on without any worker.

    Raises:
        WorkflowError: Ray is not installed.
    """

    def __init__(self, wanted: Wanted, say: Say, patience: float = PATIENCE) -> None:
        require_ray("--workers of 2 or more" if wanted.address is None else "--ray")
        self._wanted = wanted
        self._say = say
        self._patience = patience
        self._pools = ExitStack()
        # What the pools need to the end.
        self._resources = ExitStack()

    def __enter__(self) -> RayCrew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._pools.__exit__(kind, error, trace)
        finally:
            self._resources.close()

    def prepare(self, request: Request) -> Task:
        """Check a request, on this machine.

        Raises:
            WorkflowError: something is wrong with it.
        """
        with open_runner(None, self._wanted.models, self._wanted.out) as runner:
            return prepare(request, runner)

    def run(self, task: Task, *, force: bool = False) -> Iterator[Outcome]:
        """Run the jobs of a task, see `Pool.run`."""
        shortage = (
            f"No worker of Ray's was ready within {self._patience:g} s. Each needs a core"
            f"{self._gpu_text()}: see what is free with ray status, or ask for fewer --workers."
        )
        pool = Pool(lambda: self._recruit(task, force), self._patience, shortage, self._say)
        return self._pools.enter_context(pool).run(task, force=force)

    def _gpu_text(self) -> str:
        return "" if self._wanted.gpus is None else f" and {self._wanted.gpus:g} of a GPU"

    def _recruit(self, task: Task, force: bool) -> list[RayWorker]:
        wanted = self._wanted
        ray = self._resources.enter_context(session(wanted.address, wanted.workers or 1))
        there = ray.cluster_resources()
        gpus, cores = int(there.get("GPU", 0)), int(there.get("CPU", 1))
        machines = sum(each["Alive"] for each in ray.nodes())
        share = gpu_share(gpus, wanted.workers, wanted.gpus)
        count = wanted.workers or (int(gpus / share) if share else machines)
        if wanted.address is None:
            cores = _own_cores()
        is_remote = any(each.class_type == REMOTE_CLASS for each in task.graph.nodes.values())
        setup = Setup(
            replace(task, jobs=()),
            force,
            wanted.models,
            Path.cwd(),
            max(1, cores // count),
            self._resources.enter_context(_mark(wanted.out)) if wanted.address else None,
            self._resources.enter_context(_folder()) if is_remote else None,
        )
        options = placement(ray, share, is_remote)
        kept = ray.put(setup)
        return [RayWorker(ray, options, kept) for _ in range(count)]


def gpu_share(gpus: int, workers: int | None, asked: float | None) -> float:
    """Return how much of a GPU each worker gets: so that all of them have room, 0 without GPUs.

    Args:
        gpus: how many there are.
        workers: how many are wanted, None for any number.
        asked: what the user asks for, None for what fits.

    Raises:
        WorkflowError: more is asked for than there is.
    """
    if asked is not None:
        if asked > gpus:
            have = f"{gpus} GPUs" if gpus else "no GPU"
            raise WorkflowError(
                f"--gpus-per-worker {asked:g}: found {have}. Ask for fewer, or leave it out."
            )
        return asked
    if not gpus:
        return 0.0
    return 1.0 / math.ceil((workers or gpus) / gpus)


def placement(ray: Any, share: float, is_remote: bool) -> dict[str, Any]:
    """Return Ray's options for a worker.

    Paid answers are kept in a file of this machine's, so workers that call a provider stay here.
    """
    options: dict[str, Any] = {"num_gpus": share, "max_restarts": 0, "num_cpus": 1}
    if is_remote:
        here = ray.get_runtime_context().get_node_id()
        near = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        return {**options, "num_cpus": 0, "scheduling_strategy": near}
    return {**options, "scheduling_strategy": "SPREAD"}


class RayWorker:
    """One actor of Ray's; another takes its place when it ends.

    Args:
        ray: the module, connected.
        options: where an actor may be, see `placement`.
        setup: a reference to the `Setup` that Ray keeps.
    """

    def __init__(self, ray: Any, options: dict[str, Any], setup: Any) -> None:
        self._ray = ray
        self._make = ray.remote(Hands).options(**options)
        self._setup = setup
        self._actor: Any = None
        self._is_ready = False

    def start(self) -> Future[None]:
        """Start a process and open the pack in it."""
        self._end()
        self._actor = self._make.remote()
        return _converted(self._actor.open.remote(self._setup), self._opened)

    def run(self, job: Job) -> Future[Outcome]:
        """Run a job there."""
        self._is_ready = False
        return _converted(self._actor.run.remote(job), lambda future: self._ran(job, future))

    def stop(self) -> None:
        """End the process; an idle one closes what it has opened."""
        if self._actor is not None and self._is_ready:
            # It may be gone by now.
            with suppress(self._ray.exceptions.RayError):
                self._ray.get(self._actor.close.remote(), timeout=CLOSE_SECONDS)
        self._end()

    def _end(self) -> None:
        if self._actor is not None:
            self._ray.kill(self._actor)
            self._actor, self._is_ready = None, False

    def _opened(self, future: Future[WorkflowError | None]) -> None:
        error = future.exception()
        if error is not None:
            raise self._loss(error, was_running=False)
        refusal = future.result()
        if refusal is not None:
            raise refusal
        self._is_ready = True

    def _ran(self, job: Job, future: Future[Outcome]) -> Outcome:
        error = future.exception()
        if error is None:
            self._is_ready = True
            return future.result()
        return Outcome(job, error=self._loss(error, was_running=True))

    def _loss(self, error: BaseException, *, was_running: bool) -> WorkflowError:
        kinds = self._ray.exceptions
        if isinstance(error, kinds.RayTaskError):
            cause = getattr(error, "cause", error)
            return WorkflowError(f"{type(cause).__name__}: {one_line(cause)}")
        return RunnerLost(f"A worker ended: {_reason(kinds, error)}.", was_running=was_running)


def _reason(kinds: Any, error: BaseException) -> str:
    """Why a worker ended, of what Ray says on many lines."""
    text = str(error)
    if isinstance(error, kinds.OutOfMemoryError) or "running low on memory" in text:
        return "its machine ran out of memory; fewer --workers need less"
    if "No module named 'headless'" in text:
        return "its machine has no Segment Anywhere in the folder that it has on this one"
    if isinstance(error, kinds.NodeDiedError) or "its node has died" in text:
        return "its machine, or Ray on it, is gone"
    return "it was killed or crashed, perhaps for want of memory"


def _converted(reference: Any, convert: Callable[[Future[Any]], Any]) -> Future[Any]:
    """A future of what `convert` returns, or raises, for the settled one of a reference."""
    result: Future[Any] = Future()

    def settle(future: Future[Any]) -> None:
        try:
            result.set_result(convert(future))
        except BaseException as error:
            result.set_exception(error)

    reference.future().add_done_callback(settle)
    return result


@contextmanager
def _mark(out: Path) -> Iterator[Path]:
    """A file beside the results for the time of a run."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=".segment-anywhere-", dir=out) as file:
        yield Path(file.name)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="segment-anywhere-calls-") as name:
        yield Path(name)


def _own_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
