"""What a mask node is given: a mask, segments or both, matched to each other and to an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..errors import InputError
from ..results.segments import Segments, frame_masks, match_segments, union_frame, union_masks
from ..tensors import common_batch, image_size, is_no_mask, mask_frame, mask_frames, mask_size

NO_MASK = "no mask: nothing is selected"


@dataclass(frozen=True)
class MaskInputs:
    """A mask, segments or both, as they arrive. suffix: of the inputs' names, for errors."""

    mask: Tensor | None = None
    segments: Segments | None = None
    suffix: str = ""

    def counts(self) -> dict[str, int]:
        """Frames by input; raises InputError where nothing is connected or a mask's shape is wrong.

        The zeros that Load Image sends for a picture without alpha are no mask where segments are.
        """
        counts = {}
        source = self._source
        if isinstance(source, Tensor):
            counts[f"mask{self.suffix}"] = mask_size(source, f"mask{self.suffix}")[0]
        if self.segments is not None:
            counts[f"segments{self.suffix}"] = self.segments.batch
        return counts

    def size(self) -> tuple[int, int]:
        """(H, W): of the segments, which fit their image, else of the mask."""
        source = self._source if self.segments is None else self.segments
        if isinstance(source, Segments):
            return source.size
        return source.shape[-2], source.shape[-1]

    def matched_segments(self, batch: int, size: tuple[int, int]) -> Segments | None:
        """The segments of a batch of images of (H, W), None where none are connected."""
        return None if self.segments is None else match_segments(self.segments, batch, size)

    def matched_mask(self, batch: int, size: tuple[int, int]) -> Tensor:
        """The mask, [batch, H, W] float32, 0..1; the union where there are only segments.

        Raises InputError as `mask_frames` does.
        """
        source = self._source
        if isinstance(source, Segments):
            return union_masks(match_segments(source, batch, size))
        return mask_frames(source, batch, size, f"mask{self.suffix}")

    def matched_frames(self, batch: int, size: tuple[int, int]) -> Callable[[int], Tensor]:
        """The frames of `matched_mask` by their index, [H, W], each made when it is asked for.

        So the batch is held no second time. They may be views of the mask: not to be written into.
        """
        source = self._source
        if isinstance(source, Tensor):
            return partial(mask_frame, source, size=size, name=f"mask{self.suffix}")
        masks = frame_masks(match_segments(source, batch, size))
        return lambda index: union_frame(masks[index], size)

    @property
    def device(self) -> torch.device:
        """Of the matched mask; unions are made on the CPU."""
        source = self._source
        return source.device if isinstance(source, Tensor) else torch.device("cpu")

    def select_anything(self) -> bool:
        """Whether the matched mask holds anything."""
        source = self._source
        return bool(source.amax() > 0) if isinstance(source, Tensor) else any(source.masks)

    @property
    def _source(self) -> Tensor | Segments:
        """What the matched mask is made of: the mask, or the segments where that is none."""
        if self.mask is not None and (self.segments is None or not is_no_mask(self.mask)):
            return self.mask
        if self.segments is None:
            raise InputError(
                f"mask{self.suffix}, segments{self.suffix}: neither is connected; accepted is one "
                "of them or both. Connect the mask or the segments of a segment node."
            )
        return self.segments


def match_image(inputs: MaskInputs, image: Tensor | None) -> tuple[int, tuple[int, int]]:
    """The number of frames and the size (H, W) of a run; the image decides the size.

    Raises InputError where nothing is connected or batches do not fit.
    """
    counts = inputs.counts()
    if image is None:
        return common_batch(counts), inputs.size()
    batch, height, width = image_size(image)
    return common_batch({"image": batch, **counts}), (height, width)


def image_frames(image: Tensor, batch: int) -> Tensor:
    """IMAGE [batch, H, W, C]: one image repeated for all, as a view."""
    return image.expand(batch, -1, -1, -1)
