"""What the reference scripts of the trackers share: a clip, what is asked of it, the answers.

What is asked is a list of operations on a fresh state, as `ASKED` has it: objects are marked on
frames ("start"), marked again on frames that have been tracked ("correct"), and followed in either
direction ("follow"). Of each "follow" the low-resolution logits of all objects in all frames are
stored.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .narrow_models import smooth_field
from .reference_files import print_sizes, write_reference

FRAMES = 12
SIZE = (60, 80)
# Pixels that the picture moves by between two frames, right and down.
_PACE = (2, 1)
_START, _CORRECT, _FOLLOW = "start", "correct", "follow"


Asking = Callable[[Any, np.ndarray, list[dict], np.ndarray], list[Tensor]]


def _mark(op: str, frame: int, thing: int, **prompt: Any) -> dict[str, Any]:
    return {"op": op, "frame": frame, "object": thing, **prompt}


def _follow(reverse: bool = False) -> dict[str, Any]:
    return {"op": _FOLLOW, "reverse": reverse}


ASKED: dict[str, list[dict[str, Any]]] = {
    # A click on the first frame, and an object that appears later; then a correction.
    "corrected": [
        _mark(_START, 0, 1, points=[[30, 25]], labels=[1]),
        _mark(_START, 4, 2, box=[20, 15, 60, 50]),
        _follow(),
        _mark(_CORRECT, 5, 1, points=[[40, 30], [10, 50]], labels=[1, 0]),
        _follow(),
    ],
    # From the last frame down, and from a mask.
    "backward": [
        _mark(_START, 11, 1, points=[[50, 20], [60, 45]], labels=[1, 1]),
        _mark(_START, 8, 2, mask="mask"),
        _follow(reverse=True),
    ],
    # Key frames on either side; a box with a click in it.
    "key frames": [
        _mark(_START, 0, 1, points=[[25, 40]], labels=[1]),
        _mark(_START, 7, 1, points=[[45, 45]], labels=[1]),
        _mark(_START, 10, 1, points=[[40, 20]], labels=[1]),
        _mark(_START, 2, 2, mask="mask"),
        _mark(_START, 9, 2, box=[10, 10, 50, 40], points=[[30, 30]], labels=[1]),
        _follow(),
    ],
}


def make_clip(seed: int) -> np.ndarray:
    """A picture that moves, and changes a little: [FRAMES, H, W, 3] uint8."""
    height, width = SIZE
    across, down = _PACE[0] * FRAMES, _PACE[1] * FRAMES
    picture = smooth_field(3, (5, 7), (height + down, width + across), seed)
    frames = []
    for index in range(FRAMES):
        x, y = _PACE[0] * index, _PACE[1] * index
        change = smooth_field(3, (4, 5), SIZE, seed + 100 + index)
        seen = picture[:, y : y + height, x : x + width] * 55 + change * 15 + 128
        frames.append(seen.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0))
    return torch.stack(frames).numpy()


def make_mask(seed: int) -> np.ndarray:
    """How an object lies in a frame: [H, W] bool."""
    return (smooth_field(1, (3, 4), SIZE, seed + 50)[0] > 0.3).numpy()


def ask_apart(
    predictor: Any, clip: np.ndarray, operations: list[dict], mask: np.ndarray
) -> list[Tensor]:
    """As `ask`, with a state for each object."""
    marked = [each["object"] for each in operations if each["op"] != _FOLLOW]
    answers = []
    for thing in dict.fromkeys(marked):
        own = [each for each in operations if each.get("object", thing) == thing]
        answers.append(ask(predictor, clip, own, mask))
    return [torch.cat(parts) for parts in zip(*answers, strict=True)]


def ask(predictor: Any, clip: np.ndarray, operations: list[dict], mask: np.ndarray) -> list[Tensor]:
    """Logits of each "follow", [objects, frames, h, w] float32, from an official video predictor.

    The predictor's module must read clips by `read_clip`.
    """
    state = predictor.init_state(clip)
    answers = []
    for operation in operations:
        if operation["op"] == _FOLLOW:
            answers.append(follow(predictor, state, operation["reverse"]))
        elif "mask" in operation:
            predictor.add_new_mask(state, operation["frame"], operation["object"], mask)
        else:
            predictor.add_new_points_or_box(
                state,
                operation["frame"],
                operation["object"],
                points=operation.get("points"),
                labels=operation.get("labels"),
                box=operation.get("box"),
            )
    return answers


def follow(predictor: Any, state: dict[str, Any], reverse: bool) -> Tensor:
    """Logits of a pass, noted frame by frame: some predictors forget them on their way."""
    start = FRAMES - 1 if reverse else 0
    found: dict[int, Tensor] = {}
    for frame, *_ in predictor.propagate_in_video(state, start_frame_idx=start, reverse=reverse):
        outputs = [state["output_dict_per_obj"][index] for index in range(len(state["obj_ids"]))]
        found[frame] = torch.stack([_logits(each, frame) for each in outputs])
    return torch.stack([found[frame] for frame in range(FRAMES)], dim=1).float()


def _logits(outputs: dict[str, Any], frame: int) -> Tensor:
    key = outputs["cond_frame_outputs"].get(frame)
    out = outputs["non_cond_frame_outputs"][frame] if key is None else key
    return out["pred_masks"][0, 0]


def read_clip(image_size: int, mean: tuple, std: tuple) -> Any:
    """What stands for the official reader of clips, which knows files alone and resizes with
    Pillow's bicubic filter: images are read as the official image predictors read them."""

    def read(video_path: np.ndarray, **_: Any) -> tuple[Tensor, int, int]:
        frames = torch.from_numpy(video_path).permute(0, 3, 1, 2).float() / 255
        frames = torch.nn.functional.interpolate(
            frames, size=(image_size, image_size), mode="bilinear", antialias=True
        )
        values = [torch.tensor(part).reshape(1, 3, 1, 1) for part in (mean, std)]
        return (frames - values[0]) / values[1], video_path.shape[1], video_path.shape[2]

    return read


def widen_memories(predictor: Any) -> None:
    """Let a predictor that keeps its memories in bf16 read them in fp32: where it has no pointers
    beside them it would expect its caller to run everything in bf16."""
    attend = predictor.memory_attention.forward

    def attend_widened(memory: Tensor, **others: Any) -> Tensor:
        return attend(memory=memory.float(), **others)

    predictor.memory_attention.forward = attend_widened


def run(
    predictor: Any, seed: int, asking: Asking = ask
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """All arrays of reference.npz and all case entries of config.json."""
    clip, mask = make_clip(seed), make_mask(seed)
    arrays: dict[str, np.ndarray] = {"clip": clip, "mask": mask}
    entries = []
    for name, operations in ASKED.items():
        with torch.inference_mode():
            answers = asking(predictor, clip, operations, mask)
        names = [f"{name}.{index}" for index in range(len(answers))]
        arrays |= {key: answer.numpy() for key, answer in zip(names, answers, strict=True)}
        entries.append({"name": name, "operations": operations, "answers": names})
    return arrays, entries


def check_informative(arrays: dict[str, np.ndarray], entries: list[dict[str, Any]]) -> str:
    """Why a broken tracker could match this reference by accident, "" where none could."""
    unseen = total = 0
    for key in (name for entry in entries for name in entry["answers"]):
        for mask in arrays[key].reshape(-1, *arrays[key].shape[-2:]):
            total += 1
            if (mask == -1024).all():
                unseen += 1
                continue
            positive = float((mask > 0).mean())
            if not (
                0.02 < positive < 0.98 and np.ptp(mask) > 2 and not 60 < np.abs(mask).max() < 1000
            ):
                return f"{key}: {positive=:.3f} {np.ptp(mask)=:.1f} {np.abs(mask).max()=:.1f}"
    if not 0.02 < unseen / total < 0.4:
        return f"{unseen} of {total} masks are of objects that are not seen"
    first, second = (arrays[name] for name in entries[0]["answers"])
    if np.abs(first[0, 6:] - second[0, 6:]).mean() < 0.1:
        return "the correction changes next to nothing"
    return ""


def write(
    folder: Path,
    checkpoint: dict[str, Any],
    arrays: dict[str, np.ndarray],
    entries: list[dict[str, Any]],
    facts: dict[str, Any],
) -> None:
    """Write the fixture; facts: what else config.json says."""
    problem = check_informative(arrays, entries)
    if problem:
        raise ValueError(problem)
    write_reference(folder / "checkpoint.pt", checkpoint, arrays, {**facts, "cases": entries})
    print_sizes(folder)
