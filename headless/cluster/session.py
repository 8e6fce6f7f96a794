"""Ray itself: begun on this machine or joined, what it has, and how it fails."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from ..errors import WorkflowError, one_line
from ..extras import missing_extra
from ..local.pack import PACK_ROOT

AUTO = "auto"
# Whose models and settings are used, see `local.pack.find_home`.
HOME = "COMFYUI_PATH"
# What the shared memory of this machine's own session holds are tasks and names of files.
STORE_BYTES = 100 * 2**20
ANSWER_SECONDS = 30.0
# Ray would report to its makers that it is used.
REPORTS = "RAY_USAGE_STATS_ENABLED"


def require_ray(option: str) -> None:
    """Make sure that Ray is installed.

    Raises:
        WorkflowError: with the command that installs it.
    """
    if importlib.util.find_spec("ray") is None:
        raise missing_extra("ray", option)


@contextmanager
def session(address: str | None, workers: int) -> Iterator[Any]:
    """Ray's module, connected as long as the context lasts.

    Args:
        address: of a cluster ("auto" for the one that this machine belongs to), None to begin a
            session on this machine that ends with the context.
        workers: how many the session on this machine has to have room for.

    Raises:
        WorkflowError: there is no such cluster, or it does not answer in time.
    """
    os.environ.setdefault(REPORTS, "0")
    if address is not None:
        _ask(address)
    ray: Any = importlib.import_module("ray")
    own = {
        "num_cpus": workers,
        "include_dashboard": False,
        "object_store_memory": STORE_BYTES,
    }
    # What Ray has to say of workers that ended goes to the standard output.
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        try:
            ray.init(
                address="local" if address is None else address,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                runtime_env={"env_vars": _variables()},
                **({} if address else own),
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise _refusal(address, error) from error
        try:
            yield ray
        finally:
            ray.shutdown()


def _variables() -> dict[str, str]:
    """The environment of workers: they import this package, from the same place on each machine."""
    paths = [str(PACK_ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    variables = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if HOME in os.environ:
        variables[HOME] = os.path.abspath(os.environ[HOME])
    return variables


def _ask(address: str) -> None:
    """Whether a cluster answers; in a process of its own, for Ray itself may wait for minutes."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    if address != AUTO:
        command += ["--address", address]
    try:
        done = subprocess.run(command, capture_output=True, timeout=ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise _refusal(address, f"no answer within {ANSWER_SECONDS:g} s") from None
    if done.returncode != 0:
        raise _refusal(address, "no answer")


def _refusal(address: str | None, reason: object) -> WorkflowError:
    if address is None:
        return WorkflowError(f"Ray does not start on this machine: {one_line(reason)}")
    if address == AUTO:
        return WorkflowError(
            f"--ray auto: this machine is in no Ray cluster that answers ({one_line(reason)}). "
            "Start one with ray start --head, or give its address, HOST:PORT."
        )
    return WorkflowError(
        f"--ray {address}: no Ray cluster answers there ({one_line(reason)}). Give the HOST:PORT "
        "that ray start --head has printed, on a machine of that cluster."
    )
