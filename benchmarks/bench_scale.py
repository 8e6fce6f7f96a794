"""Many images: what a worker costs beside a plain loop, what two bring, and a machine that dies.

    python -m benchmarks.bench_scale [--images 200] [--workers 2]

Each image is loaded, clicked and saved into a COCO dataset, as workflows/api/dataset.json does,
with the built-in engine and with a small trained SAM 2. The loop calls the same nodes in a row and
does nothing else. One worker is this process, as with --workers 1; more are processes of Ray's.
All have the same number of threads, the cores divided by --workers. A rate is that from the time at
which every worker is at work, so that starting is not in it; each is measured in a process of its
own, after the other. Memory is what a process has for itself alone. Last, a Ray cluster of two
machines on this one, of which one is killed when half of the images are done.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from PIL import Image

from headless.cluster.crew import RayCrew, Wanted
from headless.cluster.session import STORE_BYTES
from headless.crews import Crew, Where, open_crew
from headless.graph import load_graph
from headless.local.core_nodes import LoadImage
from headless.local.pack import host_dirs, start_host
from headless.pictures import Pictures
from headless.runs import Request, Task
from headless.sources.units import Source

from .harness import HEAD, ROOT, Row, random_frames, run_node

ENGINES = {"built-in": "grabcut (built in)", "SAM 2 (trained, small)": "sam2/tiny"}
CLICK = "[[320, 240]]"
SIZE = (480, 640)


@dataclass(frozen=True)
class Setting:
    """One measurement: the folder of the images, of the models and of the results."""

    photos: Path
    models: Path
    out: Path
    model: str
    workers: int = 1

    @property
    def files(self) -> list[Path]:
        return sorted(self.photos.iterdir())


@dataclass(frozen=True)
class Measured:
    """Images a second once all are at work, and MiB of the largest worker."""

    rate: float
    memory: float


def measured(times: list[float], workers: int, memory: int) -> Measured:
    # The first images of each worker begin before the other one is ready.
    first = 2 * workers
    return Measured((len(times) - 1 - first) / (times[-1] - times[first]), memory / 2**20)


def own_memory(process: psutil.Process) -> int:
    return process.memory_full_info().uss


def loop(setting: Setting) -> Measured:
    """The nodes in a row, for each image."""
    work = Path(tempfile.mkdtemp(prefix="segment-anywhere-bench-"))
    start_host(host_dirs(setting.models, work, out=setting.out))
    nodes = importlib.import_module("segment_anywhere.nodes")
    asyncio.run(nodes.comfy_entrypoint())
    by_id = {node.GET_SCHEMA().node_id: node for node in nodes.NODES}
    pictures = Pictures({})
    load = LoadImage.reading(pictures)()
    (handle,) = run_node(by_id["SegmentAnywhereLoadSAM"], model=setting.model)[:1]
    times = []
    for path in setting.files:
        image, _ = load.execute(pictures.admit(str(path)))
        found = run_node(by_id["SegmentAnywherePoint"], model=handle, image=image, points=CLICK)
        save = {"filename_prefix": "dataset/image", "image_name": path.name, "format": "COCO"}
        run_node(by_id["SegmentAnywhereSave"], segments=found[1], image=image, **save)
        times.append(time.perf_counter())
    shutil.rmtree(work)
    return measured(times, 1, own_memory(psutil.Process()))


def task_of(crew: Crew, setting: Setting) -> Task:
    graph = load_graph(ROOT / "workflows" / "api" / "dataset.json")
    chosen = [f"Load SAM.model={setting.model}", f"Point Segment.points={CLICK}"]
    sources = [Source(str(path)) for path in setting.files]
    return crew.prepare(Request(graph, "bench", setting.out, sources, assignments=chosen))


def crew(setting: Setting) -> Measured:
    """The same through the command line's own code."""
    times = []
    where = Where(setting.out, models=setting.models, workers=setting.workers)
    with open_crew(where, print) as crew:
        for outcome in crew.run(task_of(crew, setting)):
            if outcome.error is not None:
                raise outcome.error
            times.append(time.perf_counter())
        memory = largest_worker() if setting.workers > 1 else own_memory(psutil.Process())
    return measured(times, setting.workers, memory)


def largest_worker() -> int:
    found = psutil.Process().children(recursive=True)
    return max(own_memory(each) for each in found if "ray::Hands" in " ".join(each.cmdline()))


def after_a_death(setting: Setting) -> tuple[int, int]:
    """A cluster of two machines, one of which dies halfway: pictures lost, and those twice."""
    from ray.cluster_utils import Cluster

    room = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={**room, "include_dashboard": False})
    second = cluster.add_node(**room)
    jobs: Counter[str] = Counter()
    wanted = Wanted(2, cluster.address, None, setting.models, setting.out)
    try:
        with RayCrew(wanted, print) as crew:
            for outcome in crew.run(task_of(crew, setting)):
                jobs[outcome.job.stem] += outcome.error is None
                if jobs.total() == len(setting.files) // 2:
                    cluster.remove_node(second, allow_graceful=False)
    finally:
        cluster.shutdown()
    coco = json.loads((setting.out / "dataset" / "annotations.json").read_text())
    saved = Counter(Path(each["file_name"]).stem for each in coco["images"])
    lost = sum(not (jobs[path.stem] and saved[path.stem]) for path in setting.files)
    return lost, sum(count > 1 for count in (*jobs.values(), *saved.values()))


def alone(work: Callable[[Setting], Any], setting: Setting) -> Any:
    """What some work returns, in a process of its own."""
    shutil.rmtree(setting.out, ignore_errors=True)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, setting).result()


def rows(name: str, setting: Setting, workers: int) -> list[Row]:
    """The three measurements of one engine."""
    plain = alone(loop, setting)
    one = alone(crew, setting)
    more = alone(crew, Setting(setting.photos, setting.models, setting.out, setting.model, workers))
    return [
        Row(f"{name}, one worker beside the loop", one.rate, plain.rate, "images/s"),
        Row(f"{name}, {workers} workers beside one", more.rate, one.rate, "images/s"),
        Row(f"{name}, memory of one worker beside the loop", one.memory, plain.memory, "MiB"),
        Row(f"{name}, memory of one of {workers} workers", more.memory, plain.memory, "MiB"),
    ]


def write_photos(folder: Path, count: int) -> None:
    folder.mkdir()
    for index, frame in enumerate(random_frames(count, *SIZE)):
        Image.fromarray(frame).save(folder / f"{index:04}.jpg", quality=95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    threads = max(1, (os.cpu_count() or 1) // chosen.workers)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, {threads} threads for each worker")
    print(f"{'':<54}{HEAD}")
    with tempfile.TemporaryDirectory(prefix="segment-anywhere-bench-") as name:
        folder = Path(name)
        write_photos(folder / "photos", chosen.images)
        shutil.copytree(ROOT / "tests/fixtures/sam2_tiny", folder / "models" / "sam2" / "tiny")
        for engine, model in ENGINES.items():
            setting = Setting(folder / "photos", folder / "models", folder / "out", model)
            for row in rows(engine, setting, chosen.workers):
                print(row, flush=True)
        lost, twice = alone(after_a_death, setting)
        print(Row("a machine killed halfway: pictures lost", lost, unit=""))
        print(Row("a machine killed halfway: pictures twice", twice, unit=""))


if __name__ == "__main__":
    main()
