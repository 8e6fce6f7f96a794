"""--fps and --range."""

from __future__ import annotations

import pytest

from headless.errors import WorkflowError
from headless.sources.sampling import read_sampling
from headless.sources.units import Sampling


@pytest.mark.parametrize(
    ("fps", "span", "sampling"),
    [
        (None, None, Sampling()),
        ("5", None, Sampling(5.0)),
        ("0.5", "1:2.5", Sampling(0.5, 1.0, 2.5)),
        (None, "2:", Sampling(None, 2.0, None)),
        (None, ":2", Sampling(None, 0.0, 2.0)),
        (None, ":", Sampling()),
    ],
)
def test_what_is_accepted(fps, span, sampling):
    assert read_sampling(fps, span) == sampling
    assert sampling.is_all is (sampling == Sampling())


@pytest.mark.parametrize("fps", ["0", "-1", "inf", "nan", "fast", ""])
def test_a_rate_is_a_number_above_0(fps):
    with pytest.raises(WorkflowError, match=r"--fps .*above 0"):
        read_sampling(fps, None)


@pytest.mark.parametrize("span", ["2", "2:2", "3:2", "a:2", "1:nan", "-1:2", "1:2:3", ""])
def test_a_range_is_two_times_in_order(span):
    with pytest.raises(WorkflowError, match=r"--range .*the first before the second"):
        read_sampling(None, span)
