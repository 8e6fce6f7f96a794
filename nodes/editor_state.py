"""What a run leaves for the editor: pictures and masks of its frames, and keys for the preview."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..core.cache import pixels_key
from ..core.pictures.render import frame_members
from ..core.pictures.thumbnails import MAX_SIDE, jpeg, prompt_picture, shrink_factor, small_frame
from ..core.prompts.inputs import SocketPrompts
from ..core.prompts.prompts import Prompts
from ..core.results.segments import Instance, Segments
from ..core.tensors import rgb_frame
from .host import folders, models, ui

# Of a longer clip every second frame is shown, every third, and so on, and all key frames.
MAX_FRAMES = 240
# The longest side of their pictures. The first frame's is larger: single images are looked at
# closely.
FRAME_SIDE = 640


@dataclass(frozen=True)
class Clicked:
    """What a run was asked for: the text of `points`, what it says, and each frame's sockets."""

    text: str
    given: Prompts
    sockets: Sequence[SocketPrompts]


def editor_state(
    model: models.SegmentModel,
    images: Tensor,
    keys: Mapping[int, str],
    clicked: Clicked,
    segments: Segments,
) -> dict[str, Any]:
    """The `ui` value that a run on a batch leaves for the editor.

    images: [B, H, W, C] float, 0..1. keys: of the embeddings of the frames that were looked at.

    The value holds the first frame's key for the route, its image and mask as temp files, the
    points that the masks are of, what the model can take, its name where it is rough, how many
    frames there are and, of a clip, the same of all frames that are shown: `index`, `key`, `image`
    and `mask`. A frame whose embedding is not kept has the key "".
    """
    shown = shown_frames(len(images), _named_frames(clicked.given))
    keys = {
        index: keys[index] if index in keys else pixels_key(rgb_frame(images, index))
        for index in shown
    }
    previews = _remember(model, keys, clicked.sockets)
    members = frame_members(segments)
    picture = folders.save_temp(f"{keys[0]}.jpg", lambda: jpeg(small_frame(images[0])))
    state = {
        **_traces(images[0], picture, clicked.text, members[0]),
        "key": previews[0],
        "negative_boxes": model.family.capabilities.negative_boxes,
        "rough": "" if model.family.has_own_scores else model.family.title,
        "count": len(images),
        "frames": [],
    }
    if len(images) > 1:
        state["frames"] = [
            {
                "index": index,
                "key": previews[index],
                "image": _small_picture(images[index], key),
                "mask": _mask(members[index], segments.size, FRAME_SIDE),
            }
            for index, key in keys.items()
        ]
    return {"segment_anywhere": [state]}


def unpreviewed_state(
    image: Tensor, points: str, segments: Segments, pictures: Iterable[bytes]
) -> dict[str, Any] | None:
    """The same of a run whose masks nobody can ask for beforehand, of the first image of a batch,
    [B, H, W, C] float, 0..1; None where nobody looks.

    pictures: of the whole result, shown beside it where there are several images. The key is that
    of the picture alone.
    """
    if not ui.has_viewer():
        return None
    frame = rgb_frame(image, 0)
    picture = ui.save_picture(jpeg(small_frame(frame)))
    found = [each for each in segments if each.frame == 0]
    state = _traces(frame, picture, points, found)
    further = {
        "key": picture["filename"],
        "negative_boxes": True,
        "rough": "",
        "count": 1,
        "frames": [],
    }
    shown = {"segment_anywhere": [{**state, **further}]}
    return shown if segments.batch == 1 else {**ui.preview(pictures), **shown}


def shown_frames(count: int, keys: Collection[int]) -> list[int]:
    """Which frames of a clip the editor shows, ascending: all of them up to MAX_FRAMES, else every
    k-th, and those with prompts."""
    step = -(-count // MAX_FRAMES)
    return sorted({*range(0, count, step), *keys})


def _named_frames(prompts: Prompts) -> set[int]:
    frames = {prompt.frame for prompt in prompts.everything}
    return {frame for frame in frames if frame is not None}


def _remember(
    model: models.SegmentModel, keys: Mapping[int, str], sockets: Sequence[SocketPrompts]
) -> dict[int, str]:
    """The preview's key of each frame, "" where it is of no use. The first frame always has one."""
    previewer = model.start_previews()
    previews = dict.fromkeys(keys, "")
    # What was remembered last is forgotten last: the first frames, as in the embedding cache.
    for index in sorted(keys, reverse=True):
        if index == 0 or previewer.holds(keys[index]):
            key = previewer.remember(keys[index], sockets[index])
            previews[index] = f"{model.key}-{key}"
    return previews


def _traces(
    frame: Tensor, picture: dict[str, str], points: str, found: Sequence[Instance]
) -> dict[str, Any]:
    size = (frame.shape[0], frame.shape[1])
    return {
        "size": [size[1], size[0]],
        "points": points,
        "image": picture,
        "mask": _mask(found, size),
    }


def _small_picture(frame: Tensor, key: str) -> dict[str, str]:
    name = f"{key}_{FRAME_SIDE}.jpg"
    return folders.save_temp(name, lambda: jpeg(small_frame(frame, FRAME_SIDE)))


def _mask(found: Sequence[Instance], size: tuple[int, int], side: int = MAX_SIDE) -> dict[str, str]:
    layers = [(each.id, each.mask) for each in found]
    return ui.save_picture(prompt_picture(layers, size, shrink_factor(size, side)))
