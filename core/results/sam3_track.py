"""ComfyUI's own track, SAM3_TRACK_DATA, as objects.

Source: `SAM3_VideoTrack` and `SAM3_TrackToMask` of ComfyUI (`comfy_extras/nodes_sam3.py`) and
`pack_masks` of `comfy/ldm/sam3/tracker.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..prompts.names import numbered_label
from .compact_mask import compact
from .segments import Instance


@dataclass(frozen=True)
class Sam3Track:
    """What the host's tracker found.

    packed: [T, N, h, w / 8] uint8, eight pixels of a row to a byte, the first one lowest. size:
    (H, W) of the frames, which the masks cover. scores: of the objects, 0..1.
    """

    packed: Tensor
    size: tuple[int, int]
    scores: tuple[float, ...]

    def __len__(self) -> int:
        """The number of frames."""
        return self.packed.shape[0]


def read_track(value: Any) -> Sam3Track:
    """Check a SAM3_TRACK_DATA value, as the host's node makes it: a dictionary of `packed_masks`
    (None where nothing was found), `n_frames`, `scores` and `orig_size`.

    Raises InputError for anything else.
    """
    if not isinstance(value, Mapping) or not {"packed_masks", "orig_size"} <= value.keys():
        raise _not_a_track(f"found {type(value).__name__}")
    size = value["orig_size"]
    packed = value["packed_masks"]
    if packed is None:
        packed = torch.zeros((int(value.get("n_frames", 0)), 0, 1, 1), dtype=torch.uint8)
    if not isinstance(packed, Tensor) or packed.dtype != torch.uint8 or packed.dim() != 4:
        raise _not_a_track("found packed_masks of another kind")
    if not len(packed):
        raise _not_a_track("found a track of no frames")
    scores = [float(score) for score in value.get("scores") or []][: packed.shape[1]]
    scores += [1.0] * (packed.shape[1] - len(scores))
    return Sam3Track(packed, (int(size[0]), int(size[1])), tuple(scores))


def track_instances(track: Sam3Track, labels: Sequence[str] = ()) -> Iterator[list[Instance]]:
    """The objects seen on each frame, their masks at the frame's size.

    labels: of the objects in their order; the others are called by their number.
    """
    names = [*labels, *(numbered_label(n) for n in range(len(labels), len(track.scores)))]
    for frame, packed in enumerate(track.packed):
        found = []
        for number, bits in enumerate(packed):
            mask = compact(_mask(bits, track.size))
            if mask:
                score = min(max(track.scores[number], 0.0), 1.0)
                found.append(Instance(mask, score, names[number], frame, number))
        yield found


def _mask(bits: Tensor, size: tuple[int, int]) -> Tensor:
    """[h, w / 8] uint8 -> [H, W] bool on the CPU; the outline lies where the host's own mask, which
    is enlarged linearly, is half."""
    pixels = torch.from_numpy(np.unpackbits(bits.cpu().numpy(), axis=1, bitorder="little"))
    if tuple(pixels.shape) == size or not pixels.any():
        return pixels.bool() if tuple(pixels.shape) == size else torch.zeros(size, dtype=torch.bool)
    enlarged = F.interpolate(pixels[None, None].float(), size=size, mode="bilinear")
    return enlarged[0, 0] > 0.5


def _not_a_track(found: str) -> InputError:
    return InputError(
        f"track_data: {found}; accepted is the output of ComfyUI's Run SAM3 Video Track. Connect "
        "that node."
    )
