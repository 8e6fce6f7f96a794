"""A matting model at work on the uncertain band around a mask, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..engines.base import Matting
from ..engines.files.catalogue import MATTING, Entry
from ..engines.files.checkpoints import folder_bytes
from ..engines.matting.tiles import Blend, Tile, needed_tiles
from ..engines.matting.vitmatte import TILE
from ..errors import EngineError
from ..masks.trimap import UNKNOWN, band_width, trimap
from ..tensors import FrameArea
from .segmenter import Need, Part, Resident

# What is certain on either side of the band tells the model what the colours are.
_CONTEXT = 64


class Matter:
    """A loaded matting model. Not thread-safe, nor is the host's management.

    tiles: those it has looked at since it was loaded.
    """

    def __init__(self, engine: Matting):
        self.engine = engine
        self.need: Need = Resident()
        self.tiles = 0

    def edges(self, band: float, before_tiles: Callable[[], None] = lambda: None) -> MattingEdges:
        """What aligns masks with their image by this model.

        band: the full width in pixels of what is uncertain around the contour, 0 for what the mask
        says itself (`trimap`). before_tiles: called before the model runs; may raise to stop.
        """
        return MattingEdges(self, band, before_tiles)

    def alphas(self, tiles: Sequence[Tensor]) -> Tensor:
        """The alphas of tiles of one size, as `Matting.alphas` gives them. `need` comes first, once
        for all tiles of a picture: hosts look at all of their models then."""
        alphas = self.engine.alphas(tiles)
        self.tiles += len(tiles)
        if not torch.isfinite(alphas).all():
            raise EngineError(
                "edge: the matting model overflowed on this image. Choose another matting_model, "
                "or set edge to guided."
            )
        return alphas


@dataclass(frozen=True)
class MattingEdges:
    """Finds the alpha in the band around a mask's contour; what is outside of it stays as it is.

    An `Aligner`, see masks/refine; arguments as for `Matter.edges`.
    """

    matter: Matter
    band: float
    before_tiles: Callable[[], None]
    # The model's own threads are enough, and another run beside it would need its memory again.
    in_threads = False

    def margin(self, size: tuple[int, int]) -> float:
        """Half of the band may become selected, and the model wants to see what is beyond it."""
        return band_width(self.band, size) / 2.0 + _CONTEXT

    def align(self, mask: Tensor, guide: FrameArea, size: tuple[int, int]) -> Tensor:
        """[H, W] float32, 0..1. Raises InputError where a tile of the image holds NaN, EngineError
        where the model gives no numbers."""
        known = trimap(mask, self.band, size)
        unknown = known == UNKNOWN
        tiles = needed_tiles(unknown, TILE)
        if not tiles:
            return mask
        blend = Blend((mask.shape[0], mask.shape[1]), mask.device)
        together = min(self.matter.need.at_once(), len(tiles))
        self.matter.need(Part.ENCODER, together)
        for group in _groups(tiles, together):
            self.before_tiles()
            inputs = [_input(guide, known, tile) for tile in group]
            for tile, alpha in zip(group, self.matter.alphas(inputs), strict=True):
                blend.add(tile, alpha)
        return torch.where(unknown, blend.result(), mask)


def _groups(tiles: Sequence[Tile], most: int) -> Iterator[Sequence[Tile]]:
    """So many tiles at a time. Those of one picture are all of one size."""
    return (tiles[start : start + most] for start in range(0, len(tiles), most))


def _input(guide: FrameArea, known: Tensor, tile: Tile) -> Tensor:
    """A tile's colours and its trimap: [h, w, 4] float32."""
    colours = FrameArea(guide.part, guide.index, tile.area).rgb(slice(None))
    return torch.cat([colours, known[tile.area][..., None].to(colours.device)], dim=2)


def usual_matting(local: Sequence[Path]) -> Path | Entry:
    """What `auto` stands for: the largest model on this machine, else the smallest to download.

    local: the folders of the matting models that are there.
    """
    return max(local, key=folder_bytes, default=None) or min(MATTING, key=lambda each: each.size)
