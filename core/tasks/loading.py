"""Models from files, ready for use on their device, for programs that have no host to load them."""

from __future__ import annotations

from pathlib import Path

import torch

from ..engines.base import Encoder
from ..engines.detectors.base import load_detector
from ..engines.files.checkpoints import load_engine
from ..engines.grabcut.engine import GrabCutEngine
from ..engines.precision import Precision, encoder_dtype
from .segmenter import Finder, Segmenter, WordEmbedder


def open_model(
    path: Path | str | None = None,
    precision: Precision = Precision.AUTO,
    device: torch.device | str | None = None,
) -> Segmenter:
    """A model that turns points, boxes and rough masks into masks.

    path: a weights file or a transformers folder of any family; None for the built-in engine, which
    needs neither file nor GPU. precision: of the image encoder. device: where the model works; the
    GPU where None and there is one. Raises CheckpointError for a path that is missing, unreadable
    or of no known family.
    """
    device = _device(device)
    segmenter = load_segmenter(_path(path), encoder_dtype(precision, device))
    _move(segmenter.engine, device)
    return segmenter


def open_finder(
    path: Path | str,
    precision: Precision = Precision.AUTO,
    device: torch.device | str | None = None,
) -> Finder:
    """A detector that understands words, from its transformers folder; arguments as `open_model`'s.

    Raises CheckpointError for a folder that is incomplete, unreadable or of another kind of model.
    """
    device = _device(device)
    detector = load_detector(Path(path), encoder_dtype(precision, device))
    _move(detector, device)
    return Finder(WordEmbedder(detector), detector)


def load_segmenter(path: Path | None, dtype: torch.dtype) -> Segmenter:
    """The engine of a file or folder with its encoder in dtype, where it was loaded; the built-in
    engine where path is None. Raises as `open_model`."""
    return Segmenter(GrabCutEngine() if path is None else load_engine(path, dtype))


def _path(path: Path | str | None) -> Path | None:
    return None if path is None else Path(path)


def _device(device: torch.device | str | None) -> torch.device:
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def _move(engine: Encoder, device: torch.device) -> None:
    if engine.module is not None:
        engine.module.to(device)
