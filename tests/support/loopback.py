"""Servers on this machine that run in a thread of the tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web


@contextmanager
def running(
    make_app: Callable[[], web.Application], port: int = 0, patience: float = 0.1
) -> Iterator[str]:
    """Serve an application as long as the context lasts; gives its address.

    make_app: called in the thread that serves. port: 0 takes a free one. patience: seconds that
    open connections have at the end.
    """
    loop, ready = asyncio.new_event_loop(), threading.Event()
    addresses: list[str] = []

    async def start() -> web.AppRunner:
        runner = web.AppRunner(make_app(), shutdown_timeout=patience)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        addresses.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        return runner

    async def end_tasks() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.run_until_complete(end_tasks())
        loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield addresses[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(15)
