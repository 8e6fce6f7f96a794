"""What is checked before a graph runs, and what is reused between images."""

from __future__ import annotations

import pytest

from headless.errors import WorkflowError
from tests.support.local_runs import given, graph, log, photo, pixels


def test_what_did_not_change_is_not_run_again(runner, pack, tmp_path):
    first, second = photo(tmp_path / "a.png"), photo(tmp_path / "b.png", "black")
    results = [
        runner.run(graph(), "1", given(image))[0] for image in (first, second, second, first)
    ]
    assert [pixels(result).max() for result in results] == [255, 0, 0, 255]
    assert log(pack) == ["on_load", "load small 2", *["segment"] * 3]


def test_a_constant_reruns_its_node_and_what_follows_only(runner, pack, tmp_path):
    image = photo(tmp_path / "a.png")
    for threshold in (0.1, 0.2):
        runner.run(graph(threshold=threshold), "1", given(image))
    assert log(pack) == ["on_load", "load small 2", "segment", "segment"]
    runner.run(graph(threshold=0.2).with_input("2", "model", "large"), "1", given(image))
    assert log(pack)[4:] == ["load large 2", "segment"]


def test_a_changed_fingerprint_or_image_file_reruns(runner, pack, tmp_path):
    image = photo(tmp_path / "a.png")
    runner.run(graph(), "1", given(image))
    photo(image, "black", size=(7, 5))
    assert pixels(runner.run(graph(), "1", given(image))[0]).shape == (5, 7, 3)
    assert log(pack) == ["on_load", "load small 2", "segment", "segment"]
    (pack / "weights").unlink()
    for _ in range(2):  # A fingerprint that cannot be taken never counts as unchanged.
        runner.run(graph(), "1", given(image))
    assert log(pack)[4:] == ["load small 2", "segment"] * 2


def test_a_failed_node_is_one_line_and_the_next_image_runs(runner, pack, tmp_path):
    image = photo(tmp_path / "a.png")
    with pytest.raises(WorkflowError, match=r"^T_Segment \(3\): out of memory$") as caught:
        runner.run(graph(points="boom"), "1", given(image))
    assert isinstance(caught.value.__cause__, RuntimeError)
    runner.run(graph(), "1", given(image))
    assert log(pack) == ["on_load", "load small 2", "segment", "segment"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("3", "points", "bad"), "T_Segment (3): points: found 'bad'"),
        (("3", "threshold", 2), "from 0 to 1"),
        (("2", "model", "huge"), "small, large"),
        (("3", "provider", "a"), "provider.prompt"),
        (("3", "image", ["2", 0]), "takes IMAGE"),
        (("3", "image", ["1", 2]), "output 2 of LoadImage (1), which has 2"),
        (("3", "image", ["9", 0]), "linked to node 9"),
        (("1", "image", "gone.png"), "no image file"),
    ],
)
def test_a_wrong_graph_is_found_before_it_runs(runner, pack, tmp_path, change, says):
    photo(tmp_path / "comfy" / "input" / "a.png")
    made = graph().with_input("1", "image", "a.png")
    runner.check(made)
    with pytest.raises(WorkflowError) as caught:
        runner.check(made.with_input(*change))
    assert says in str(caught.value)
    assert log(pack) == ["on_load"]
