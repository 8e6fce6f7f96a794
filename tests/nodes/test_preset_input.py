"""What the browser is told of the presets, and what a run makes of them: nothing."""

from __future__ import annotations

import json

import pytest
import torch
from segment_anywhere.core.masks.presets import AS_SET, PRESETS
from segment_anywhere.nodes.mask_refine import MaskRefine
from segment_anywhere.nodes.preset_input import preset_input

from tests.support.nodes import box_mask

INPUTS = {each.id: each for each in MaskRefine.GET_SCHEMA().inputs}


def test_it_is_the_last_input():
    assert list(INPUTS)[-1] == "preset"
    assert preset_input().options == [AS_SET, *PRESETS]


def test_the_definition_holds_values_that_the_widgets_take():
    (_, spec) = MaskRefine.INPUT_TYPES()["optional"]["preset"]
    presets = json.loads(json.dumps(spec))["segment_anywhere"]["presets"]
    assert list(presets) == list(PRESETS)
    for name, values in presets.items():
        for field, value in values.items():
            assert value == getattr(PRESETS[name], field)
            if isinstance(value, str):
                assert value in INPUTS[field].options
            elif not isinstance(value, bool):
                assert INPUTS[field].min <= value <= INPUTS[field].max


@pytest.mark.parametrize("preset", [*PRESETS, "of a later version"])
@torch.inference_mode()
def test_a_run_takes_the_values_as_they_are(preset):
    values = {each.id: each.default for each in INPUTS.values() if not each.optional}
    mask, _ = MaskRefine.execute(**values, mask=box_mask(), preset=preset).args
    assert torch.equal(mask, box_mask())
