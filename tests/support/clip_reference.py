"""Comparing a memory tracker with outputs of its official video predictor.

A fixture folder holds a checkpoint in the official layout, config.json with what is asked of a clip
(tests/parity/video_reference.py), and reference.npz with the clip and what the official predictor
found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from segment_anywhere.core.engines.base import ClipFrame, Embedding, TrackSession
from segment_anywhere.core.engines.families import family_of_keys
from segment_anywhere.core.engines.files.checkpoints import read_weights
from segment_anywhere.core.engines.sam2.engine import Sam2Engine
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from torch import Tensor


def clip_frames(engine: Sam2Engine, images: Tensor) -> list[ClipFrame]:
    """Images [B, H, W, 3] float32, 0..1, as a session takes them."""
    return [ClipFrame(index, image, engine.encode(image)) for index, image in enumerate(images)]


class ClipReference:
    """One fixture folder."""

    def __init__(self, folder: Path):
        (self.checkpoint,) = folder.glob("checkpoint.*")
        self._config = json.loads((folder / "config.json").read_text())
        self.cases = {case["name"]: case for case in self._config["cases"]}
        with np.load(folder / "reference.npz") as arrays:
            self._arrays = dict(arrays)

    def engine(self, dtype: torch.dtype = torch.float32) -> Sam2Engine:
        """The engine with the fixture's weights."""
        state = read_weights(self.checkpoint)
        size = self._config["image_size"]
        return family_of_keys(state).builder().from_official(state, dtype, image_size=size)

    def frames(self, engine: Sam2Engine) -> list[ClipFrame]:
        """The clip as a session takes it: with the official features where they are stored."""
        levels = [self._arrays[key] for key in sorted(self._arrays) if key.startswith("features.")]
        if not levels:
            return clip_frames(engine, self.images())
        frames = []
        for index, image in enumerate(self.images()):
            maps = tuple(torch.from_numpy(level[index, None]).float() for level in levels)
            size = (image.shape[0], image.shape[1])
            frames.append(ClipFrame(index, image, Embedding(maps, size)))
        return frames

    def images(self) -> Tensor:
        """The clip, [B, H, W, 3] float32, 0..1."""
        return torch.from_numpy(self._arrays["clip"]).float() / 255

    def answers(self, name: str) -> list[Tensor]:
        """Of each time that the objects were followed: logits [objects, frames, h, w] float32."""
        return [torch.from_numpy(self._arrays[key]) for key in self.cases[name]["answers"]]

    def prompt(self, operation: dict) -> ObjectPrompt:
        points = zip(operation.get("points") or [], operation.get("labels") or [], strict=True)
        box = operation.get("box")
        mask = torch.from_numpy(self._arrays["mask"]).float() if "mask" in operation else None
        return ObjectPrompt(
            f"object {operation['object']}",
            tuple(Point(x, y, positive=label == 1) for (x, y), label in points),
            Box(*box) if box else None,
            mask=mask,
        )

    def ask(self, session: TrackSession, frames: list[ClipFrame], name: str) -> list[Tensor]:
        """Ask a session what the official predictor was asked: as `answers`."""
        answers = []
        objects: dict[int, None] = {}
        for operation in self.cases[name]["operations"]:
            if operation["op"] == "follow":
                order = reversed(frames) if operation["reverse"] else frames
                answers.append(follow(session, order, list(objects)))
                continue
            number, frame = operation["object"], frames[operation["frame"]]
            objects[number] = None
            prompts = {number: self.prompt(operation)}
            if operation["op"] == "start":
                session.start(frame, prompts)
                continue
            session.begin_pass()
            for before in frames[: frame.index]:
                session.step(before, [number])
            session.correct(frame, prompts)
        return answers


def follow(session: TrackSession, frames: Iterable[ClipFrame], objects: list[int]) -> Tensor:
    """Logits of a pass, [objects, frames, h, w] float32, frames by their places in the clip."""
    session.begin_pass()
    found: dict[int, Tensor] = {}
    for frame in frames:
        candidates = session.step(frame, objects)
        found[frame.index] = torch.cat([candidates[number].logits for number in objects])
    return torch.stack([found[index] for index in sorted(found)], dim=1)
