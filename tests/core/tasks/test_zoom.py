"""Objects drawn anew on crops around them: finer outlines, in place, one encoding for each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from segment_anywhere.core.engines.files.checkpoints import load_engine
from segment_anywhere.core.engines.grabcut.engine import GrabCutEngine
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.tasks.segmenter import (
    MaskChoice,
    SegmentedFrame,
    Segmenter,
    segment_frames,
)
from segment_anywhere.core.tasks.tiling import box_around, crop_around
from segment_anywhere.core.tasks.zoom import most_crops, zoom_frames

from tests.support.large_scenes import draw_large_scene
from tests.support.paths import FIXTURES
from tests.support.scenes import Scene, interior_point

# One shape of each colour, for the small model takes all of one colour for one object.
SCENE = draw_large_scene(3, 1024, 60, 3)
# Shapes of 60 pixels are 8 wide in what the small SAM 2 sees of the whole, 80 in a crop.
IMAGE = torch.from_numpy(SCENE.image)[None]


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(load_engine(FIXTURES / "sam2_tiny", torch.float32))


def _box(mask: np.ndarray) -> Box:
    rows, columns = np.nonzero(mask)
    return Box(*(float(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)))


def _prompts(scene: Scene, with_box: bool, with_click: bool) -> list[ObjectPrompt]:
    prompts = []
    for number, mask in enumerate(scene.masks):
        x, y = interior_point(mask)
        click = (Point(x + 0.5, y + 0.5),) if with_click else ()
        box = _box(mask) if with_box else None
        prompts.append(ObjectPrompt(f"object {number}", click, box, number=number))
    return prompts


def _run(segmenter: Segmenter, image: torch.Tensor, prompts: list, zoom: bool, choice="best"):
    every = [prompts] * len(image)
    frames = segment_frames(segmenter, image, every, MaskChoice(choice))
    frames = zoom_frames(segmenter, frames, every) if zoom else frames
    return [each for frame in frames for each in frame.instances]


def _overlaps(found: list, scene: Scene) -> list[float]:
    masks = {each.id: each.mask.pixels().numpy() > 0 for each in found}
    pairs = [(masks.get(row, np.zeros(1, bool)), truth) for row, truth in enumerate(scene.masks)]
    return [float((m & truth).sum() / (m | truth).sum()) for m, truth in pairs]


@torch.inference_mode()
@pytest.mark.parametrize(("with_box", "with_click"), [(True, False), (True, True), (False, True)])
def test_outlines_of_small_shapes_are_finer(segmenter, with_box, with_click):
    prompts = _prompts(SCENE, with_box, with_click)
    plain = _run(segmenter, IMAGE, prompts, zoom=False)
    assert segmenter.counters.encodes == 1
    closer = _run(segmenter, IMAGE, prompts, zoom=True)
    assert segmenter.counters.encodes == 1 + len(plain) == 1 + len(closer)
    before, after = np.mean(_overlaps(plain, SCENE)), np.mean(_overlaps(closer, SCENE))
    assert after > before + 0.1 and after > 0.8
    assert [each.label for each in closer] == [each.label for each in plain]


@torch.inference_mode()
def test_what_was_outside_of_the_crop_is_gone(segmenter):
    """The box says where the object is: a mask that runs beyond it is replaced, not added to."""
    prompts = [ObjectPrompt("it", box=_box(SCENE.masks[0]))]
    (plain,) = _run(segmenter, IMAGE, prompts, zoom=False)
    everywhere = compact(torch.full(plain.mask.size, 255, dtype=torch.uint8))
    whole = SegmentedFrame(0, IMAGE[0], "", [[replace(plain, mask=everywhere)]])
    ((closer,),) = (each.instances for each in zoom_frames(segmenter, [whole], [prompts]))
    x1, y1, x2, y2 = closer.mask.box()
    box = prompts[0].box
    width, height = box.x2 - box.x1, box.y2 - box.y1
    assert x1 >= box.x1 - width / 4 - 1 and x2 <= box.x2 + width / 4 + 1
    assert y1 >= box.y1 - height / 4 - 1 and y2 <= box.y2 + height / 4 + 1


@torch.inference_mode()
def test_a_click_beyond_the_mask_is_in_the_crop(segmenter):
    """Two clicks on two shapes, of which the first mask covers one: the box holds both."""
    x, y = interior_point(SCENE.masks[1])
    prompts = _prompts(SCENE, False, True)[:1]
    (plain,) = _run(segmenter, IMAGE, prompts, zoom=False)
    both = [replace(prompts[0], points=(*prompts[0].points, Point(x + 0.5, y + 0.5)))]
    frame = SegmentedFrame(0, IMAGE[0], "", [[plain]])
    asked: list[ObjectPrompt] = []
    find = segmenter.find
    segmenter.find = lambda embedding, prompts, *others: (
        asked.extend(prompts) or find(embedding, prompts, *others)
    )
    list(zoom_frames(segmenter, [frame], [both]))
    (prompt,) = asked
    assert len(prompt.points) == 2
    for point in prompt.points:
        assert prompt.box.x1 <= point.x <= prompt.box.x2
        assert prompt.box.y1 <= point.y <= prompt.box.y2


@torch.inference_mode()
def test_an_object_that_fills_the_image_is_left_alone(segmenter):
    box = _box(SCENE.masks[0])
    x1, y1, x2, y2 = (int(v) for v in (box.x1 - 6, box.y1 - 6, box.x2 + 6, box.y2 + 6))
    prompts = [ObjectPrompt("it", box=Box(6, 6, x2 - x1 - 6, y2 - y1 - 6))]
    image = IMAGE[:, y1:y2, x1:x2]
    plain, closer = (_run(segmenter, image, prompts, zoom)[0] for zoom in (False, True))
    assert segmenter.counters.encodes == 1
    assert torch.equal(plain.mask.pixels(), closer.mask.pixels()) and plain.score == closer.score


@torch.inference_mode()
def test_every_candidate_is_drawn_by_its_own_box(segmenter):
    prompts = _prompts(SCENE, with_box=False, with_click=True)[:1]
    plain = _run(segmenter, IMAGE, prompts, False, "all")
    assert segmenter.counters.encodes == 1
    closer = _run(segmenter, IMAGE, prompts, True, "all")
    assert len(closer) == len(plain) > 1
    crops = {crop_around(box_around(each.mask), SCENE.image.shape[:2]) for each in plain}
    assert segmenter.counters.encodes == 1 + len(crops) > 2
    assert len(crops) <= most_crops([prompts], MaskChoice.ALL) == 3


@pytest.mark.parametrize(("choice", "most"), [("best", 5), ("largest", 5), ("all", 15)])
def test_the_most_crops(choice, most):
    prompts = [_prompts(SCENE, True, False), _prompts(SCENE, True, False)[:2]]
    assert most_crops(prompts, MaskChoice(choice)) == most


@torch.inference_mode()
def test_a_batch_and_the_chance_to_stop_before_every_object(segmenter):
    image = torch.cat([IMAGE, 1 - IMAGE])
    prompts = [_prompts(SCENE, True, True)[:1], _prompts(SCENE, True, True)[1:]]
    looks: list[int] = []
    frames = segment_frames(segmenter, image, prompts, MaskChoice.BEST)
    closer = list(zoom_frames(segmenter, frames, prompts, lambda: looks.append(1)))
    assert [each.index for each in closer] == [0, 1]
    assert [[one.frame for one in each.instances] for each in closer] == [[0], [1, 1]]
    assert len(looks) == 3 and segmenter.counters.encodes == 2 + 3

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(zoom_frames(segmenter, iter(closer), prompts, stop))
    assert segmenter.counters.encodes == 5


@torch.inference_mode()
def test_a_second_run_encodes_nothing(segmenter):
    prompts = _prompts(SCENE, True, False)
    first = _run(segmenter, IMAGE, prompts, True)
    count = segmenter.counters.encodes
    assert count == 1 + len(prompts)
    second = _run(segmenter, IMAGE, prompts, True)
    assert segmenter.counters.encodes == count
    assert all(
        torch.equal(a.mask.pixels(), b.mask.pixels()) for a, b in zip(first, second, strict=True)
    )


@torch.inference_mode()
def test_the_built_in_engine_works_on_the_crop():
    segmenter = Segmenter(GrabCutEngine())
    prompts = _prompts(SCENE, True, True)[:3]
    overlaps = _overlaps(_run(segmenter, IMAGE, prompts, True), SCENE)[:3]
    assert np.mean(overlaps) > 0.85 and segmenter.counters.encodes == 4
