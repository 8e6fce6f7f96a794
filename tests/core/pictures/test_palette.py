"""The colours of objects, as people see them who see colours otherwise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from colorspacious import cspace_convert
from segment_anywhere.core.pictures.render import PALETTE

# Of CAM02-UCS (Luo et al., 2006), where 1 can just be told apart side by side.
PLAINLY_APART = 10.0
# The kinds by the cone that is missing, of which red and green are the common ones.
MISSING = ("protanomaly", "deuteranomaly", "tritanomaly")


def distances(colours: np.ndarray) -> list[float]:
    """Between all pairs of sRGB colours [N, 3], 0..1."""
    places = cspace_convert(colours, "sRGB1", "CAM02-UCS")
    return [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(places, 2)]


def seen(colours: np.ndarray, kind: str) -> np.ndarray:
    """What remains of sRGB colours without a kind of cone, after Machado et al. (2009)."""
    space = {"name": "sRGB1+CVD", "cvd_type": kind, "severity": 100}
    return cspace_convert(colours, space, "sRGB1").clip(0, 1)


@pytest.mark.parametrize("kind", MISSING)
def test_objects_stay_apart_without_a_kind_of_cone(kind):
    assert min(distances(seen(np.array(PALETTE) / 255, kind))) > PLAINLY_APART


def test_plain_red_and_green_of_one_lightness_would_not():
    pair = np.array([[0.80, 0.25, 0.20], [0.36, 0.50, 0.12]])
    assert min(distances(pair)) > 3 * PLAINLY_APART
    assert min(distances(seen(pair, "deuteranomaly"))) < PLAINLY_APART
