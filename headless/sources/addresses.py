"""Files elsewhere, at addresses such as s3://bucket/photos: listing and fetching, with fsspec."""

from __future__ import annotations

import glob
import shutil
import tempfile
import threading
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import WorkflowError
from ..extras import load_extra, missing_extra
from .units import SCHEME, Source

# The packages that fsspec needs for what is often asked for; it names the others itself.
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
_REFUSED = (401, 403)
# What a change of a file shows in; which of them a place knows differs.
_STAMPS = ("size", "ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")


class _Folder:
    """A temporary folder that goes with its last reference, and with the process."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="segment-anywhere-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class _Kept(threading.local):
    """The last file of each thread: a clip is fetched once for all of its units."""

    key: tuple[str, str] | None = None
    folder: _Folder | None = None


_kept = _Kept()


def find(address: str, suffixes: Collection[str]) -> list[Source]:
    """List what an address stands for: a file, the files of a folder, or matches of a pattern.

    Args:
        address: with a scheme; `**` goes into sub-folders.
        suffixes: which files of folders and patterns count, in small letters.

    Returns:
        Sources with stamps, sorted by name; empty where none counts.

    Raises:
        WorkflowError: fsspec or what it needs is missing, or the address cannot be read.
    """
    with _explained(address, f"--image {address}: "):
        system, path = _system(address)
        listed, is_file = _listed(system, path)
        found = [_source(system, each) for each in listed if each.get("type") == "file"]
    if is_file:
        return found
    return sorted(
        (each for each in found if each.suffix.lower() in suffixes), key=lambda each: each.place
    )


def _listed(system: Any, path: str) -> tuple[list[dict[str, Any]], bool]:
    """What is there, and whether it is one file that was named outright."""
    # A name with brackets is a file first and a pattern second.
    if glob.has_magic(path) and not system.isfile(path):
        return list(system.glob(path, detail=True).values()), False
    info = system.info(path)
    if info.get("type") == "file":
        return [info], True
    return system.ls(path, detail=True), False


def _source(system: Any, info: dict[str, Any]) -> Source:
    stamp = " ".join(str(info[key]) for key in _STAMPS if info.get(key) is not None)
    return Source(system.unstrip_protocol(info["name"]), stamp=stamp)


def fetch(source: Source) -> Path:
    """Bring a file here. It stays until this thread fetches another one.

    Raises:
        WorkflowError: it cannot be read.
    """
    key = (source.place, source.stamp)
    if _kept.folder is not None and _kept.key == key:
        return _kept.folder.path / source.name
    # The old one goes first: there need not be room for two.
    _kept.key = _kept.folder = None
    folder = _Folder()
    with _explained(source.place, ""):
        system, remote = _system(source.place)
        system.get_file(remote, str(folder.path / source.name))
    _kept.key, _kept.folder = key, folder
    return folder.path / source.name


def _system(address: str) -> tuple[Any, str]:
    scheme = address.partition(SCHEME)[0]
    fsspec = load_extra("fsspec.core", "fsspec", f"Reading {scheme}:// addresses")
    return fsspec.url_to_fs(address)


@contextmanager
def _explained(address: str, before: str) -> Iterator[None]:
    """Errors as sentences, which begin with `before`."""
    scheme = address.partition(SCHEME)[0]
    try:
        yield
    except WorkflowError:
        raise
    except FileNotFoundError:
        raise WorkflowError(f"{before}nothing there. Check the address.") from None
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        if package is None:
            raise WorkflowError(f"{before}{scheme}:// needs a package: {error}.") from error
        raise missing_extra(package, f"{before}reading {scheme}:// addresses") from error
    except Exception as error:
        # Every kind of place has exceptions of its own, most of them below Exception itself.
        raise WorkflowError(f"{before}{_reason(error)}") from error


def _reason(error: Exception) -> str:
    status = getattr(error, "status", None) or getattr(error, "code", None)
    named = type(error).__name__
    if isinstance(error, PermissionError) or status in _REFUSED or "Credentials" in named:
        return (
            f"no right to read it ({error or named}). Log in for it as its own tools do, or choose "
            "another address."
        )
    if isinstance(error, ValueError) and "rotocol" in str(error):
        return f"{error}. Check what the address begins with."
    return f"cannot be read ({named}: {error}). Check the address and the connection."
