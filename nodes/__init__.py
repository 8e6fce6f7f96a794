"""The nodes ComfyUI sees: one file per node, listed here."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import live_preview
from .combine import Combine
from .compare_segments import CompareSegments
from .crop_segments import CropSegments
from .cut_out import CutOut
from .draw_segments import DrawSegments
from .from_masks import MasksToSegments
from .from_sam3_track import SegmentsFromSAM3Track
from .from_segs import SEGSToSegments
from .host import errors, folders, samples
from .load_sam import LoadSAM
from .load_segments import LoadSegments
from .mask_refine import MaskRefine
from .point_segment import PointSegment
from .remote_segment import RemoteProviderSegment
from .save_segments import SaveSegments
from .segment_everything import SegmentEverything
from .select_segments import SelectSegments
from .stitch_segments import StitchSegments
from .text_segment import TextSegment
from .to_segs import SegmentsToSEGS
from .track_segments import TrackSegments

NODES: list[type[io.ComfyNode]] = [
    LoadSAM,
    PointSegment,
    TextSegment,
    SegmentEverything,
    RemoteProviderSegment,
    SelectSegments,
    MaskRefine,
    Combine,
    DrawSegments,
    CutOut,
    CompareSegments,
    TrackSegments,
    SegmentsFromSAM3Track,
    CropSegments,
    StitchSegments,
    SegmentsToSEGS,
    SEGSToSegments,
    MasksToSegments,
    SaveSegments,
    LoadSegments,
]


class SegmentAnywhereExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES


async def comfy_entrypoint() -> ComfyExtension:
    """Called once by ComfyUI when it loads the pack."""
    errors.hide_modules()
    folders.register_model_folders()
    samples.place_samples()
    live_preview.register()
    return SegmentAnywhereExtension()
