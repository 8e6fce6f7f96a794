"""Calls at a time over processes: as many as allowed, and none is held by one that has ended."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from segment_anywhere.core.providers import slots

from tests.support.paths import ROOT

CALLS = 9
HOLDER = """
import asyncio, sys
from pathlib import Path
from segment_anywhere.core.providers import slots
slots.share(Path(sys.argv[1]))
async def hold():
    async with slots.one_of(1, "a"), slots.alone_with("key"):
        print("held", flush=True)
        await asyncio.sleep(600)
asyncio.run(hold())
"""


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    slots.share(tmp_path)
    yield tmp_path
    slots.share(None)


async def most_at_once(*limits: tuple[int, str]) -> int:
    """How many calls are under way at most, of so many for each limit and provider."""
    now = most = 0

    async def call(count: int, provider: str) -> None:
        nonlocal now, most
        async with slots.one_of(count, provider):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= 1

    await asyncio.gather(*(call(*limit) for limit in limits for _ in range(CALLS)))
    return most


@pytest.mark.parametrize("count", [1, 2, 4])
def test_no_more_calls_than_allowed(shared, count):
    assert asyncio.run(most_at_once((count, "a"))) == count


def test_each_provider_has_its_own(shared):
    assert asyncio.run(most_at_once((2, "a"), (3, "b"))) == 5


def test_without_a_folder_nothing_is_bounded_here():
    assert asyncio.run(most_at_once((1, "a"))) == CALLS


def test_an_error_gives_the_slot_back(shared):
    async def work() -> int:
        with pytest.raises(KeyError):
            async with slots.one_of(1, "a"):
                raise KeyError
        return await most_at_once((1, "a"))

    assert asyncio.run(work()) == 1


def test_another_process_is_waited_for_until_it_ends(shared):
    command = [sys.executable, "-c", HOLDER, str(shared)]
    holder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"

    async def work() -> None:
        waiting = [asyncio.ensure_future(each) for each in (slot(), request())]
        assert not (await asyncio.wait(waiting, timeout=0.2))[0]
        holder.kill()
        await asyncio.wait_for(asyncio.gather(*waiting), 60)

    async def slot() -> None:
        async with slots.one_of(1, "a"):
            pass

    async def request() -> None:
        async with slots.alone_with("key"):
            pass

    asyncio.run(work())
    holder.communicate()
