"""Fetches catalogue entries from the model hub: resumable, verified, never half-written."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from ..errors import DownloadError
from .catalogue import Entry

log = logging.getLogger(__name__)

DEFAULT_ENDPOINT = "https://huggingface.co"
_CHUNK = 2**20
_TIMEOUT = 30.0
_SPARE_DISK = 2**28
_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
)
_TRUE = {"1", "true", "yes", "on"}

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes expected; may raise to stop the download."""


def download(entry: Entry, folder: Path, progress: Progress) -> Path:
    """Fetch an entry's file into a folder and return its path.

    A file in the hub's own cache (HF_HOME, HF_HUB_CACHE) is used where it lies. HF_ENDPOINT names
    another hub; HF_HUB_OFFLINE forbids the network. The bytes go to a `.part` file, which a later
    call continues, and get their name once size and SHA-256 are right. Raises DownloadError, saying
    what to fetch by hand and where to put it.
    """
    cached = _hub_cache(entry)
    if cached is not None:
        return cached
    target = folder / entry.file
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
        raise _error(entry, target, "HF_HUB_OFFLINE is set")
    address = url(entry)
    if not address.startswith(("https://", "http://")):
        raise _error(entry, target, f"HF_ENDPOINT must begin with https://, found {address}")
    part = target.with_name(target.name + ".part")
    try:
        _make_room(entry, part, target)
        log.info("downloading %s to %s", address, target)
        _fetch(entry, part, progress)
        _verify(entry, part, target)
        part.replace(target)
    except urllib.error.HTTPError as error:
        raise _error(entry, target, f"the server answered {error.code} {error.reason}") from error
    except (
        urllib.error.URLError,
        http.client.HTTPException,
        ConnectionError,
        TimeoutError,
    ) as error:
        reason = getattr(error, "reason", None) or error
        raise _error(entry, target, f"the connection failed ({reason})") from error
    except OSError as error:
        raise _error(entry, target, f"the file cannot be written ({error})") from error
    return target


def _make_room(entry: Entry, part: Path, target: Path) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    done = part.stat().st_size if part.exists() else 0
    if shutil.disk_usage(part.parent).free < entry.size - done + _SPARE_DISK:
        raise _error(entry, target, f"the disk lacks room for {entry.size:,} bytes")


def url(entry: Entry) -> str:
    """Where an entry's file is fetched from."""
    if entry.repository.startswith("https://"):
        return f"{entry.repository}/{entry.path}"
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or DEFAULT_ENDPOINT
    return f"{endpoint}/{entry.repository}/resolve/main/{entry.path}"


def _hub_cache(entry: Entry) -> Path | None:
    if entry.repository.startswith("https://"):
        return None
    from huggingface_hub import try_to_load_from_cache

    home = os.environ.get("HF_HOME") or os.path.expanduser("~/.cache/huggingface")
    cache = os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")
    found = try_to_load_from_cache(entry.repository, entry.path, cache_dir=cache)
    return Path(found) if isinstance(found, str) else None


def _fetch(entry: Entry, part: Path, progress: Progress) -> None:
    done = part.stat().st_size if part.exists() else 0
    if done >= entry.size:
        return
    headers = {"User-Agent": "segment-anywhere"}
    if done:
        headers["Range"] = f"bytes={done}-"
    request = urllib.request.Request(url(entry), headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        # A server that ignores the range, or mistakes it, sends the whole file again.
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
        resumed = response.status == http.client.PARTIAL_CONTENT and start == str(done)
        done = done if resumed else 0
        with part.open("ab" if resumed else "wb") as file:
            while done <= entry.size and (chunk := response.read1(_CHUNK)):
                file.write(chunk)
                done += len(chunk)
                progress(min(done, entry.size), entry.size)


def _verify(entry: Entry, part: Path, target: Path) -> None:
    size = part.stat().st_size
    with part.open("rb") as file:
        is_page = file.read(1) == b"<"
    if is_page:
        part.unlink()
        raise _error(entry, target, "the server sent a web page instead of the file")
    if size < entry.size:
        raise _error(
            entry,
            target,
            f"the connection ended after {size:,} of {entry.size:,} bytes; queue again to continue",
        )
    if size > entry.size or (entry.sha256 and file_sha256(part) != entry.sha256):
        part.unlink()
        raise _error(entry, target, "what arrived is not the published file (size or SHA-256)")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _error(entry: Entry, target: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"{entry.name} could not be downloaded: {reason}. Fetch {url(entry)} by hand and save it "
        f'as {target}, or choose "grabcut (built in)" in Load SAM to go on without any download.'
    )
