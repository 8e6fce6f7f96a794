"""The official predictors and mask generator, run in the official way; each is there if its package
is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch


class Peer(Protocol):
    """An official predictor with a model in it."""

    def encode(self, frame: np.ndarray) -> None:
        """Embed one picture, [H, W, 3] uint8."""

    def click(self, x: float, y: float) -> Any:
        """Decode one click, three masks, on the picture embedded last."""


MakePeer = Callable[[Path, torch.device], Peer]


class _Predictor:
    """All official predictors have these two methods; on a GPU SAM 2's run under autocast."""

    def __init__(self, predictor: Any, device: torch.device, autocast: bool):
        self._predictor = predictor
        self._device = device
        self._autocast = autocast and device.type == "cuda"

    def encode(self, frame: np.ndarray) -> None:
        with torch.inference_mode(), self._context():
            self._predictor.set_image(frame)

    def click(self, x: float, y: float) -> Any:
        with torch.inference_mode(), self._context():
            return self._predictor.predict(np.array([[x, y]]), np.array([1]), multimask_output=True)

    def _context(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast)


def sam2(config: str) -> MakePeer | None:
    """SAM2ImagePredictor of the package sam2."""
    if importlib.util.find_spec("sam2") is None:
        return None

    def make(path: Path, device: torch.device) -> Peer:
        from sam2.build_sam import build_sam2
        from sam2.sam2_image_predictor import SAM2ImagePredictor

        model = build_sam2(f"configs/sam2.1/{config}.yaml", str(path), device=str(device))
        return _Predictor(SAM2ImagePredictor(model), device, autocast=True)

    return make


def sam(package: str, size: str) -> MakePeer | None:
    """SamPredictor of the packages segment_anything and segment_anything_hq."""
    if importlib.util.find_spec(package) is None:
        return None

    def make(path: Path, device: torch.device) -> Peer:
        module = importlib.import_module(package)
        model = module.sam_model_registry[size](checkpoint=str(path)).to(device)
        return _Predictor(module.SamPredictor(model), device, autocast=False)

    return make


Generate = Callable[[np.ndarray], list[dict[str, Any]]]


def sam2_generator(config: str, path: Path, settings: dict[str, Any]) -> Generate | None:
    """SAM2AutomaticMaskGenerator of the package sam2, on the CPU."""
    if importlib.util.find_spec("sam2") is None:
        return None
    from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
    from sam2.build_sam import build_sam2

    model = build_sam2(f"configs/sam2.1/{config}.yaml", str(path), device="cpu")
    return SAM2AutomaticMaskGenerator(model, **settings).generate


def trained_generator(settings: dict[str, Any]) -> Generate | None:
    """The same around the small trained model of the tests, as their reference script builds it."""
    if importlib.util.find_spec("sam2") is None:
        return None
    from tests.parity import make_everything_reference as reference

    return reference.make_generator(reference.build_model(), settings).generate
