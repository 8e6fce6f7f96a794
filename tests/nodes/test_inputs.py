"""Every node's inputs: which must be connected, and that no widget refuses its own default."""

from __future__ import annotations

import pytest
from segment_anywhere.nodes import NODES

# What has no widget and must be linked before ComfyUI runs the node.
LINKED = {
    "SegmentAnywhereLoadSAM": set(),
    "SegmentAnywherePoint": {"model", "image"},
    "SegmentAnywhereText": {"model", "image"},
    "SegmentAnywhereEverything": {"model", "image"},
    "SegmentAnywhereRemote": {"image", "provider"},
    "SegmentAnywhereSelect": {"segments"},
    "SegmentAnywhereMaskRefine": set(),
    "SegmentAnywhereCombine": set(),
    "SegmentAnywhereDraw": {"image", "segments"},
    "SegmentAnywhereCutOut": {"image"},
    "SegmentAnywhereCompare": {"segments_a", "segments_b"},
}


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_what_must_be_linked(node):
    schema = node.GET_SCHEMA()
    needed = {
        each.id
        for each in schema.inputs
        if not each.optional and getattr(each, "default", None) is None
    }
    assert needed == LINKED[schema.node_id]


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_no_widget_refuses_its_own_default(node):
    for each in node.GET_SCHEMA().inputs:
        default = getattr(each, "default", None)
        options = getattr(each, "options", None)
        if options and default is not None:
            assert default in options, each.id
        elif isinstance(default, int | float) and not isinstance(default, bool):
            assert each.min <= default <= each.max, each.id
