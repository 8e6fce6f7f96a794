"""Reads weights files and folders safely, recognises the family by the keys, builds the engine.

Weights are read into memory of their own, not mapped: where a mapped file is cut or overwritten, on
a share or by another download, the system kills the process that uses it. What is not used is not
kept. Pickles are read with `weights_only`, which runs no code from the file.
"""

from __future__ import annotations

import json
import os
import pickle
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, UntypedStorage

from ...errors import CheckpointError, SegmentAnywhereError
from ..base import Engine
from ..families import FAMILIES, Family, family_of_keys, family_of_type
from .strangers import stranger_of_keys, stranger_of_type

if TYPE_CHECKING:
    from torch.serialization import MAP_LOCATION

WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
_WEB_PAGE = re.compile(rb"\s*(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml)", re.IGNORECASE)
_LFS_POINTER = b"version https://git-lfs"
_ZIP = b"PK\x03\x04"
# Checkpoints nest their weights under one of these.
_NESTING_KEYS = ("model", "state_dict")
# Takes a storage as it was read and the device it was saved from; returns what is used for it.
_Placing = Callable[[UntypedStorage, str], UntypedStorage]


def find_family(path: Path) -> Family:
    """The family of a weights file or a transformers folder; reads no weights.

    Raises CheckpointError where the path is missing, unreadable or of no family that is known.
    """
    return _family_of_folder(path)[0] if os.path.isdir(path) else _family_of_file(path)


def family_of_header(path: Path) -> Family | None:
    """The family of a .safetensors file by the names in its header, which is all that is read.

    None for a file of no family that is known, of another format, incomplete or unreadable: this is
    for a look through files that are mostly something else. A file is looked at once, and again
    when its size or time changes.
    """
    state = _size_and_time(path)
    return _family_of_header(path, state) if state and path.suffix == ".safetensors" else None


@lru_cache(maxsize=10_000)
def _family_of_header(path: Path, state: tuple[int, ...]) -> Family | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return family_of_keys(dict.fromkeys(file.keys()))
    except (SafetensorError, OSError):
        return None


def load_engine(path: Path, dtype: torch.dtype) -> Engine:
    """Load a weights file or a transformers folder; dtype is the image encoder's.

    Raises CheckpointError where the path is missing, unreadable or of no family that is known.
    """
    return _load_folder(path, dtype) if os.path.isdir(path) else _load_file(path, dtype)


def _family_of_file(path: Path) -> Family:
    state = _map_weights(path)
    family = family_of_keys(state)
    if family is None:
        if stranger := stranger_of_keys(state):
            raise CheckpointError(f"{path.name}: {stranger.sentence}")
        first = ", ".join(list(state)[:3])
        known = ", ".join(each.title for each in FAMILIES if each.is_official is not None)
        raise CheckpointError(
            f"{path.name}: not a model that is known here. Choose another file in Load SAM. Its "
            f"first keys are {first}. Accepted: {known}, each as the official checkpoint, the same "
            "keys in .safetensors, or a transformers folder."
        )
    return family


def _load_file(path: Path, dtype: torch.dtype) -> Engine:
    family = _family_of_file(path)
    state = read_weights(path, family.unused)
    try:
        return family.builder().from_official(state, dtype)
    except SegmentAnywhereError:
        raise
    except Exception as error:
        # Shapes are read as they come, and transformers checks sizes with errors of its own.
        raise CheckpointError(
            f"{path.name}: looks like {family.title}, but a weight is missing or of an unexpected "
            f"shape. Download it again or choose another file. ({type(error).__name__}: {error})"
        ) from error


def weights_state(path: Path) -> tuple:
    """Names, sizes and times of the files behind a model; changes when any of them does.

    A link that leads nowhere is a file without size and time: whoever reads it says what is wrong.
    """
    files = sorted(path.glob("*")) if os.path.isdir(path) else [path]
    return tuple((file.name, *_size_and_time(file)) for file in files)


def folder_bytes(path: Path) -> int:
    """The size of all files of a folder together."""
    return sum(state[1] for state in weights_state(path) if len(state) > 1)


def _size_and_time(file: Path) -> tuple[int, ...]:
    try:
        stat = file.stat()
    except OSError:
        return ()
    return stat.st_size, stat.st_mtime_ns


def read_weights(path: Path, unused: re.Pattern[str] | None = None) -> dict[str, Tensor]:
    """Read a safetensors or pickled weights file into a flat state dict.

    The content decides which of the two it is, not the name. unused: finds the names of weights
    that are left out. Raises CheckpointError, naming the file, for a missing, truncated or foreign
    file, a web page or pointer saved in its place, and a pickle that would run code.
    """
    head = _checked_head(path)
    if _is_safetensors(path, head):
        return _read_safetensors(path, unused)
    if head.startswith(_ZIP):
        return _read_zip(path, unused)
    return _used(_weights_in(_load_pickle(path), path), unused)


def _map_weights(path: Path) -> dict[str, Tensor]:
    """As `read_weights`, with the tensors mapped: names and shapes without a look at the numbers.

    Let go of them soon: the numbers are only there as long as the file is what it was.
    """
    head = _checked_head(path)
    if _is_safetensors(path, head):
        return _map_safetensors(path)
    # Only the zip container of torch 1.6 and later can be mapped.
    return _weights_in(_load_pickle(path, mmap=head.startswith(_ZIP)), path)


def _used(state: Mapping[str, Tensor], unused: re.Pattern[str] | None) -> dict[str, Tensor]:
    return {key: tensor for key, tensor in state.items() if not (unused and unused.search(key))}


def _checked_head(path: Path) -> bytes:
    """The first bytes of a file that may hold weights."""
    head = _head(path)
    _refuse_non_weights(path, head)
    return head


def _head(path: Path) -> bytes:
    try:
        if path.is_file():
            with path.open("rb") as file:
                return file.read(512)
        found = "a link that leads to no file" if path.is_symlink() else "no such file"
    except OSError as error:
        found = f"cannot be opened ({error.strerror})"
    raise CheckpointError(f"{path.name}: {found}. Choose another model. It was in {path.parent}.")


def _refuse_non_weights(path: Path, head: bytes) -> None:
    if not head:
        raise CheckpointError(
            f"{path.name}: the file is empty. Delete it from {path.parent} and download it again."
        )
    if _WEB_PAGE.match(head):
        raise CheckpointError(
            f"{path.name}: this is a web page saved under a model's name, not weights. Delete it "
            "and download the file itself (on a model hub: the download button, not the page). It "
            f"is in {path.parent}."
        )
    if head.startswith(_LFS_POINTER):
        raise CheckpointError(
            f"{path.name}: this is a Git LFS pointer, not the weights it points to. Run `git lfs "
            f"pull` in its repository, or download the file itself. It is in {path.parent}."
        )


def _is_safetensors(path: Path, head: bytes) -> bool:
    """Eight bytes of length, then that much JSON; by name where the file is cut that short."""
    if head[8:9] != b"{" and path.suffix == ".safetensors" and head.startswith(_ZIP):
        raise CheckpointError(
            f"{path.name}: this is a .pt file under another name. Rename it so that it ends with "
            f".pt. It is in {path.parent}."
        )
    return head[8:9] == b"{" or path.suffix == ".safetensors"


def _map_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(_broken(path, error)) from error


def _read_safetensors(path: Path, unused: re.Pattern[str] | None) -> dict[str, Tensor]:
    # The library checks the file and knows the types; its own tensors are parts of a map.
    mapped = _used(_map_safetensors(path), unused)
    state = {key: torch.empty_like(tensor) for key, tensor in mapped.items()}
    try:
        with path.open("rb") as file:
            start = 8 + int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(start - 8))
            for key, tensor in state.items():
                file.seek(start + header[key]["data_offsets"][0])
                if file.readinto(tensor.reshape(-1).view(torch.uint8).numpy().data) < tensor.nbytes:
                    raise OSError("it became shorter while it was read")
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(_broken(path, error)) from error
    return state


def _read_zip(path: Path, unused: re.Pattern[str] | None) -> dict[str, Tensor]:
    """Load the file twice: mapped, to learn which storages hold what is used, then to read those.

    PyTorch asks where to put each storage, always in the same order, but does not say which it is.
    """
    places: list[UntypedStorage] = []

    def note(storage: UntypedStorage, _: str) -> UntypedStorage:
        # Of nothing there is no knowing whether it was asked for before.
        if storage.nbytes():
            places.append(storage)
        return storage

    mapped = _weights_in(_load_pickle(path, note, mmap=True), path)
    used = {tensor.untyped_storage().data_ptr() for tensor in _used(mapped, unused).values()}
    order = iter(places)

    def read(storage: UntypedStorage, _: str) -> UntypedStorage:
        place = next(order) if storage.nbytes() else storage
        return storage if place.data_ptr() in used else place

    return _used(_weights_in(_load_pickle(path, read), path), unused)


def _load_pickle(path: Path, place: _Placing | str = "cpu", mmap: bool = False) -> Any:
    try:
        # PyTorch calls it with the storages that it has, and annotates another class.
        location = cast("MAP_LOCATION", place)
        return torch.load(path, map_location=location, weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name}: this file is damaged, or holds more than weights (loading it could run "
            "code) and is refused. Download it again from its publisher, or use the .safetensors "
            f"version. It is in {path.parent}."
        ) from error
    except Exception as error:
        # A damaged pickle can raise almost anything, and all of it means the same.
        raise CheckpointError(_broken(path, error)) from error


def _weights_in(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict of a checkpoint. No model has sparse weights, which have no storage."""
    for key in _NESTING_KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path.name}: holds a {type(content).__name__}, accepted is a dictionary of weights. "
            "Choose another file in Load SAM."
        )
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    state = {key: tensor for key, tensor in tensors.items() if tensor.layout is torch.strided}
    if not state:
        raise CheckpointError(f"{path.name}: holds no weights. Choose another file in Load SAM.")
    for key in state:
        if not isinstance(key, str):
            raise CheckpointError(
                f"{path.name}: holds a weight under the {type(key).__name__} {key!r}; accepted "
                "are names. Choose another file in Load SAM."
            )
    return state


def _broken(path: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    size, *_ = _size_and_time(path) or (0,)
    return (
        f"{path.name}: incomplete or damaged, {size:,} bytes. Delete it from {path.parent} and "
        f"download it again. (It cannot be read as weights: {reason}.)"
    )


def _family_of_folder(path: Path) -> tuple[Family, dict[str, Any]]:
    config = read_config(path / "config.json")
    family = family_of_type(config.get("model_type"))
    if family is None:
        if stranger := stranger_of_type(config.get("model_type")):
            raise CheckpointError(f"{path}: {stranger.sentence}")
        known = ", ".join(name for each in FAMILIES for name in each.model_types)
        raise CheckpointError(
            f"{path.name}: config.json names the model type {config.get('model_type')!r}, which "
            f"is not known here. Choose another folder in Load SAM; accepted: {known}."
        )
    return family, config


def _load_folder(path: Path, dtype: torch.dtype) -> Engine:
    family, config = _family_of_folder(path)
    state = read_folder_weights(path, family.unused)
    try:
        return family.builder().from_transformers(config, state, dtype)
    except CheckpointError:
        raise
    except Exception as error:
        # transformers checks configurations with errors of its own, of many kinds.
        raise CheckpointError(
            f"{path.name}: config.json does not describe a model that can be built. Download the "
            f"whole repository again. ({error})"
        ) from error


def read_config(path: Path) -> dict[str, Any]:
    """Read a folder's JSON file; CheckpointError where it is unreadable or no object."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path.parent.name}/{path.name}: cannot be read. Download the whole repository: a "
            f"model folder needs config.json and model.safetensors. ({error})"
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(
            f"{path.parent.name}/{path.name}: holds a {type(config).__name__}, accepted is a JSON "
            "object. Download the whole repository."
        )
    return config


def read_folder_weights(path: Path, unused: re.Pattern[str] | None = None) -> dict[str, Tensor]:
    """Read the weights of a transformers folder: model.safetensors, or else all its parts.

    unused: finds the names of weights that are left out. Raises CheckpointError for a folder
    without weights, and as `read_weights`.
    """
    whole = path / "model.safetensors"
    files = [whole] if whole.exists() else sorted(path.glob("*.safetensors"))
    if not files:
        raise CheckpointError(
            f"{path.name}: no .safetensors file beside config.json. Download model.safetensors of "
            f"the same repository into it. It is in {path.parent}."
        )
    state: dict[str, Tensor] = {}
    for file in files:
        state.update(read_weights(file, unused))
    return state
