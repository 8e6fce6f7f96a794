"""The state of a model, by which a replaced file is noticed."""

from __future__ import annotations

import pytest
from segment_anywhere.core.engines.files.checkpoints import (
    weights_state,
)


def test_the_state_of_a_model_goes_with_its_files(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"one")
    states = [weights_state(path), weights_state(tmp_path)]
    path.write_bytes(b"three")
    assert weights_state(path) != states[0]
    assert weights_state(tmp_path) != states[1]


@pytest.mark.parametrize("target", ["model.pt", "gone.pt"])
def test_a_link_that_leads_nowhere_has_a_state_until_it_leads_somewhere(target, tmp_path):
    path = tmp_path / "model.pt"
    path.symlink_to(tmp_path / target)
    states = [weights_state(path), weights_state(tmp_path)]
    path.unlink()
    path.write_bytes(b"weights")
    assert weights_state(path) != states[0]
    assert weights_state(tmp_path) != states[1]
