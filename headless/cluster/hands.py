"""What a worker of Ray's does: it opens the pack once and keeps its models for all jobs."""

from __future__ import annotations

import importlib
import os
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import WorkflowError
from ..runs import Outcome, Task, run_job
from ..sources.units import Job


@dataclass(frozen=True)
class Setup:
    """What every worker of a run is told.

    Args:
        task: without its jobs, which come one by one.
        force: run jobs even if they are done.
        models: folder of the model files, None for the usual one.
        folder: the working folder, which paths start from.
        threads: how many of the machine's cores a worker may keep busy.
        mark: a file beside the results, which a worker that shares the folder finds.
        calls: folder in which calls to providers are counted, None where there are none.
    """

    task: Task
    force: bool
    models: Path | None
    folder: Path
    threads: int
    mark: Path | None = None
    calls: Path | None = None


class Hands:
    """One worker, in a process of its own; Ray calls it from one thread."""

    def __init__(self) -> None:
        self._open = ExitStack()

    def open(self, setup: Setup) -> WorkflowError | None:
        """Get ready; what is in the way is returned."""
        # Where it is not there, relative paths lead nowhere, and what they name is missed.
        with suppress(OSError):
            os.chdir(setup.folder)
        if setup.mark is not None and not setup.mark.is_file():
            return WorkflowError(
                f"The machine {socket.gethostname()} does not see {setup.mark.parent.absolute()}. "
                "Give an --out that all machines of the cluster share."
            )
        _limit_threads(setup.threads)
        try:
            self._ready(setup)
        except WorkflowError as error:
            return error
        return None

    def run(self, job: Job) -> Outcome:
        """Run one job and write its results."""
        return run_job(self._task, job, self._runner, force=self._force)

    def close(self) -> None:
        """Wait for calls that were sent, and remove temporary files."""
        self._open.close()

    def _ready(self, setup: Setup) -> None:
        from ..local.pack import share_calls
        from ..local.runner import EmbeddedRunner

        runner = EmbeddedRunner(setup.models, out=setup.task.plan.folder)
        self._runner = self._open.enter_context(runner)
        # What it names is a file that the user named, or one that was found where it may be.
        graph = self._runner.localize(setup.task.graph, set(setup.task.graph.nodes))
        self._task = replace(setup.task, graph=graph)
        self._force = setup.force
        if setup.calls is not None:
            share_calls(setup.calls)


def _limit_threads(count: int) -> None:
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(count)
    with suppress(ImportError):
        importlib.import_module("cv2").setNumThreads(count)
