"""The choices of the model lists: what needs no file, what lies on disk, what can be downloaded."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from comfy_api.latest import io

from ..core.engines.detectors.base import find_detector_family
from ..core.engines.detectors.classes import known_labels as class_labels
from ..core.engines.families import BUILT_IN_CHOICE, Family
from ..core.engines.files.catalogue import CATALOGUE, DETECTORS, MATTING, Entry
from ..core.engines.files.checkpoints import WEIGHT_SUFFIXES, family_of_header, weights_state
from ..core.engines.files.downloads import download, server_name
from ..core.engines.files.usual import families_that_run, usual_sam
from ..core.errors import InputError
from ..core.tasks.matting import usual_matting
from ..core.tasks.words import usual_detector
from .host import folders, progress, settings

AUTO = "auto"
_PERMIT = (
    "turn off Ask before downloading in ComfyUI's settings, at Segment Anywhere, and run again"
)
log = logging.getLogger(__name__)


ModelSource = Path | Entry | None
"""Where a model comes from: this machine, a download, or nowhere (it is built in)."""


@dataclass(frozen=True)
class ModelList:
    """Where a list of models comes from.

    input: the combo's name. first: the choice that needs no file. folders: ComfyUI's model folders.
    takes_files: whether a weights file is a model, or only a folder with a config.json; files are
    found among ComfyUI's checkpoints too, of the families that it loads itself.
    """

    input: str
    first: str
    folders: tuple[str, ...]
    catalogue: tuple[Entry, ...]
    takes_files: bool


SAM_MODELS = ModelList("model", BUILT_IN_CHOICE, folders.SAM_FOLDERS, CATALOGUE, takes_files=True)
DETECTOR_MODELS = ModelList(
    "detector", AUTO, folders.DETECTOR_FOLDERS, DETECTORS, takes_files=False
)
MATTING_MODELS = ModelList(
    "matting_model", AUTO, folders.MATTING_FOLDERS, MATTING, takes_files=False
)


def options(listing: ModelList = SAM_MODELS) -> list[str]:
    """What a combo shows: models on this machine, those to download, and what is built in.

    auto, which may be any of them, comes before all. A model is `folder/name` in either state; the
    mark that says "download" is no part of it, so a saved workflow stays valid once the file is
    there.
    """
    local = local_models(listing)
    missing = [_marked(entry) for entry in _open_entries(listing) if not _place(entry, local)]
    if listing.first == AUTO:
        return [AUTO, *local, *missing]
    return [*local, *missing, listing.first]


def usual_choice(choices: Sequence[str], on_cpu: bool) -> str:
    """What Load SAM starts on, of its `options`: the best SAM on this machine that can run, else
    what is built in; nothing that has to be downloaded first. on_cpu: as for `usual_sam`."""
    others = {SAM_MODELS.first, *map(_marked, CATALOGUE)}
    local = [choice for choice in choices if choice not in others]
    return usual_sam(local, on_cpu, families_that_run()) or SAM_MODELS.first


def resolve(choice: str, listing: ModelList = SAM_MODELS) -> ModelSource:
    """Find what a combo value stands for; a file on disk wins over the catalogue.

    Raises InputError for a value that is neither the first, nor on disk, nor in the catalogue, and
    for a gated file that is not on disk.
    """
    if choice == listing.first:
        return None
    local = local_models(listing)
    if choice in local:
        return local[choice]
    for entry in listing.catalogue:
        if choice in (_name(entry), _marked(entry)):
            path = _place(entry, local)
            if path is None and entry.gated:
                raise InputError(_gated(entry))
            return path or entry
    raise InputError(
        f"{listing.input}: {choice} is not on this machine and not in the download list. Put it "
        f"into models/{choice.split('/')[0]}, or choose one of: {', '.join(options(listing))}."
    )


def check(choice: str | None, listing: ModelList = SAM_MODELS) -> bool | str:
    """What a node's `validate_inputs` says of a choice: True, or why it cannot be resolved.

    A node that names the input there takes the list check over from the host: marks come and go
    with files. None, as a linked value is until the node runs, passes.
    """
    if choice is None:
        return True
    try:
        resolve(choice, listing)
    except InputError as error:
        return str(error)
    return True


@overload
def fetch(source: Path | Entry, cls: type[io.ComfyNode]) -> Path: ...
@overload
def fetch(source: ModelSource, cls: type[io.ComfyNode]) -> Path | None: ...
def fetch(source: ModelSource, cls: type[io.ComfyNode]) -> Path | None:
    """The path of a model, downloaded if need be; None for a choice that needs no file."""
    if not isinstance(source, Entry):
        return source
    folder = folders.model_folder_paths(source.folder)[0]
    place = f"from {server_name(source)} into {folder}, once"
    report = progress.download_progress(source.name, place, cls)
    waiting = progress.download_progress(
        f"{source.name}, which another program downloads", place, cls
    )
    permit = _PERMIT if settings.is_on(settings.ASK_BEFORE_DOWNLOADING) else ""
    return download(source, folder, report, waiting, permit)


def fetch_detector(choice: str, family: Family, cls: type[io.ComfyNode]) -> Path | None:
    """The folder of what understands words for a family's model, downloaded if need be; None for
    the model's own text head."""
    if choice == AUTO:
        return fetch(usual_detector(family, local_models(DETECTOR_MODELS)), cls)
    return fetch(resolve(choice, DETECTOR_MODELS), cls)


def known_labels(choice: str) -> tuple[str, ...]:
    """The classes of a detector that knows no others; () for one that understands any words."""
    source = resolve(choice, DETECTOR_MODELS)
    return class_labels(source) if isinstance(source, Path) else ()


def fetch_matting(choice: str, cls: type[io.ComfyNode]) -> Path:
    """The folder of what finds the edges of masks, downloaded if need be."""
    source = resolve(choice, MATTING_MODELS) or usual_matting(
        list(local_models(MATTING_MODELS).values())
    )
    return fetch(source, cls)


def fingerprint(choice: str, listing: ModelList = SAM_MODELS) -> tuple:
    """Changes when the files behind a choice do."""
    source = resolve(choice, listing)
    return (choice, weights_state(source) if isinstance(source, Path) else None)


def downloads(listing: ModelList = SAM_MODELS) -> str:
    """Names, sizes and licences of what can be downloaded, as one line for people."""
    texts = [f"{each.name} ({each.size_text}, {each.licence})" for each in _open_entries(listing)]
    return ", ".join(texts)


def and_list(names: Sequence[str]) -> str:
    """Names as people list them: a, b and c."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _open_entries(listing: ModelList) -> list[Entry]:
    return [entry for entry in listing.catalogue if not entry.gated]


def _gated(entry: Entry) -> str:
    other = next(each for each in _open_entries(SAM_MODELS) if each.family == entry.family)
    return (
        f"model: {_name(entry)} is not on this machine, and its publisher gives it only to users "
        f"it has admitted. Ask at https://huggingface.co/{entry.repository} and put the file into "
        f"models/{entry.folder}, or choose {_marked(other)}, which anybody may download."
    )


def _name(entry: Entry) -> str:
    return f"{entry.folder}/{entry.file}"


def _place(entry: Entry, local: Mapping[str, Path]) -> Path | None:
    """Where an entry lies: in its own folder, or under its name among ComfyUI's checkpoints."""
    shared = (path for name, path in local.items() if _is_shared(name) and path.name == entry.file)
    return local.get(_name(entry)) or next(shared, None)


def _is_shared(name: str) -> bool:
    return name.startswith(f"{folders.CHECKPOINT_FOLDER}/")


def _marked(entry: Entry) -> str:
    return f"{_name(entry)} (download, {entry.size_text})"


def local_models(listing: ModelList) -> dict[str, Path]:
    """Weights files and transformers folders by their combo name, in the order of the folders."""
    models: dict[str, Path] = {}
    for folder in listing.folders:
        for root in folders.model_folder_paths(folder):
            for path in _models_below(root):
                if path.is_file() and not listing.takes_files:
                    continue
                models.setdefault(f"{folder}/{path.relative_to(root).as_posix()}", path)
    if listing == DETECTOR_MODELS:
        return models | _language_models()
    return models | _shared_models() if listing.takes_files else models


def _shared_models() -> dict[str, Path]:
    """The models that ComfyUI loads itself, among its checkpoints: SAM 3."""
    models: dict[str, Path] = {}
    for name, path in folders.checkpoints().items():
        family = family_of_header(path)
        if family is not None and family.among_checkpoints:
            models[f"{folders.CHECKPOINT_FOLDER}/{name}"] = path
    return models


def _language_models() -> dict[str, Path]:
    """The detectors among language models: Florence-2, which other packs keep there."""
    models: dict[str, Path] = {}
    for root in folders.language_folders():
        for path in _models_below(root):
            family = find_detector_family(path) if path.is_dir() else None
            if family is not None and family.among_language_models:
                name = f"{folders.LANGUAGE_FOLDER}/{path.relative_to(root).as_posix()}"
                models.setdefault(name, path)
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
