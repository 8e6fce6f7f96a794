"""Finds a ComfyUI, and runs it with this pack in a base folder of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from headless.errors import WorkflowError
from headless.local.pack import PACK_ROOT
from headless.remote.client import HttpClient

PACK_NAME = "segment-anywhere"
HOW_TO_GET_ONE = (
    "Clone https://github.com/comfyanonymous/ComfyUI, install its requirements.txt and this "
    "pack's into its .venv, and set COMFYUI_PATH to it"
)
# What the pack needs beyond ComfyUI's own requirements; without it, every run would fail.
NEEDED_MODULES = ("cv2", "pycocotools", "safetensors", "tenacity", "threadpoolctl", "transformers")
START_SECONDS = 180.0
STOP_SECONDS = 10.0
_INTERPRETERS = (".venv/bin/python", "venv/bin/python", ".venv/Scripts/python.exe")
_UNWANTED = shutil.ignore_patterns(".*", "__pycache__", "tests", "segment-anywhere-out")

# Runs main.py as `python main.py` would, and ends when this process is gone, however it ended: only
# this process holds the other end of the pipe.
_LAUNCHER = """
import os, runpy, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class ComfyMissing(Exception):
    """There is no ComfyUI to test with; the message says how to get one."""


@dataclass(frozen=True)
class Install:
    """A ComfyUI on this machine."""

    root: Path
    python: Path

    @property
    def frontend(self) -> Path | None:
        """The static files of its own frontend, where that is installed."""
        code = "import comfyui_frontend_package as package; print(package.__path__[0])"
        command = [str(self.python), "-c", code]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        static = Path(found.stdout.strip()) / "static"
        return static if found.returncode == 0 and static.is_dir() else None


def find_install() -> Install:
    """Find ComfyUI: $COMFYUI_PATH, the one around this pack, or ~/comfy/ComfyUI.

    Raises ComfyMissing where there is none, or where its Python lacks what the pack needs.
    """
    root = _find_root()
    if not (root / "main.py").is_file():
        raise ComfyMissing(f"no ComfyUI at {root}. {HOW_TO_GET_ONE}.")
    found = (root / name for name in _INTERPRETERS if (root / name).is_file())
    install = Install(root, next(found, Path(sys.executable)))
    missing = _missing_modules(install.python)
    if missing:
        requirements = PACK_ROOT / "requirements.txt"
        raise ComfyMissing(
            f"the ComfyUI at {root} lacks {missing}. "
            f"Run {install.python} -m pip install -r {requirements}."
        )
    return install


def _find_root() -> Path:
    named = os.environ.get("COMFYUI_PATH")
    if named:
        return Path(named).expanduser().absolute()
    if PACK_ROOT.parent.name == "custom_nodes":
        return PACK_ROOT.parent.parent
    return Path("~/comfy/ComfyUI").expanduser()


def _missing_modules(python: Path) -> str:
    code = (
        "import sys; from importlib.util import find_spec; "
        "print(*(name for name in sys.argv[1:] if find_spec(name) is None), sep=', ')"
    )
    command = [str(python), "-c", code, *NEEDED_MODULES]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class ComfyServer:
    """A ComfyUI process. Everything it reads and writes is below `base`.

    base: an existing empty folder; fill its `models` and `custom_nodes` before `start`.
    packs: folder names below custom_nodes to load, beside this pack's. variables: to add to its
    environment.
    """

    def __init__(
        self,
        install: Install,
        base: Path,
        packs: tuple[str, ...] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.install = install
        self.base = base
        self.packs = (PACK_NAME, *packs)
        self.variables = variables or {}
        self.log_path = base / "comfyui.log"
        self.url = f"http://127.0.0.1:{_free_port()}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log_file: IO[bytes] | None = None
        _place_pack(base / "custom_nodes" / PACK_NAME)

    @property
    def models(self) -> Path:
        return self.base / "models"

    def start(self) -> None:
        """Start and wait until it answers.

        Raises ComfyMissing, with the end of its log, where it does not.
        """
        web_root = self.install.frontend
        if web_root is None:
            # Any page will do for what is not tested in a browser.
            web_root = self.base / "web"
            web_root.mkdir(exist_ok=True)
            (web_root / "index.html").write_text("<!doctype html><title>ComfyUI</title>")
        self._log_file = self.log_path.open("wb")
        self._process = subprocess.Popen(
            self._command(web_root),
            cwd=self.install.root,
            env={**_environment(), **self.variables},
            stdin=subprocess.PIPE,
            stdout=self._log_file,
            stderr=subprocess.STDOUT,
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process, with force where it does not end by itself."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process is not None:
            self._process.stdin.close()
        if self._log_file is not None:
            self._log_file.close()

    def kill(self) -> None:
        """End the process as a crash would, without a chance to save anything."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.stop()

    def log(self, start: int = 0) -> str:
        """What the server has written, from a byte position on."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[start:].decode(errors="replace")

    def log_size(self) -> int:
        return self.log_path.stat().st_size

    def _command(self, web_root: Path) -> list[str]:
        return [
            *(str(self.install.python), "-c", _LAUNCHER),
            str(self.install.root / "main.py"),
            "--cpu",
            *("--port", self.url.rpartition(":")[2]),
            *("--base-directory", str(self.base)),
            "--disable-all-custom-nodes",
            *("--whitelist-custom-nodes", *self.packs),
            *("--database-url", "sqlite:///:memory:"),
            *("--front-end-root", str(web_root)),
            "--disable-api-nodes",
            "--disable-auto-launch",
        ]

    def _wait_until_ready(self) -> None:
        client = HttpClient(self.url, timeout=5.0)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ComfyMissing(self._failure(f"ended with status {self._process.returncode}"))
            try:
                client.get_json("/system_stats")
                return
            except WorkflowError:
                time.sleep(0.2)
        raise ComfyMissing(self._failure(f"gave no answer within {START_SECONDS:.0f} s"))

    def _failure(self, what: str) -> str:
        last = (self.log().strip().splitlines() or ["nothing"])[-1]
        return f"the ComfyUI at {self.install.root} {what}; it last wrote: {last}"


def _environment() -> dict[str, str]:
    # A path meant for the tests' own Python would shadow ComfyUI's modules. And whatever happens,
    # nothing here may reach the network.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def _place_pack(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(PACK_ROOT, target_is_directory=True)
    except OSError:
        # Windows grants links to few.
        shutil.copytree(PACK_ROOT, target, ignore=_UNWANTED)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


NEIGHBOUR = "neighbour-pack"
_NEIGHBOUR_FILES = {
    "__init__.py": "from .nodes import comfy_entrypoint\n",
    "core/__init__.py": "",
    "core/segmenter.py": "NAME = 'the segmenter of the neighbour'\n",
    "nodes/host.py": "def answer(text):\n    return f'the neighbour got {text}'\n",
    "nodes/__init__.py": """
import os
import sys

from comfy_api.latest import ComfyExtension, io

from . import host

# Bad manners, but common: `core` is from now on a top-level module of the whole process.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import core.segmenter


class Neighbour(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NeighbourNode",
            category="neighbour",
            inputs=[io.Mask.Input("mask")],
            outputs=[io.String.Output()],
        )

    @classmethod
    def execute(cls, mask):
        return io.NodeOutput(f"{host.answer(list(mask.shape))}, {core.segmenter.NAME}")


class NeighbourExtension(ComfyExtension):
    async def get_node_list(self):
        return [Neighbour]


async def comfy_entrypoint():
    return NeighbourExtension()
""",
}


CENSUS = "tensor-census"
_CENSUS_FILES = {
    "__init__.py": """
import gc

import torch
from aiohttp import web
from server import PromptServer

NODE_CLASS_MAPPINGS = {}


@PromptServer.instance.routes.get("/census")
async def census(request):
    gc.collect()
    tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor)]
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage() for each in tensors}
    return web.json_response({"bytes": sum(each.nbytes() for each in storages.values())})
""",
}


SUBJECT = "stub-subject"
_SUBJECT_FILES = {
    "__init__.py": """
class RedIsTheSubject:
    def encode_image(self, image):
        return ((image[..., 0] - image[..., 2]) * 4).clamp(0, 1)


class LoadRedIsTheSubject:
    RETURN_TYPES = ("BACKGROUND_REMOVAL",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def load(self):
        return (RedIsTheSubject(),)


NODE_CLASS_MAPPINGS = {"LoadRedIsTheSubject": LoadRedIsTheSubject}
""",
}


def write_neighbour(custom_nodes: Path) -> None:
    """Make another V3 pack whose folders and modules bear the same names as ours."""
    write_pack(custom_nodes / NEIGHBOUR, _NEIGHBOUR_FILES)


def write_census(custom_nodes: Path) -> None:
    """Make a pack with a route that says how many bytes all live tensors of ComfyUI take."""
    write_pack(custom_nodes / CENSUS, _CENSUS_FILES)


def write_subject(custom_nodes: Path) -> None:
    """Make a pack with a model for ComfyUI's Remove Background: what is red is the subject."""
    write_pack(custom_nodes / SUBJECT, _SUBJECT_FILES)


def write_pack(folder: Path, files: dict[str, str]) -> None:
    """Write the files of a pack, by their path in it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
