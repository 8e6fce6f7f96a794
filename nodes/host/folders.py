"""ComfyUI's folders: models, settings, temporary files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import folder_paths

from ...core.engines.families import (
    DETECTOR_FAMILIES,
    FAMILIES,
    MATTING_FAMILIES,
    model_folders,
)
from ...core.engines.files.checkpoints import WEIGHT_SUFFIXES

SAM_FOLDERS = model_folders(FAMILIES)
DETECTOR_FOLDERS = model_folders(DETECTOR_FAMILIES)
MATTING_FOLDERS = model_folders(MATTING_FAMILIES)
MODEL_FOLDERS = SAM_FOLDERS + DETECTOR_FOLDERS + MATTING_FOLDERS
# Not served over HTTP, unlike the rest of the user folder.
_USER_FOLDER = "segment_anywhere"
# The pack's own corner of ComfyUI's temp folder.
TEMP_FOLDER = "segment_anywhere"


def register_model_folders() -> None:
    """Make the model folders known, beside those of the user's extra_model_paths.yaml."""
    for name in MODEL_FOLDERS:
        is_new = name not in folder_paths.folder_names_and_paths
        folder_paths.add_model_folder_path(name, str(Path(folder_paths.models_dir) / name))
        if is_new:
            # Without suffixes every file would be listed; another pack's choice is left alone.
            paths, _ = folder_paths.folder_names_and_paths[name]
            folder_paths.folder_names_and_paths[name] = (paths, set(WEIGHT_SUFFIXES))


def model_folder_paths(name: str) -> list[Path]:
    """All directories of a model folder, the one to download into first."""
    return [Path(path) for path in folder_paths.get_folder_paths(name)]


def user_folder() -> Path:
    """Where settings with keys lie: ComfyUI's user folder, in a part that no route serves."""
    return Path(folder_paths.get_system_user_directory(_USER_FOLDER))


def save_temp(name: str, content: Callable[[], bytes]) -> dict[str, str]:
    """Write a file into ComfyUI's temp folder; returns what its `/view` route needs to serve it.

    name: one that goes with the content, which is not asked for where the file is there.
    """
    folder = Path(folder_paths.get_temp_directory()) / TEMP_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    if not path.exists():
        part = path.with_suffix(".part")
        part.write_bytes(content())
        part.replace(path)
    return {"filename": name, "subfolder": TEMP_FOLDER, "type": "temp"}
