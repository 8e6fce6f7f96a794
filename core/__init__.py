"""Segmentation without ComfyUI: prompts, engines, results. Nothing below imports the host.

What a program of its own needs is exported here. A click on a photograph, with the engine that
needs no download:

    >>> import numpy as np
    >>> import torch
    >>> from PIL import Image
    >>> from segment_anywhere.core import ObjectPrompt, Point, Segments, open_model, union_masks
    >>> photo = Image.open("workflows/images/dahlia.jpg").convert("RGB")
    >>> frame = torch.from_numpy(np.array(photo)).float() / 255.0
    >>> flower = ObjectPrompt("flower", points=(Point(310, 215),))
    >>> found = open_model().segment(frame, [flower])
    >>> segments = Segments.from_instances(found, (photo.height, photo.width), batch=1)
    >>> segments.labels, union_masks(segments).shape
    (('flower',), torch.Size([1, 427, 640]))

`open_model("models/sam2/sam2.1_hiera_tiny.pt")` reads weights instead, and `segment_words` with a
detector of `open_finder` finds what words name.
"""

from .engines.families import family_named
from .engines.precision import Precision
from .errors import (
    CheckpointError,
    DownloadError,
    EngineError,
    InputError,
    SegmentAnywhereError,
)
from .pictures.render import Drawing, Style, draw
from .prompts.formats import parse_points
from .prompts.phrases import TextQuery, read_query
from .prompts.prompts import Box, ObjectPrompt, Point, Prompts, group_by_object
from .results.compare import Comparison, compare
from .results.segments import Instance, Segments, bounding_boxes, union_masks
from .results.select import Selection, SortBy, select
from .tasks.closely import Closeness, segment_closely
from .tasks.everything import GridSettings, segment_images
from .tasks.loading import open_finder, open_model
from .tasks.segmenter import Finder, MaskChoice, Segmenter
from .tasks.words import FoundWords, Refine, segment_words

__all__ = [
    "Box",
    "CheckpointError",
    "Closeness",
    "Comparison",
    "DownloadError",
    "Drawing",
    "EngineError",
    "Finder",
    "FoundWords",
    "GridSettings",
    "InputError",
    "Instance",
    "MaskChoice",
    "ObjectPrompt",
    "Point",
    "Precision",
    "Prompts",
    "Refine",
    "SegmentAnywhereError",
    "Segmenter",
    "Segments",
    "Selection",
    "SortBy",
    "Style",
    "TextQuery",
    "bounding_boxes",
    "compare",
    "draw",
    "family_named",
    "group_by_object",
    "open_finder",
    "open_model",
    "parse_points",
    "read_query",
    "segment_closely",
    "segment_images",
    "segment_words",
    "select",
    "union_masks",
]
