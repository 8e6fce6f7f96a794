"""ComfyUI's folders: models, settings, temporary files."""

from __future__ import annotations

import os
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
from ...core.errors import InputError

SAM_FOLDERS = model_folders(FAMILIES)
DETECTOR_FOLDERS = model_folders(DETECTOR_FAMILIES)
MATTING_FOLDERS = model_folders(MATTING_FAMILIES)
MODEL_FOLDERS = SAM_FOLDERS + DETECTOR_FOLDERS + MATTING_FOLDERS
# ComfyUI's own, which the pack only looks through.
CHECKPOINT_FOLDER = "checkpoints"
# Where other packs keep language models, Florence-2 among them; looked through as well.
LANGUAGE_FOLDER = "LLM"
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


def checkpoints() -> dict[str, Path]:
    """ComfyUI's own checkpoints by their name in its lists, which it keeps until a folder changes.

    Links that lead nowhere are left out.
    """
    names = folder_paths.get_filename_list(CHECKPOINT_FOLDER)
    paths = {name: folder_paths.get_full_path(CHECKPOINT_FOLDER, name) for name in names}
    return {Path(name).as_posix(): Path(path) for name, path in paths.items() if path}


def language_folders() -> list[Path]:
    """All directories of the folder of language models, which need not be there."""
    if LANGUAGE_FOLDER in folder_paths.folder_names_and_paths:
        return model_folder_paths(LANGUAGE_FOLDER)
    return [Path(folder_paths.models_dir) / LANGUAGE_FOLDER]


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


def save_place(prefix: str, size: tuple[int, int]) -> tuple[Path, str]:
    """The folder and the beginning of the name that a `filename_prefix` stands for.

    As for ComfyUI's own Save nodes: below the output folder, with %date% and its like filled in.
    size: (H, W), for %height% and %width%. Raises InputError for a folder outside of it.
    """
    height, width = size
    output = folder_paths.get_output_directory()
    try:
        folder, name, *_ = folder_paths.get_save_image_path(prefix, output, width, height)
    except Exception as error:
        raise InputError(
            f"filename_prefix: found {prefix!r}; accepted is a place below the output folder "
            f"{output}, such as dataset/image ({str(error).splitlines()[0]})."
        ) from error
    return Path(folder), name


def below_output(path: Path) -> Path:
    """A path in the output folder, as seen from there."""
    return path.relative_to(folder_paths.get_output_directory())


def output_file(path: Path) -> dict[str, str]:
    """What ComfyUI's `/view` route needs to serve a file of the output folder."""
    place = below_output(path)
    folder = place.parent.as_posix()
    subfolder = "" if folder == "." else folder
    return {"filename": place.name, "subfolder": subfolder, "type": "output"}


def plain_file_name(name: str) -> str:
    """A file's name as Load Image has it, without the folder it may name: `dog.png [output]`."""
    return folder_paths.annotated_filepath(name.strip())[0].strip()


def find_file(name: str) -> Path:
    """The file or folder that a workflow names, in ComfyUI's input, output or temp folder.

    Written as for Load Image, `a.json [output]`, or without the folder, which is then looked for in
    this order; a whole path is taken inside of them only: a workflow from elsewhere must not read
    what else is on the machine. Raises InputError where there is none.
    """
    plain, annotated = folder_paths.annotated_filepath(name.strip())
    roots = [
        folder_paths.get_input_directory(),
        folder_paths.get_output_directory(),
        folder_paths.get_temp_directory(),
    ]
    places = [annotated] if annotated else roots
    found = [os.path.abspath(os.path.join(place, plain)) for place in places]
    inside = [path for path in found if any(_is_inside(path, root) for root in roots)]
    there = [path for path in inside if plain and os.path.exists(path)]
    if not there:
        why = "no such file" if inside else "a place outside of ComfyUI's folders"
        raise InputError(
            f"file: found {name!r}, {why}; accepted is a file in {', '.join(places)}. Put it "
            "there, or write dataset/annotations.json [output]."
        )
    return Path(there[0])


def _is_inside(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(os.path.abspath(folder))
