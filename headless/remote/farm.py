"""Several ComfyUI servers at one task: each job goes to whichever is free."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from types import TracebackType
from typing import TypeVar

from ..errors import WorkflowError
from ..graph import SAVE_CLASS, Graph
from ..pool import Pool, Say
from ..runs import Outcome, Request, Task, prepare, run_job
from ..sources.units import Job
from .runner import ServerRunner

T = TypeVar("T")
# A server that was lost is looked for so often: it may be restarted.
RETRY_SECONDS = 5.0
# So long none of them may be there.
PATIENCE = 30.0
SHORTAGE = (
    "No ComfyUI of --server answers any more. Start them, and run again: what is done is kept."
)


class Farm:
    """Runs tasks on several servers; used inside `with`.

    Args:
        urls: their addresses, http or https.
        say: told of servers that are lost or left out.
        patience: seconds to go on without any server.

    Raises:
        WorkflowError: a URL is of another kind.
    """

    def __init__(self, urls: Sequence[str], say: Say, patience: float = PATIENCE) -> None:
        for url in urls:
            ServerRunner(url)
        self._urls = urls
        self._say = say
        self._patience = patience
        self._open = ExitStack()

    def __enter__(self) -> Farm:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def prepare(self, request: Request) -> Task:
        """Check a request with the first server that can.

        Raises:
            WorkflowError: none of them can run it.
        """
        _refuse_datasets(request.graph)
        refusals: dict[str, None] = {}
        for url in self._urls:
            try:
                with ServerRunner(url) as runner:
                    return prepare(request, runner)
            except WorkflowError as error:
                refusals[str(error)] = None
        raise WorkflowError(" ".join(refusals))

    def run(self, task: Task, *, force: bool = False) -> Iterator[Outcome]:
        """Run the jobs of a task, see `Pool.run`."""

        def recruit() -> list[ServerWorker]:
            return [ServerWorker(url, task, force) for url in self._urls]

        pool = self._open.enter_context(Pool(recruit, self._patience, SHORTAGE, self._say))
        return pool.run(task, force=force)


class ServerWorker:
    """One server that runs the jobs of a task, each in a thread.

    Args:
        url: its address.
        task: what the jobs are of.
        force: run them even if they are done.
    """

    def __init__(self, url: str, task: Task, force: bool) -> None:
        self._url = url
        self._task = task
        self._force = force
        self._runner = ServerRunner(url)
        self._was_there = False
        self._is_stopped = threading.Event()

    def start(self) -> Future[None]:
        """Make sure that the server can run the graph; wait for one that was there before."""
        return _in_thread(self._find)

    def run(self, job: Job) -> Future[Outcome]:
        """Run a job there."""
        return _in_thread(lambda: run_job(self._task, job, self._runner, force=self._force))

    def stop(self) -> None:
        """Cancel what is under way there."""
        self._is_stopped.set()
        self._runner.stop()

    def _find(self) -> None:
        # A new one each time, for a server that was restarted may have other nodes.
        runner = ServerRunner(self._url)
        while True:
            try:
                runner.__enter__()
                break
            except WorkflowError as error:
                # What was a ComfyUI before may be one again, whatever answers in between.
                if not self._was_there or self._is_stopped.wait(RETRY_SECONDS):
                    raise WorkflowError(str(error), stops_run=True) from error
        runner.check(self._task.graph)
        self._runner, self._was_there = runner, True


def _in_thread(work: Callable[[], T]) -> Future[T]:
    """Work in a thread that does not keep the program from ending."""
    future: Future[T] = Future()

    def settle() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=settle, daemon=True).start()
    return future


def _refuse_datasets(graph: Graph) -> None:
    for node in graph.nodes.values():
        if node.class_type == SAVE_CLASS:
            raise WorkflowError(
                f"{node} would begin a dataset on each of the servers. Use one --server, or "
                "--workers in place of servers."
            )
