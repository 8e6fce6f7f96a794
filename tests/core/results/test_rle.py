"""COCO run lengths in every wrapping, against pycocotools and against damage."""

from __future__ import annotations

import base64
import gzip
import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.results.rle import decode, encode

MASK = np.array([[0, 0, 0, 0, 1], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]], np.uint8)
SIDES = st.integers(1, 40)
RUNS = [5, 2, 2, 2, 2, 2, 1, 1, 3]


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


WRAPPINGS = {
    "runs": lambda text, runs: runs,
    "COCO": lambda text, runs: text,
    "COCO as bytes": lambda text, runs: text.encode(),
    "base64(COCO)": lambda text, runs: _b64(text.encode()),
    "base64(gzip(COCO))": lambda text, runs: _b64(gzip.compress(text.encode())),
    "base64(zlib(COCO))": lambda text, runs: _b64(zlib.compress(text.encode())),
    "JSON": lambda text, runs: json.dumps(runs),
    "base64(JSON)": lambda text, runs: _b64(json.dumps(runs).encode()),
    "base64(gzip(JSON))": lambda text, runs: _b64(gzip.compress(json.dumps(runs).encode())),
    "base64(gzip(spaced))": lambda text, runs: _b64(
        gzip.compress(" ".join(map(str, runs)).encode())
    ),
}


def _runs(mask: np.ndarray) -> list[int]:
    flat = np.concatenate(([0], mask.flatten(order="F")))
    edges = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate(([0], edges, [mask.size]))).tolist()


@pytest.mark.parametrize(
    "counts",
    [
        RUNS,
        "522000OO2",
        "NTIyMDAwT08y",
        "H4sIAAAAAAACAzM1MjIwMPD3NwIAdf476wkAAAA=",
        "H4sIAAAAAAACA4s21VEwQkWGYGQcCwCnDvK5GwAAAA==",
    ],
)
def test_golden_vectors(counts):
    """The first is the definition; the others were made with other people's encoders."""
    np.testing.assert_array_equal(decode(counts, (4, 5)), MASK)


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@given(
    mask=arrays(
        np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 1)
    )
)
def test_every_wrapping_round_trips(wrapping, mask):
    text = encode(mask)
    assert text == coco.encode(np.asfortranarray(mask))["counts"].decode()
    runs = _runs(mask)
    if wrapping == "base64(gzip(spaced))" and len(runs) < 2:
        runs = [*runs, 0]
    decoded = decode(WRAPPINGS[wrapping](text, runs), mask.shape)
    np.testing.assert_array_equal(decoded, mask)
    assert decoded.dtype == np.uint8


@given(st.binary(max_size=60), st.integers(1, 20), st.integers(1, 20))
def test_any_bytes_give_a_mask_of_the_size_or_an_error(data, height, width):
    try:
        mask = decode(data, (height, width))
    except InputError:
        return
    assert mask.shape == (height, width)
    assert set(np.unique(mask)) <= {0, 1}


@pytest.mark.parametrize(
    ("counts", "size", "message"),
    [
        ([5, 2], (4, 5), "add up to 7"),
        ("52200", (4, 5), "add up to"),
        ([25, -5], (4, 5), "negative runs"),
        ("", (4, 5), "none of the known encodings"),
        (None, (4, 5), "none of the known encodings"),
        ([1.5, 18.5], (4, 5), "none of the known encodings"),
        ([[1, 2], [3]], (4, 5), "none of the known encodings"),
        ("\x00\x01", (4, 5), "none of the known encodings"),
        ("o" * 40, (4, 5), "none of the known encodings"),
        (RUNS, (0, 5), "size of 0 x 5"),
        (RUNS, (-4, -5), "size of -4 x -5"),
        ([2**40], (2**20, 2**20), "size of 1048576 x 1048576"),
    ],
)
def test_damage_is_named(counts, size, message):
    with pytest.raises(InputError, match=message):
        decode(counts, size)


def test_a_decompression_bomb_is_refused():
    with pytest.raises(InputError, match="none of the known encodings"):
        decode(_b64(gzip.compress(b"5" * 2**27)), (4, 5))


def test_a_gzip_stream_that_was_cut_off_is_refused():
    with pytest.raises(InputError, match="mask: found"):
        decode(_b64(gzip.compress(b"522000OO2")[:-9]), (4, 5))


def test_the_transposed_size_is_not_mistaken_for_the_size():
    """Both add up; which one is meant, only the caller knows."""
    assert decode(RUNS, (5, 4)).shape == (5, 4)


@pytest.mark.parametrize(
    ("counts", "what"),
    [
        ([0, 21], "runs that add up to 21 for"),
        ([0, 5, 0, 5], "runs that add up to 10 for"),
        ([25, -5], "negative runs for"),
    ],
)
def test_what_is_wrong_with_the_runs(counts, what):
    """A run of nothing is none that is negative: every mask that begins inside has one."""
    with pytest.raises(InputError, match=f"mask: found {what} a size of 4 x 5"):
        decode(counts, (4, 5))


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_no_picture_has_a_side_of_nothing(size):
    """Not even for runs that add up to it."""
    with pytest.raises(InputError, match="accepted are sides from 1"):
        decode([0], size)
