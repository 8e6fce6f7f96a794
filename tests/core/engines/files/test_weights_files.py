"""Weights files: a loaded model does not depend on its file any more, and reading takes no more
memory than the weights do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers as tf
from safetensors.torch import save_file
from segment_anywhere.core.engines.detectors.base import load_detector
from segment_anywhere.core.engines.files.checkpoints import load_engine, read_weights
from segment_anywhere.core.engines.sam3 import engine as sam3

from tests.support.layouts import write_edgetam_folder
from tests.support.paths import FIXTURES, ROOT
from tests.support.sam3_layouts import write_folder
from tests.support.word_models import MAKERS

# The library is made once, and the probe runs once.
pytestmark = pytest.mark.xdist_group("weights files")

# In a process of its own: whoever reads a map of a file that has become shorter is killed.
PROBE = """
import sys
from pathlib import Path
import torch
from core.engines.files.checkpoints import load_engine
from core.engines.detectors.base import load_detector
from core.prompts.prompts import ObjectPrompt, Point

def keep(file):
    pass

def truncate(file):
    file.open("wb").close()

def overwrite(file):
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.write(b"x" * size)

def remove(file):
    file.unlink()

frame = torch.rand(40, 60, 3, generator=torch.Generator().manual_seed(0))
prompts = [ObjectPrompt("object 0", (Point(20.0, 20.0),))]

def use(engine):
    embedding = engine.encode(frame)
    if hasattr(engine, "detect"):
        found = engine.detect(embedding, ["dog"], 0.01)
        return [*embedding.features, *(each.boxes for each in found)]
    found = engine.decode(embedding, prompts, True)
    return [*embedding.features, *(each.logits for each in found)]

def use_spoilt(path, dtype, spoil):
    load = load_detector if path.name.startswith("detector") else load_engine
    engine = load(path, dtype)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    contents = [file.read_bytes() for file in files]
    for file in files:
        spoil(file)
    found = use(engine)
    for file, content in zip(files, contents):
        file.unlink(missing_ok=True)
        file.write_bytes(content)
    return found

for path in sorted(Path(sys.argv[1]).iterdir()):
    for dtype in (torch.float32, torch.float16)[: 1 + ("half" in path.name)]:
        wanted = use_spoilt(path, dtype, keep)
        for spoil in (truncate, overwrite, remove):
            found = use_spoilt(path, dtype, spoil)
            torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)
            print(spoil.__name__, path.name, dtype, flush=True)
"""


def _write_models(folder: Path) -> None:
    """Every family and every kind of file, with fp32 weights, which need no conversion; two in half
    precision, which need none for an engine in half precision."""
    for family in ("sam", "sam_hq", "edgetam", "sam2"):
        (official,) = (FIXTURES / f"{family}_parity").glob("checkpoint.*")
        state = read_weights(official)
        state = {key: tensor.float().contiguous() for key, tensor in state.items()}
        torch.save({"model": state}, folder / f"{family}.pt")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state, folder / "sam2.safetensors")
    _write_folder(load_engine(folder / "sam2.pt", torch.float32).module, folder / "sam2")
    write_edgetam_folder(folder / "edgetam.pt", folder / "edgetam")
    if hasattr(tf, "Sam3Model"):
        state = read_weights(FIXTURES / "sam3_parity" / "checkpoint.pt")
        engine = sam3.from_official(state, torch.float32, 168)
        write_folder(engine, folder / "sam3")
        engine.module.half()
        write_folder(engine, folder / "sam3_half")
    for name, make in MAKERS.items():
        make(folder / f"detector-{name}")
    shutil.copytree(folder / "detector-owlv2", folder / "detector-half")
    half = load_detector(folder / "detector-half", torch.float32).module.half()
    _write_folder(half, folder / "detector-half")


def _write_folder(module: torch.nn.Module, folder: Path) -> None:
    module.config.save_pretrained(folder)
    weights = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    _write_models(folder)
    return folder


@pytest.fixture(scope="module")
def probe(library) -> subprocess.CompletedProcess[str]:
    """What the probe printed of all models and all ways to spoil a file."""
    command = [sys.executable, "-c", PROBE, str(library)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("spoil", ["truncate", "overwrite", "remove"])
def test_a_loaded_model_outlives_its_file(spoil, library, probe):
    assert probe.returncode == 0, (probe.returncode, probe.stdout[-200:], probe.stderr[-2000:])
    runs = sum(1 + ("half" in path.name) for path in library.iterdir())
    assert sum(line.startswith(spoil) for line in probe.stdout.splitlines()) == runs


def _as_pickle(state: dict[str, torch.Tensor], folder: Path) -> Path:
    torch.save({"epoch": 3, "other": torch.ones(5), "model": state}, folder / "model.pt")
    return folder / "model.pt"


def _as_legacy_pickle(state: dict[str, torch.Tensor], folder: Path) -> Path:
    torch.save(state, folder / "model.pt", _use_new_zipfile_serialization=False)
    return folder / "model.pt"


def _as_safetensors(state: dict[str, torch.Tensor], folder: Path) -> Path:
    save_file({key: x.clone().contiguous() for key, x in state.items()}, folder / "m.safetensors")
    return folder / "m.safetensors"


@pytest.mark.parametrize("unused", [None, re.compile("^memory_")])
@pytest.mark.parametrize("write", [_as_pickle, _as_legacy_pickle, _as_safetensors])
def test_every_weight_is_what_was_saved(write, unused, tmp_path):
    """Views of one storage, some of them unused, nothing at all, a single number, other types."""
    shared, empty = torch.arange(24.0).reshape(4, 6), torch.empty(0)
    saved = {
        "memory_first": torch.rand(3),
        "part": shared[1:3, 2:],
        "turned": shared.T,
        "memory_shared": shared,
        "nothing": empty,
        "memory_nothing": empty,
        "nothing_either": empty,
        "number": torch.tensor(7),
        "half": torch.rand(5).half(),
        "bf16": torch.rand(5).bfloat16(),
        "flags": torch.tensor([True, False]),
        "memory_last": torch.rand(1000),
        "last": torch.rand(1000),
    }
    read = read_weights(write(saved, tmp_path), unused)
    wanted = {key: x for key, x in saved.items() if not (unused and unused.search(key))}
    assert read.keys() == wanted.keys()
    for key, tensor in wanted.items():
        torch.testing.assert_close(read[key], tensor, rtol=0, atol=0)


MEMORY_PROBE = """
import re, sys
from pathlib import Path
from core.engines.files.checkpoints import read_weights

def memory(field):
    return int(Path("/proc/self/status").read_text().split(field + ":")[1].split()[0]) * 1024

read_weights(Path(sys.argv[2]))
Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
state = read_weights(Path(sys.argv[1]), re.compile("^memory_"))
weights = sum(tensor.nbytes for tensor in state.values())
print(sys.argv[1] in Path("/proc/self/maps").read_text(), (memory("VmHWM") - before) / weights)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("write", [_as_pickle, _as_safetensors])
def test_reading_takes_the_memory_of_what_is_used(write, tmp_path):
    """No map of the file is left, and no more than one weight is there twice or in vain."""
    names = [f"{part}.{index}" for index in range(20) for part in ("memory_attention", "decoder")]
    for folder in ("large", "small"):
        (tmp_path / folder).mkdir()
    large = write({name: torch.rand(2**20) for name in names}, tmp_path / "large")
    small = write({name: torch.rand(1) for name in names}, tmp_path / "small")
    command = [sys.executable, "-c", MEMORY_PROBE, str(large), str(small)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    is_mapped, copies = done.stdout.split()
    assert is_mapped == "False"
    assert 0.95 < float(copies) < 1.15
