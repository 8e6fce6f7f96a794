"""OpenCV as users have it: there, missing, damaged, beside an old NumPy."""

from __future__ import annotations

import sys

import cv2 as installed
import numpy as np
import pytest
from segment_anywhere.core import opencv
from segment_anywhere.core.errors import MissingLibrary

from tests.support.without_opencv import without_opencv

DAMAGED = {
    "a library of the system is missing": "raise ImportError('libGL.so.1: cannot open it')",
    "built for another NumPy": "raise ImportError('numpy.core.multiarray failed to import')",
    "two packages in one folder": "import sys\nsys.no_such_part",
    "a part of it is missing": "import no_such_module",
    "nothing but its folder is left": None,
}


@pytest.fixture
def _afresh():
    opencv._load.cache_clear()
    yield
    opencv._load.cache_clear()


def test_it_is_the_one_that_is_installed():
    assert opencv.is_there()
    assert opencv.cv2.GaussianBlur is installed.GaussianBlur
    opencv.require("this")


@pytest.mark.parametrize(
    ("numpy", "package"),
    [
        ("2.4.6", "pip install opencv-python-headless`"),
        ("2.0.0", "pip install opencv-python-headless`"),
        # The newest that leaves NumPy 1 alone.
        ("1.26.4", 'pip install "opencv-python-headless<4.12"`'),
    ],
)
def test_where_there_is_none_one_command_is_named(numpy, package, monkeypatch):
    monkeypatch.setattr(np, "__version__", numpy)
    with without_opencv():
        assert not opencv.is_there()
        with pytest.raises(MissingLibrary) as caught:
            _ = opencv.cv2.GaussianBlur
        with pytest.raises(MissingLibrary) as named:
            opencv.require("grabcut (built in)", "Or choose another model.")
    message = str(caught.value)
    assert message.startswith(f"OpenCV is not installed. Run `{sys.executable} -m pip install")
    assert package in message
    assert str(named.value) == f"grabcut (built in): {message} Or choose another model."
    assert opencv.is_there()


@pytest.mark.parametrize("code", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.usefixtures("_afresh")
def test_one_that_does_not_start_is_put_back_without_touching_anything_else(
    code, tmp_path, monkeypatch
):
    (tmp_path / "cv2").mkdir()
    if code is not None:
        (tmp_path / "cv2" / "__init__.py").write_text(code)
    monkeypatch.delitem(sys.modules, "cv2")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(MissingLibrary, match="installed and does not start") as caught:
        opencv.require("this")
    assert "pip install --force-reinstall --no-deps opencv-python-headless`" in str(caught.value)
