"""Comparing a SAM engine with outputs of its official predictor.

A fixture folder holds a checkpoint in the official layout, config.json with the cases, and
reference.npz with images, mask inputs and what the official predictor made of them.
"""

from __future__ import annotations

import functools
import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from segment_anywhere.core.engines.base import Candidates, Embedding
from segment_anywhere.core.engines.families import family_of_keys
from segment_anywhere.core.engines.files.checkpoints import read_weights
from segment_anywhere.core.engines.lineage.prompted import PromptedEngine
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point

TOLERANCE = 1e-3
# The predictors that clamp the logits they hand back for the next click, and where.
_CLAMPED, _LIMIT = ("sam2", "edgetam", "sam3"), 32.0


class Reference:
    """One fixture folder."""

    def __init__(self, folder: Path):
        (self.checkpoint,) = folder.glob("checkpoint.*")
        self.config = json.loads((folder / "config.json").read_text())
        self.cases = {case["name"]: case for case in self.config["cases"] if _applies(case)}
        with np.load(folder / "reference.npz") as arrays:
            self.arrays = dict(arrays)
        self._keys = folder / "official_keys.json.gz"

    @functools.cached_property
    def official(self) -> dict[str, dict]:
        """By release, the names and shapes of its weights and what its architecture is."""
        with gzip.open(self._keys, "rt") as file:
            return json.load(file)

    def engine(self, dtype: torch.dtype = torch.float32) -> PromptedEngine:
        """The engine with the fixture's weights; the image's size, where none of them tells it."""
        state = read_weights(self.checkpoint)
        sizes = {key: self.config[key] for key in ("image_size",) if key in self.config}
        return family_of_keys(state).builder().from_official(state, dtype, **sizes)

    def official_state(self, name: str) -> dict[str, torch.Tensor]:
        """Tensors without memory, of the names and shapes of a released checkpoint."""
        keys = self.official[name]["keys"]
        return {key: torch.empty(shape, device="meta") for key, shape in keys.items()}

    def frames(self) -> list[torch.Tensor]:
        """The images, [H, W, 3] float32, 0..1."""
        return [torch.from_numpy(self.arrays[n]).float() / 255 for n in self.config["images"]]

    def output(self, case: dict, kind: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[case["outputs"][kind]])

    def check(self, engine: PromptedEngine, embedding: Embedding, case: dict) -> None:
        """Logits and scores equal the official ones; full-size logits where they are stored."""
        candidates = self._predict(engine, embedding, case)
        expected_low = self.output(case, "low")
        expected_scores = self.output(case, "scores")
        low = torch.stack([one.logits for one in candidates]).reshape(expected_low.shape)
        scores = torch.stack([one.scores for one in candidates]).reshape(expected_scores.shape)
        if engine.family in _CLAMPED:
            low = low.clamp(-_LIMIT, _LIMIT)
        torch.testing.assert_close(low, expected_low, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(scores, expected_scores, atol=TOLERANCE, rtol=0)
        if "full" in case["outputs"]:
            expected = self.output(case, "full")
            full = torch.stack([engine.to_logits(one.logits, embedding.size) for one in candidates])
            full = full.reshape(expected.shape)
            torch.testing.assert_close(full, expected, atol=TOLERANCE, rtol=0)

    def check_itself(self) -> None:
        """Constant or one-sided logits would agree with almost anything."""
        for case in self.cases.values():
            low = self.output(case, "low")
            assert low.std() > 0.1
            assert 0.01 < (low > 0).float().mean() < 0.99

    def _predict(
        self, engine: PromptedEngine, embedding: Embedding, case: dict
    ) -> list[Candidates]:
        prompts = _prompts(case)
        if case["mask_input"] is None:
            return engine.decode(embedding, prompts, case["multimask"])
        # The official mask input is the logits of an earlier prediction, not a mask.
        mask_logits = torch.from_numpy(self.arrays[case["mask_input"]])[None]
        asked = replace(engine.model_prompts(prompts, embedding.size), mask_logits=mask_logits)
        logits, scores = engine.predict(embedding, asked, case["multimask"])
        return [Candidates(logits[0], scores[0])]


def _applies(case: dict) -> bool:
    """Whether it is a call that the engines can make.

    Left out: pixels resized by the caller, and HQ-SAM's masks without SAM's own part.
    """
    return case.get("resize", "pil") == "pil" and not case.get("hq_token_only")


def _prompts(case: dict) -> list[ObjectPrompt]:
    points = tuple(
        Point(x, y, positive=label == 1)
        for (x, y), label in zip(case["points"] or [], case["labels"] or [], strict=True)
    )
    boxes = np.array(case["box"], dtype=float).reshape(-1, 4) if case["box"] else [None]
    return [
        ObjectPrompt("object 0", points, Box(*box) if box is not None else None) for box in boxes
    ]
