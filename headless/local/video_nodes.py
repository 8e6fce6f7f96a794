"""ComfyUI's nodes that read videos, for runs without it. What they read may be a part of a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ..pictures import Pictures
from ..sources.clips import look_into, read
from ..sources.units import Source


class LoadVideo:
    """Names a video: VIDEO is a `Source`, whose frames are read when they are asked for."""

    pictures: Pictures
    RETURN_TYPES = ("VIDEO",)
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"file": ("STRING", {})}}

    @classmethod
    def reading(cls, pictures: Pictures) -> type[LoadVideo]:
        """Return the node for a run that may read these files and no other."""
        return type(cls.__name__, (cls,), {"pictures": pictures})

    @classmethod
    def VALIDATE_INPUTS(cls, file: str | None) -> bool | str:
        if file is None:
            return "file is linked; accepted is the name of a file. Remove the link"
        try:
            cls.pictures.check(file)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def IS_CHANGED(cls, file: str) -> list[Any]:
        status = Path(cls.pictures.clip(file).place).stat()
        return [status.st_size, status.st_mtime_ns]

    def execute(self, file: str) -> tuple[Source]:
        return (self.pictures.clip(file),)


class GetVideoComponents:
    """The frames of a video, IMAGE [frames, H, W, 3], and how many a second; no sound."""

    RETURN_TYPES = ("IMAGE", "AUDIO", "FLOAT", "INT")
    FUNCTION = "execute"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"video": ("VIDEO", {})}}

    def execute(self, video: Source) -> tuple[torch.Tensor, None, float, int]:
        clip = look_into(video)
        images = None
        for place, frame in enumerate(read(video, clip)):
            if images is None:
                images = torch.empty((len(clip.frames), *frame.shape))
            # Into its place at once: a clip takes its size in memory, not twice of it.
            torch.div(torch.from_numpy(frame), 255.0, out=images[place])
        assert images is not None
        return images, None, clip.rate, 8
