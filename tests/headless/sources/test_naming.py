"""Which images run, in which order, and what each run is called."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headless.errors import WorkflowError
from headless.sources.naming import expand_sources, plan_jobs
from headless.sources.units import Source


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a/x.png", "a/y.JPG", "a/notes.txt", "b/x.jpg", "b/deep/z.webp", "odd[1].png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["a/x.png"], ["a/x.png"]),
        (["a"], ["a/x.png", "a/y.JPG"]),
        (["a/"], ["a/x.png", "a/y.JPG"]),
        (["b/*.jpg"], ["b/x.jpg"]),
        (["*/x.*"], ["a/x.png", "b/x.jpg"]),
        (["b/**/*"], ["b/deep/z.webp", "b/x.jpg"]),
        (["odd[1].png"], ["odd[1].png"]),
        (["b/x.jpg", "a", "a/x.png", "./a/x.png"], ["b/x.jpg", "a/x.png", "a/y.JPG"]),
        # A file that is named outright counts, whatever its name ends in.
        (["a/notes.txt"], ["a/notes.txt"]),
        ([], []),
    ],
)
def test_images_are_found_once_and_in_order(photos, arguments, found):
    assert [each.place for each in expand_sources(arguments)] == found


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("gone.png", "no such file"),
        ("empty", "no image"),
        ("a/*.gif", "no image"),
        ("a/*.txt", "no image"),
    ],
)
def test_nothing_to_run_on(photos, argument, says):
    with pytest.raises(WorkflowError, match=says) as caught:
        expand_sources([argument])
    assert argument in str(caught.value)


def test_earlier_results_are_left_out_of_folders_only(photos):
    skip = {(photos / "a/x.png").resolve()}
    assert expand_sources(["a"], skip) == [Source("a/y.JPG")]
    assert expand_sources(["a/x.png"], skip) == [Source("a/x.png")]


@pytest.mark.parametrize(
    ("paths", "stems"),
    [
        (["p/x.png"], ["x"]),
        (["p/x.png", "p/y.png"], ["x", "y"]),
        (["a/x.png", "b/x.jpg"], ["a_x", "b_x"]),
        (["a/x.png", "a/x.jpg"], ["x_png", "x_jpg"]),
        (["a/x.png", "a/X.jpg"], ["x_png", "X_jpg"]),
        (["a/x.png", "b/x.png", "b/c/x.png", "b/y.png"], ["a_x", "b_x", "b_c_x", "y"]),
        # The results of one image must not be those of another: x + mask_cut, x_mask + cut.
        (["p/x.png", "p/x_mask.png"], ["x_png", "x_mask_png"]),
        ([], []),
    ],
)
def test_stems(paths, stems):
    jobs = plan_jobs([Source(path) for path in paths], ["mask_cut", "cut"])
    assert [job.stem for job in jobs] == stems


NAME = st.text("ab_01", min_size=1, max_size=4)


PATHS = st.lists(
    st.builds("{}/{}.{}".format, NAME, NAME, st.sampled_from(["png", "jpg"])),
    unique=True,
    max_size=7,
)


@given(PATHS, st.lists(NAME, min_size=1, max_size=3, unique=True))
@example(["0/_.png", "0/__00.png"], ["00"])
def test_no_two_runs_share_a_file(paths, names):
    jobs = plan_jobs([Source(path) for path in paths], names)
    files = [
        {f"{job.stem}.json"}
        | {f"{job.stem}_{name}{tail}.png" for name in names for tail in ("", "_00", "_01")}
        for job in jobs
    ]
    assert all(not one & other for one, other in itertools.combinations(files, 2))
    again = plan_jobs([Source(path) for path in reversed(paths)], names)
    assert {job.source: job.stem for job in again} == {job.source: job.stem for job in jobs}
