"""What reading answers takes at the most, whatever a few hundred bytes claim to be."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

# Of whole runs with their servers, above what was taken before the first of them.
MOST_MIB = 300

# In a process of its own, whose peak is known: the one that Linux notes for it alone.
SCRIPT = """
import json, struct, zlib
import torch
from segment_anywhere.core.providers.contract import ProviderError
from segment_anywhere.core.providers.scheduler import RunLimits
from tests.support.asks import QUICK, ask_for, run
from tests.support.servers import SERVERS, faults, serving
from tests.support.servers.vision import b64


def chunk(kind, data):
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def png(width, height, channels):
    packer, row = zlib.compressobj(1), bytes(1 + width * channels)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 4: 6}[channels], 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return bytes.fromhex("89504e470d0a1a0a") + b"".join(parts)


def run_lengths(count, side):
    mask = {"mask": {"size": [side, side], "counts": [side * side // 2] * 2}}
    return faults.status(200, json.dumps({"segments": [mask] * count}))


def peak():
    with open("/proc/self/status") as status:
        (line,) = (each for each in status if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def ask(key, fault, count, height, width):
    with serving(SERVERS[key]()) as server:
        server.faults.extend([fault] * count)
        try:
            run(ask_for(server, key), torch.rand(count, height, width, 3), limits)
        except ProviderError as error:
            return str(error)
    return "read"


limits = RunLimits(4, 100.0, QUICK.transport)
# What is imported only when it is needed is there from now on.
for key in ("segmind", "moark", "airefinery"):
    ask(key, None, 1, 80, 120)
large = faults.body(png(8000, 8000, 4), "image/png")
grey = faults.status(200, json.dumps({"data": [{"b64_json": b64(png(4096, 4096, 1))}] * 4}))
before = peak()
told = [
    ask("segmind", large, 4, 80, 120),
    ask("moark", run_lengths(30, 8000), 1, 80, 120),
    ask("moark", run_lengths(30, 4096), 1, 80, 80),
    ask("moark", run_lengths(6, 4096), 1, 80, 80),
    ask("airefinery", grey, 1, 80, 80),
]
print(json.dumps([peak() - before, told]))
"""
TOO_MANY = "8000 x 8000 pixels; up to 16,777,216 are read for an image of 120 x 80"


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_small_answers_take_little_memory():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    grown, told = json.loads(done.stdout)
    assert TOO_MANY in told[0] and TOO_MANY in told[1]
    assert "30 masks have more than 268,435,456 pixels together" in told[2]
    assert told[3:] == ["read", "read"]
    assert all("The answer is kept" in each for each in told[:3])
    assert 0 <= grown < MOST_MIB
