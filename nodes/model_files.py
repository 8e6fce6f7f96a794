"""The choices of Load SAM: the built-in engine, files and folders on disk, the catalogue."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from ..core.engines.catalogue import CATALOGUE, Entry
from ..core.engines.checkpoints import WEIGHT_SUFFIXES, weights_state
from ..core.errors import InputError
from . import host

BUILT_IN = "grabcut (built in)"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from: a path, a catalogue entry to be fetched, or neither (built in)."""

    path: Path | None = None
    entry: Entry | None = None


def options() -> list[str]:
    """What the model combo shows: built in, then local models, then what can be downloaded.

    A model is `folder/name` in either state; the mark that says "download" is no part of it, so a
    saved workflow stays valid once the file is there.
    """
    local = _local_models()
    missing = [_marked(entry) for entry in _open_entries() if _name(entry) not in local]
    return [BUILT_IN, *local, *missing]


def resolve(choice: str) -> ModelSource:
    """Find what a combo value stands for; a file on disk wins over the catalogue.

    Raises InputError for a value that is neither built in, nor on disk, nor in the catalogue, and
    for a gated file that is not on disk.
    """
    if choice == BUILT_IN:
        return ModelSource()
    local = _local_models()
    if choice in local:
        return ModelSource(path=local[choice])
    for entry in CATALOGUE:
        if choice in (_name(entry), _marked(entry)):
            path = local.get(_name(entry))
            if path is None and entry.gated:
                raise InputError(_gated(entry))
            return ModelSource(path=path) if path else ModelSource(entry=entry)
    raise InputError(
        f"model: {choice} is not on this machine and not in the download list. Put the file into "
        f"models/{choice.split('/')[0]}, or choose one of: {', '.join(options())}."
    )


def fingerprint(choice: str) -> tuple:
    """Changes when the files behind a choice do."""
    source = resolve(choice)
    return (choice, weights_state(source.path) if source.path else None)


def downloads() -> str:
    """Names, sizes and licences of what can be downloaded, as one line for people."""
    texts = [f"{each.name} ({each.size_text}, {each.licence})" for each in _open_entries()]
    return ", ".join(texts)


def _open_entries() -> list[Entry]:
    return [entry for entry in CATALOGUE if not entry.gated]


def _gated(entry: Entry) -> str:
    other = next(each for each in _open_entries() if each.family == entry.family)
    return (
        f"model: {_name(entry)} is not on this machine, and its publisher gives it only to users "
        f"it has admitted. Ask at https://huggingface.co/{entry.repository} and put the file into "
        f"models/{entry.folder}, or choose {_marked(other)}, which anybody may download."
    )


def _name(entry: Entry) -> str:
    return f"{entry.folder}/{entry.file}"


def _marked(entry: Entry) -> str:
    return f"{_name(entry)} (download, {entry.size_text})"


def _local_models() -> dict[str, Path]:
    """Weights files and transformers folders by their combo name, in the order of the folders."""
    models: dict[str, Path] = {}
    for folder in host.MODEL_FOLDERS:
        for root in host.model_folder_paths(folder):
            for path in _models_below(root):
                models.setdefault(f"{folder}/{path.relative_to(root).as_posix()}", path)
    return models


def _models_below(root: Path) -> list[Path]:
    """Weights files, at any depth, and folders with a config.json, which count as one model.

    Links are followed, as in all of ComfyUI's lists. What cannot be read is logged and left out:
    an exception here would take the node away.
    """
    models: list[Path] = []
    seen: set[str] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True, onerror=_log_unreadable):
        real = os.path.realpath(folder)
        path = Path(folder)
        if real in seen:
            subfolders.clear()
        elif "config.json" in files and path != root:
            models.append(path)
            subfolders.clear()
        else:
            models += [path / file for file in files if Path(file).suffix in WEIGHT_SUFFIXES]
        seen.add(real)
    return sorted(models)


def _log_unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        log.warning("model folder %s cannot be read: %s", error.filename, error.strerror)
