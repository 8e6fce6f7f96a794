"""The files of a reference: what the official code ran on, and what it answered."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same state dict with its fractional numbers in float16."""
    return {
        name: value.half() if value.is_floating_point() else value for name, value in state.items()
    }


def write_reference(
    checkpoint: Path, content: dict[str, Any], arrays: dict[str, np.ndarray], config: dict[str, Any]
) -> None:
    """Write a checkpoint, and reference.npz and config.json beside it."""
    folder = checkpoint.parent
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, checkpoint)
    np.savez_compressed(folder / "reference.npz", **arrays)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def write_packed(path: Path, content: Any) -> None:
    """Write JSON compressed."""
    # A fixed time stamp, so that writing it again gives the same bytes.
    path.write_bytes(gzip.compress(json.dumps(content).encode(), mtime=0))


def print_sizes(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size:>9}  {folder.name}/{path.name}")
