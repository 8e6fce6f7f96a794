"""Calls to a provider, against a loopback server that answers after a fixed delay.

    python -m benchmarks.bench_remote [--delay 0.3] [--repeats 9]

The server is a process of its own, reads what comes, waits, and answers as Segmind does with a mask
made beforehand, so that only the client is measured. The peer of the batch is what the delay alone
takes; of a single call, encoding the image and a bare aiohttp request; of the run lengths,
pycocotools.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gzip
import logging
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import cast

import aiohttp
import cv2
import numpy as np
import torch
from aiohttp import web
from pycocotools import mask as coco
from segment_anywhere.core.providers.batch import BatchRequest
from segment_anywhere.core.providers.contract import Profile
from segment_anywhere.core.providers.images import encode_picture, frame_pixels
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.registry import PROVIDERS
from segment_anywhere.core.providers.runs import Hooks, segment
from segment_anywhere.core.providers.scheduler import RunLimits
from segment_anywhere.core.results import rle

from tests.support.servers import KEY
from tests.support.servers.vision import picture

from .harness import HEAD, Row, alternate, random_frames

SEGMIND = PROVIDERS["segmind"]
HOOKS = Hooks(lambda: None, lambda done, total, text: None)
FRAMES, CONCURRENCY = 8, 4
SMALL, ONE_MEGAPIXEL, FULL_HD = (480, 640), (1024, 1024), (1080, 1920)


@dataclass(frozen=True)
class FixedServer:
    """A Segmind that has its answer ready, in a process of its own: a vendor's work is not ours."""

    url: str
    _pipe: Connection

    def received(self) -> int:
        """How many calls came so far."""
        self._pipe.send(True)
        return cast(int, self._pipe.recv())


@contextmanager
def fixed_server(delay: float, answer: bytes) -> Iterator[FixedServer]:
    """A server that waits so many seconds before each answer."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(delay, answer, theirs), daemon=True)
    process.start()
    try:
        yield FixedServer(cast(str, ours.recv()), ours)
    finally:
        ours.send(False)
        process.join()


def _serve(delay: float, answer: bytes, pipe: Connection) -> None:
    asyncio.run(_serving(delay, answer, pipe))


async def _serving(delay: float, answer: bytes, pipe: Connection) -> None:
    received = 0

    async def handle(request: web.Request) -> web.Response:
        nonlocal received
        received += 1
        await request.read()
        await asyncio.sleep(delay)
        return web.Response(body=answer, content_type="image/png")

    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}")
    while await asyncio.to_thread(pipe.recv):
        pipe.send(received)
    await runner.cleanup()


def ellipse(size: tuple[int, int]) -> np.ndarray:
    """A mask with a smooth outline, [H, W] uint8 of 0 and 1."""
    centre, axes = (size[1] // 2, size[0] // 2), (size[1] // 3, size[0] // 3)
    return cv2.ellipse(np.zeros(size, np.uint8), centre, axes, 20, 0, 360, 1, cv2.FILLED)


def images(count: int, size: tuple[int, int]) -> torch.Tensor:
    """IMAGE [count, H, W, 3]."""
    return torch.from_numpy(np.stack(random_frames(count, *size))).float() / 255


def run(server: FixedServer, image: torch.Tensor, paid: Journal) -> None:
    profile = Profile("segmind", "", server.url, KEY)
    ask = BatchRequest(SEGMIND, profile, {"prompt": "ellipse"}, [[]] * len(image))

    async def work() -> None:
        # Without the result: asyncio.run would make a text of its tensors.
        await segment(image, ask, RunLimits(CONCURRENCY), HOOKS, paid)

    asyncio.run(work())


async def bare_call(server: FixedServer, frame: torch.Tensor) -> bytes:
    """The same image and body with nothing but aiohttp."""
    encoded = base64.b64encode(
        encode_picture(frame_pixels(frame[None]), SEGMIND.limits).data
    ).decode()
    body = {"image": encoded, "prompt": "ellipse", "base64": False, "overlay_mask": False}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{server.url}/v1/sam-v2-image", json=body, headers={"x-api-key": KEY}
        ) as response,
    ):
        return await response.read()


def batch_rows(size: tuple[int, int], delay: float, repeats: int) -> list[Row]:
    """Eight frames at a time, and the same frames again."""
    image, paid = images(FRAMES, size), Journal()
    with fixed_server(delay, picture(ellipse(size) > 0)) as server:
        (fresh,) = alternate(repeats, lambda _: run(server, image, Journal()))
        run(server, image, paid)
        sent = server.received()
        (warm,) = alternate(repeats, lambda _: run(server, image, paid))
        again = server.received() - sent
    name = f"{FRAMES} frames of {size[1]}x{size[0]}, {CONCURRENCY} at a time"
    return [
        Row(name, fresh, delay * 1000 * FRAMES / CONCURRENCY),
        Row("the same again, from the journal", warm),
        Row("requests sent for that", again, unit=""),
    ]


def call_rows(delay: float, repeats: int) -> list[Row]:
    """One call, beside a bare request."""
    image = images(1, ONE_MEGAPIXEL)
    with fixed_server(delay, picture(ellipse(ONE_MEGAPIXEL) > 0)) as server:
        ours, bare = alternate(
            repeats,
            lambda _: run(server, image, Journal()),
            lambda _: asyncio.run(bare_call(server, image[0])),
        )
    return [
        Row("one call with 1 MP, encoding included", ours, bare),
        Row("of that, what we add", ours - bare),
    ]


def decode_row(repeats: int) -> Row:
    """Run lengths of 1080p as MoArk sends them, beside pycocotools on the bare string."""
    packed = coco.encode(np.asfortranarray(ellipse(FULL_HD)))
    wrapped = base64.b64encode(gzip.compress(packed["counts"]))
    ours, peer = alternate(
        repeats, lambda _: rle.decode(wrapped, FULL_HD), lambda _: coco.decode(packed)
    )
    return Row("run lengths of 1920x1080 to a mask", ours, peer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--delay", type=float, default=0.3, help="seconds for each answer")
    parser.add_argument("--repeats", type=int, default=9)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    print(f"{'':<44}{HEAD}")
    for size in (SMALL, ONE_MEGAPIXEL):
        for row in batch_rows(size, chosen.delay, chosen.repeats):
            print(row, flush=True)
    for row in call_rows(chosen.delay, chosen.repeats):
        print(row, flush=True)
    print(decode_row(10 * chosen.repeats))


if __name__ == "__main__":
    main()
