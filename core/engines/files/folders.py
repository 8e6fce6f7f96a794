"""Models of transformers' own classes, built from folders in its layout.

Nothing of a folder that is there is asked of the network, and no code of it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ...errors import CheckpointError
from ..lineage import weights
from .checkpoints import read_config, read_folder_weights

STRICT = {"local_files_only": True, "trust_remote_code": False}
"""For everything that transformers reads of a folder itself."""


def build_model(path: Path, model_class: str, release: str = "4.57") -> Any:
    """A model of a class of transformers with a folder's weights, in float32.

    release: the first one of transformers that has the class, of those that the tests run on.
    Raises CheckpointError where the folder's configuration or weights are missing, unreadable or do
    not belong together, or where transformers is too old for them.
    """
    transformers = weights.classes(path.name, model_class, release)
    # Read here and not by transformers, which would leave the file mapped.
    state = read_folder_weights(path)
    try:
        model, report = getattr(transformers, model_class).from_pretrained(
            None,
            config=transformers.AutoConfig.from_pretrained(path, **STRICT),
            state_dict=state,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:
        raise unreadable(path, error) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise CheckpointError(
            f"{path}: {len(missing)} weights are missing, the first is {missing[0]}. "
            "Download the whole repository again."
        )
    return model


def read_settings(path: Path, name: str) -> dict[str, Any]:
    """A JSON file of a folder such as preprocessor_config.json, empty where it has none.

    Raises CheckpointError where it is unreadable.
    """
    settings = path / name
    return read_config(settings) if settings.is_file() else {}


def unreadable(path: Path, error: Exception) -> CheckpointError:
    """What to raise for an error of transformers, which checks folders with many kinds of its
    own."""
    return CheckpointError(
        f"{path}: cannot be loaded ({error}). Download the whole repository again."
    )
