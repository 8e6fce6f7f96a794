"""OpenCV, from whichever of its four packages is there; imported when it is first used.

`from ..opencv import cv2` gives what `import cv2` does, with a message where that fails. The pack
requires none of opencv-python, -headless, -contrib and -contrib-headless: they write the same
files, so that the one a user has would be damaged by another, and pip cannot be told "any of them".
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import MissingLibrary
from .libraries import install_sentence

if TYPE_CHECKING:
    import cv2

__all__ = ["cv2", "is_there", "require"]


def is_there() -> bool:
    """Whether OpenCV can be used."""
    try:
        _load()
    except MissingLibrary:
        return False
    return True


def require(what: str, otherwise: str = "") -> None:
    """Raise MissingLibrary where OpenCV cannot be used.

    what: needs it. otherwise: another way out, a sentence.
    """
    try:
        _load()
    except MissingLibrary as error:
        raise MissingLibrary(f"{what}: {error} {otherwise}".rstrip()) from error


@cache
def _load() -> ModuleType:
    # From 4.12 on OpenCV's packages bring NumPy 2, and with it break what was built for NumPy 1.
    has_old_numpy = np.__version__.startswith("1.")
    package = "opencv-python-headless" + ("<4.12" if has_old_numpy else "")
    try:
        import cv2 as module
    except ModuleNotFoundError as error:
        if error.name == "cv2":
            raise MissingLibrary(f"OpenCV is not installed. {install_sentence(package)}") from error
        raise _damaged(error, package) from error
    except (ImportError, AttributeError) as error:
        raise _damaged(error, package) from error
    if not hasattr(module, "__version__"):
        # The folder that is left when one of two packages is removed.
        raise _damaged("its files are gone", package)
    return module


def _damaged(reason: object, package: str) -> MissingLibrary:
    return MissingLibrary(
        f"OpenCV is installed and does not start: {reason}. Two of its packages may have "
        f"overwritten each other. {install_sentence(package, options=_ANEW)}"
    )


# Nothing else is touched.
_ANEW = "--force-reinstall --no-deps"


class _OnFirstUse:
    def __getattr__(self, name: str) -> Any:
        return getattr(_load(), name)


if not TYPE_CHECKING:
    cv2 = _OnFirstUse()
