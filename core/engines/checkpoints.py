"""Reads weights files and folders safely, recognises the family by the keys, builds the engine.

A file is memory-mapped, so that reading costs no memory before the weights are converted or moved.
Pickles are read with `weights_only`, which runs no code from the file.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from . import sam2_layout
from .base import Engine

WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
_FAMILIES = "SAM 2 and SAM 2.1 (official .pt, the same keys in .safetensors, transformers folders)"
# Checkpoints nest their weights under one of these.
_NESTING_KEYS = ("model", "state_dict")


def load_engine(path: Path, dtype: torch.dtype) -> Engine:
    """Load a weights file or a transformers folder; dtype is the image encoder's.

    Raises CheckpointError where the path is missing, unreadable or of no family that is known.
    """
    if path.is_dir():
        return _load_folder(path, dtype)
    state = read_weights(path)
    if sam2_layout.is_official(state):
        from . import sam2

        return sam2.from_official(state, dtype)
    first = ", ".join(list(state)[:3])
    raise CheckpointError(
        f"{path.name}: not a model that is known here; its first keys are {first}. Accepted: "
        f"{_FAMILIES}. Choose another file in Load SAM."
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a .safetensors, .pt, .pth or .bin file into a flat state dict, memory-mapped.

    Raises CheckpointError, naming the file, for a missing, truncated or foreign file, a web page
    saved in its place, and a pickle that would run code.
    """
    _refuse_non_weights(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_pickle(path)


def _refuse_non_weights(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file. Put it there or choose another model in Load SAM."
        )
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        raise CheckpointError(f"{path}: the file is empty. Delete it and download it again.")
    if head.lstrip().startswith(b"<"):
        raise CheckpointError(
            f"{path}: this is a web page saved under a model's name, not weights. Delete it and "
            "download the file itself (on a model hub: the download button, not the page)."
        )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(_broken(path, error)) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: this file is damaged, or holds more than weights (loading it could run code) "
            "and is refused. Download it again from its publisher, or use the .safetensors version."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(_broken(path, error)) from error
    for key in _NESTING_KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path}: holds a {type(content).__name__}, accepted is a dictionary of weights. "
            "Choose another file in Load SAM."
        )
    state = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise CheckpointError(f"{path}: holds no weights. Choose another file in Load SAM.")
    return state


def _is_zip(path: Path) -> bool:
    """Only the zip container of torch 1.6 and later can be memory-mapped."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _broken(path: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return (
        f"{path}: cannot be read as weights ({reason}). The file is probably incomplete "
        f"({path.stat().st_size:,} bytes); delete it and download it again."
    )


def _load_folder(path: Path, dtype: torch.dtype) -> Engine:
    config = _read_config(path / "config.json")
    model_type = config.get("model_type")
    if model_type not in ("sam2", "sam2_video"):
        raise CheckpointError(
            f"{path}: config.json names the model type {model_type!r}; accepted: sam2, sam2_video. "
            "Choose another folder in Load SAM."
        )
    from . import sam2

    return sam2.from_transformers(config, _read_folder_weights(path), dtype)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}). A model folder needs config.json and "
            "model.safetensors; download the whole repository."
        ) from error


def _read_folder_weights(path: Path) -> dict[str, Tensor]:
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise CheckpointError(
            f"{path}: no .safetensors file beside config.json. Download model.safetensors of the "
            "same repository into it."
        )
    state: dict[str, Tensor] = {}
    for file in files:
        state.update(read_weights(file))
    return state
