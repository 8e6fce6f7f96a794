"""The embedding cache."""

from __future__ import annotations

import pytest
import torch
from segment_anywhere.core.cache import RunCache, pixels_key
from segment_anywhere.core.engines.base import Embedding


def _embedding(count: int = 10) -> Embedding:
    return Embedding((torch.ones(count, dtype=torch.uint8),), (4, 4))


def test_the_key_goes_with_pixels_and_shape():
    frame = torch.rand(4, 6, 3)
    other = frame.clone()
    assert pixels_key(frame) == pixels_key(other)
    other[3, 5, 2] += 1e-6
    assert pixels_key(frame) != pixels_key(other)
    assert pixels_key(frame) != pixels_key(frame.reshape(6, 4, 3))
    transposed = frame.transpose(0, 1)
    assert pixels_key(transposed) == pixels_key(transposed.contiguous())


def _put(cache: RunCache[Embedding], key: str, count: int = 10) -> None:
    """In a run of its own."""
    cache.begin_run()
    cache.put(key, _embedding(count))


def test_the_oldest_unused_goes_first():
    cache = RunCache[Embedding](max_bytes=25)
    _put(cache, "a")
    _put(cache, "b")
    assert cache.get("a") is not None
    _put(cache, "c")
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.get("c") is not None
    assert cache.nbytes <= 25


def test_the_newest_stays_even_where_it_exceeds_the_bound():
    cache = RunCache[Embedding](max_bytes=25)
    _put(cache, "a")
    _put(cache, "huge", 100)
    assert len(cache) == 1
    assert cache.get("huge") is not None


def test_of_a_batch_that_is_too_large_the_first_are_kept():
    cache = RunCache[Embedding](max_bytes=25)
    _put(cache, "of an earlier run")
    for _ in range(2):
        cache.begin_run()
        known = [cache.get(name) is not None for name in "abcd"]
        for name in "abcd":
            cache.put(name, _embedding())
    assert known == [True, True, False, False]
    assert cache.nbytes == 20


def test_a_key_put_twice_is_held_once():
    cache = RunCache[Embedding](max_bytes=100)
    cache.put("a", _embedding())
    cache.put("a", _embedding())
    assert cache.nbytes == 10
    assert len(cache) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_embeddings_are_held_on_the_cpu():
    cache = RunCache[Embedding](max_bytes=100)
    cache.put("a", _embedding().to("cuda"))
    assert cache.get("a").features[0].device.type == "cpu"
