"""The choices of Load SAM: the built-in engine, files and folders on disk, the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..core.engines.catalogue import CATALOGUE, Entry
from ..core.engines.checkpoints import WEIGHT_SUFFIXES
from ..core.errors import InputError
from . import host

BUILT_IN = "grabcut (built in)"
_DOWNLOAD_MARK = " (download"


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from: a path, a catalogue entry to be fetched, or neither (built in)."""

    path: Path | None = None
    entry: Entry | None = None

    @property
    def is_built_in(self) -> bool:
        return self.path is None and self.entry is None


def options() -> list[str]:
    """What the model combo shows: built in, then local models, then what can be downloaded.

    A model is `folder/name` in either state; the mark that says "download" is no part of it, so a
    saved workflow stays valid once the file is there.
    """
    local = _local_models()
    missing = [
        f"{entry.folder}/{entry.file}{_DOWNLOAD_MARK}, {entry.size / 1e6:.0f} MB)"
        for entry in CATALOGUE
        if f"{entry.folder}/{entry.file}" not in local
    ]
    return [BUILT_IN, *local, *missing]


def resolve(choice: str) -> ModelSource:
    """Find what a combo value stands for; a file on disk wins over the catalogue.

    Raises InputError for a value that is neither built in, nor on disk, nor in the catalogue.
    """
    if choice == BUILT_IN:
        return ModelSource()
    name = choice.split(_DOWNLOAD_MARK)[0]
    path = _local_models().get(name)
    if path is not None:
        return ModelSource(path=path)
    for entry in CATALOGUE:
        if name == f"{entry.folder}/{entry.file}":
            return ModelSource(entry=entry)
    raise InputError(
        f"model: {name} is not on this machine and not in the download list. Put the file into "
        f"models/{name.split('/')[0]}, or choose one of: {', '.join(options())}."
    )


def fingerprint(choice: str) -> tuple:
    """Changes when the file behind a choice changes, but not when the catalogue's file arrives."""
    source = resolve(choice)
    if source.path is None:
        return (choice.split(_DOWNLOAD_MARK)[0],)
    stat = source.path.stat()
    name = choice.split(_DOWNLOAD_MARK)[0]
    for entry in CATALOGUE:
        if name == f"{entry.folder}/{entry.file}" and stat.st_size == entry.size:
            return (name,)
    return (name, stat.st_mtime_ns, stat.st_size)


def _local_models() -> dict[str, Path]:
    """Weights files and transformers folders by their combo name, in the order of the folders."""
    models: dict[str, Path] = {}
    for folder in host.MODEL_FOLDERS:
        for root in host.model_folder_paths(folder):
            for path in _models_below(root):
                models.setdefault(f"{folder}/{path.relative_to(root).as_posix()}", path)
    return models


def _models_below(root: Path) -> list[Path]:
    """Weights files, at any depth, and folders with a config.json, which count as one model."""
    if not root.is_dir():
        return []
    folders = {path.parent for path in root.rglob("config.json") if path.parent != root}
    files = [
        path
        for path in root.rglob("*")
        if path.suffix in WEIGHT_SUFFIXES and not folders & set(path.parents) and path.is_file()
    ]
    return sorted([*folders, *files])
