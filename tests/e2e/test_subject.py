"""The subject without a prompt: ComfyUI's Remove Background before this pack's nodes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.support.paths import ROOT

from .api import Graph, Refused
from .graphs import cut_out, node, point_segment

pytestmark = pytest.mark.xdist_group("comfyui")


@pytest.fixture
def shipped(api, dahlia) -> Graph:
    """The template with the photograph; skips on a ComfyUI that has no such node yet."""
    if "RemoveBackground" not in api.http.get_json("/object_info"):
        pytest.skip("this ComfyUI is older than its Remove Background")
    graph = json.loads((ROOT / "workflows" / "api" / "subject_cutout.json").read_text())
    graph["1"]["inputs"]["image"] = dahlia
    return graph


def test_the_template_lacks_nothing_but_the_weights(api, shipped):
    with pytest.raises(Refused) as refusal:
        api.queue(shipped)
    (errors,) = refusal.value.node_errors.values()
    assert errors["class_type"] == "LoadBackgroundRemovalModel"
    assert [each["type"] for each in errors["errors"]] == ["value_not_in_list"]


def test_the_subject_is_refined_and_cut_out(api, shipped):
    """With a model of the tests in place of the weights; ComfyUI's own node calls it."""
    shipped["2"] = node("LoadRedIsTheSubject")
    run = api.succeed(shipped)
    (cutout,) = api.images(run, "6")
    assert cutout.mode == "RGBA"
    assert run.text("4") == "1 object"
    photograph = np.asarray(Image.open(ROOT / "workflows" / "images" / "dahlia.jpg")).astype(int)
    found = (photograph[..., 0] - photograph[..., 2]) * 4 > 127
    alpha = np.asarray(cutout)[..., 3]
    assert alpha.shape[1] < found.shape[1]
    assert 0.9 < (alpha > 127).sum() / found.sum() < 1.1
    assert (alpha == 0).sum() > 0.8 * (alpha.size - found.sum())


def test_each_object_gets_a_picture_of_its_own(api, dahlia):
    graph = point_segment(dahlia, [[[310, 215]], [[410, 410]]])
    graph["cut"] = cut_out(["image", 0], segments=["segment", 1], crop=True, each=True)
    graph["cutouts"] = node("PreviewImage", images=["cut", 0])
    graph["areas"] = node("MaskToImage", mask=["cut", 1])
    graph["masks"] = node("PreviewImage", images=["areas", 0])
    run = api.succeed(graph)
    cutouts, masks = api.images(run, "cutouts"), api.images(run, "masks")
    assert run.text("cut") == "2 pictures"
    assert len(cutouts) == len({each.size for each in cutouts}) == 2
    assert [each.size for each in masks] == [each.size for each in cutouts]
    for cutout, mask in zip(cutouts, masks, strict=True):
        apart = np.asarray(cutout)[..., 3].astype(int) - np.asarray(mask.convert("L"))
        assert np.abs(apart).max() <= 1
