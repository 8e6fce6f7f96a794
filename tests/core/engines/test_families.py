"""The families: recognised by keys or by model type, each with the prompts it takes."""

from __future__ import annotations

import importlib

import pytest
import torch
from segment_anywhere.core.engines.families import (
    FAMILIES,
    Capabilities,
    check_prompts,
    family_named,
    family_of_keys,
    family_of_type,
)
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point

CLICK = ObjectPrompt("object 0", (Point(1, 1),))
BOX = ObjectPrompt("object 1", box=Box(0, 0, 2, 2))
MASK = ObjectPrompt("object 2", mask=torch.ones(2, 2))
NEGATIVE_BOX = ObjectPrompt("object 3", (Point(1, 1),), negative_boxes=(Box(0, 0, 2, 2),))


@pytest.mark.parametrize("family", [each for each in FAMILIES if each.module])
def test_every_family_that_loads_has_a_builder(family):
    module = family.builder()
    assert callable(module.from_official) and family.is_official is not None
    # transformers has no model of MobileSAM.
    assert hasattr(module, "from_transformers") is bool(family.model_types)
    assert all(family_of_type(name) is family for name in family.model_types)


def test_names_are_unique():
    names = [each.name for each in FAMILIES]
    assert len(set(names)) == len(names)
    assert all(family_named(name).name == name for name in names)


@pytest.mark.parametrize("keys", [{}, {"model.diffusion_model.input_blocks.0.0.weight": 0}])
def test_other_keys_are_of_no_family(keys):
    assert family_of_keys(keys) is None
    assert family_of_type("bert") is None
    assert family_of_type(None) is None


def test_the_engines_name_their_family():
    for family in (each for each in FAMILIES if each.module):
        engines = [value for value in vars(family.builder()).values() if isinstance(value, type)]
        assert family.name in {getattr(engine, "family", None) for engine in engines}
    grabcut = importlib.import_module("segment_anywhere.core.engines.grabcut.engine")
    assert grabcut.GrabCutEngine.family == "grabcut"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_clicks_boxes_and_masks_are_taken_by_all(family):
    check_prompts(family, [[CLICK, BOX], [], [MASK]])


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_negative_boxes_are_taken_by_grabcut(family):
    if family.capabilities == Capabilities(negative_boxes=True):
        check_prompts(family, [[NEGATIVE_BOX]])
        return
    with pytest.raises(InputError, match="object 3: .* takes no negative boxes; .* by GrabCut"):
        check_prompts(family, [[CLICK], [NEGATIVE_BOX]])
