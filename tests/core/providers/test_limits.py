"""What each provider takes, and that no run changes its settings."""

from __future__ import annotations

import dataclasses

import pytest
from segment_anywhere.core.providers import (
    batch,
    contract,
    fields,
    jobs,
    journal,
    plan,
    reading,
    reports,
    runs,
    scheduler,
    transport,
)
from segment_anywhere.core.providers import wire as wire_module
from segment_anywhere.core.providers.registry import PROVIDERS

MIB = 2**20
# Bytes of a picture, its longer side, what it is when PNG is too large.
LIMITS = {
    "imagineo": (16 * MIB, 4096, "JPEG"),
    "airefinery": (8 * MIB, 4096, "JPEG"),
    "segmind": (8 * MIB, 4096, "JPEG"),
    "moark": (8 * MIB, 4096, "JPEG"),
    "fal": (24 * MIB, 4096, "JPEG"),
    "custom": (8 * MIB, 4096, "JPEG"),
}
# What goes on in a run is no setting.
_STATE = {"RunProgress"}
_MODULES = (
    *(batch, contract, fields, jobs, journal, plan, reading, reports, runs, scheduler, transport),
    wire_module,
)
SETTINGS = {
    each
    for module in _MODULES
    for each in vars(module).values()
    if isinstance(each, type) and dataclasses.is_dataclass(each) and each.__name__ not in _STATE
}


def test_what_each_provider_takes():
    assert LIMITS == {
        key: (
            each.limits.max_bytes,
            each.limits.max_side,
            each.limits.lossy_format,
        )
        for key, each in PROVIDERS.items()
    }


def test_fal_gets_small_pictures_within_the_request():
    assert {key: each.upload.above for key, each in PROVIDERS.items() if each.upload} == {
        "fal": 5 * MIB
    }


@pytest.mark.parametrize("kind", sorted(SETTINGS, key=lambda kind: kind.__name__))
def test_what_several_threads_share_cannot_be_changed(kind):
    assert kind.__dataclass_params__.frozen
