"""Fetches catalogue entries from the model hub: resumable, verified, never half-written.

huggingface_hub says what its cache holds and who is logged in. The bytes are fetched here, because
its `hf_hub_download` (2.4) removes what came of a file when it is stopped, has no place for our
SHA-256 before the file takes its name, and leaves a folder of its own among the models.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DownloadError
from ..families import BUILT_IN_CHOICE
from .catalogue import MATTING, SAM_HOST, Entry, RemoteFile

if TYPE_CHECKING:
    from filelock import BaseFileLock

log = logging.getLogger(__name__)

DEFAULT_ENDPOINT = "https://huggingface.co"
HUB_MIRROR = "HF_ENDPOINT"
SAM_MIRROR = "SEGMENT_ANYWHERE_SAM_ENDPOINT"
ASK = "SEGMENT_ANYWHERE_ASK_BEFORE_DOWNLOADING"
_CHUNK = 2**20
_TIMEOUT = 30.0
# Seconds between two looks at a download that another program does.
_LOOK = 0.5
_SPARE_DISK = 2**28
_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
)
_NO_ACCESS = (http.client.UNAUTHORIZED, http.client.FORBIDDEN)
_TRUE = {"1", "true", "yes", "on"}

Progress = Callable[[int, int], None]
"""Called with the bytes that are there and the bytes expected; may raise to stop the download."""


def download(
    entry: Entry,
    folder: Path,
    progress: Progress,
    waiting: Progress | None = None,
    permit: str = "",
) -> Path:
    """Fetch an entry into a folder and return the path of its file, or of the folder it is.

    What is in the hub's own cache (HF_HOME, HF_HUB_CACHE) is used where it lies, and what is in the
    folder already is not fetched again. HF_ENDPOINT names another hub, which gets the login that
    huggingface_hub knows (HF_TOKEN), SEGMENT_ANYWHERE_SAM_ENDPOINT another host of SAM's own files,
    which gets none; HF_HUB_OFFLINE forbids the network. The bytes of a file go to
    a `.part` file, which a later call continues, and get their name once size and SHA-256 are
    right. Of several programs one downloads a file; the others wait for it, and meanwhile call
    `waiting`, or else `progress`, with the bytes that are there. permit: what the user must do
    before anything is fetched, "" where it may be; SEGMENT_ANYWHERE_ASK_BEFORE_DOWNLOADING asks
    for it too. Raises DownloadError, saying what to fetch by hand and where to put it.
    """
    cached = [path for file in entry.files if (path := _hub_cache(entry, file)) is not None]
    if len(cached) == len(entry.files):
        return cached[0].parent if entry.is_folder else cached[0]
    place = folder / entry.file if entry.is_folder else folder
    done = 0
    for file in entry.files:
        one = _Download(entry, file, place / file.name)
        if not one.target.is_file():
            one.check(permit or _permit())
            reports = (_shifted(each, done, entry.size) for each in (progress, waiting or progress))
            one.run(*reports)
        done += file.size
    return folder / entry.file


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    """Progress of one file as progress of the whole entry."""
    return lambda done, _: progress(before + done, total)


def _permit() -> str:
    asks = os.environ.get(ASK, "").lower() in _TRUE
    return f"unset {ASK} and run again" if asks else ""


def server_name(entry: Entry) -> str:
    """The name of the server that an entry is fetched from."""
    return urllib.parse.urlsplit(url(entry, entry.files[0])).netloc.rpartition("@")[2]


def url(entry: Entry, file: RemoteFile) -> str:
    """Where a file of an entry is fetched from."""
    if _is_outside_hub(entry):
        host = _mirror(SAM_MIRROR) or SAM_HOST
        return f"{entry.repository.replace(SAM_HOST, host)}/{file.path}"
    endpoint = _mirror(HUB_MIRROR) or DEFAULT_ENDPOINT
    return f"{endpoint}/{entry.repository}/resolve/{entry.revision}/{file.path}"


def _mirror(variable: str) -> str:
    return os.environ.get(variable, "").rstrip("/")


def _is_outside_hub(entry: Entry) -> bool:
    return "://" in entry.repository


def _hub_cache(entry: Entry, file: RemoteFile) -> Path | None:
    if _is_outside_hub(entry):
        return None
    from huggingface_hub import try_to_load_from_cache

    home = os.environ.get("HF_HOME") or os.path.expanduser("~/.cache/huggingface")
    cache = os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")
    found = try_to_load_from_cache(
        entry.repository, file.path, cache_dir=cache, revision=entry.revision
    )
    return Path(found) if isinstance(found, str) else None


@dataclass(frozen=True)
class _Download:
    """One file on its way to `target`."""

    entry: Entry
    file: RemoteFile
    target: Path

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def url(self) -> str:
        return url(self.entry, self.file)

    def check(self, permit: str) -> None:
        """Raise DownloadError where the user wants to be asked first."""
        if permit:
            need = f"{self.entry.size_text} from {server_name(self.entry)}, once"
            raise DownloadError(
                f"{self.entry.name} has to be downloaded: {need}. To allow it, {permit}; or "
                f"{self._other_ways()}."
            )

    def run(self, progress: Progress, waiting: Progress) -> None:
        if os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
            raise self._error("HF_HUB_OFFLINE is set")
        if not self.url.startswith(("https://", "http://")):
            mirror = SAM_MIRROR if _is_outside_hub(self.entry) else HUB_MIRROR
            raise self._error(f"{mirror} must begin with https://, found {self.url}")
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            with self._turn(waiting):
                if not self.target.is_file():
                    self._download(progress)
        except urllib.error.HTTPError as error:
            login = " (does it want a login? set HF_TOKEN)" if error.code in _NO_ACCESS else ""
            raise self._error(f"the server answered {error.code} {error.reason}{login}") from error
        except _NETWORK_ERRORS as error:
            reason = getattr(error, "reason", None) or error
            raise self._error(f"the connection failed ({reason})") from error
        except OSError as error:
            raise self._error(f"the file cannot be written ({error})") from error

    def _download(self, progress: Progress) -> None:
        self._make_room()
        log.info("downloading %s to %s", self.url, self.target)
        self._fetch(progress)
        self._verify()
        self.part.replace(self.target)

    @contextmanager
    def _turn(self, waiting: Progress) -> Iterator[None]:
        """Be the only program that writes this file. The lock of one that dies is free at once."""
        from filelock import FileLock

        lock = FileLock(self.target.with_name(self.target.name + ".lock"))
        try:
            self._wait_for(lock, waiting)
            yield
        finally:
            lock.release()
            # Taken away before the file is there, it would be one lock for those who wait for it
            # and another one for those who come later.
            if self.target.is_file():
                with suppress(OSError):
                    os.unlink(lock.lock_file)

    def _wait_for(self, lock: BaseFileLock, waiting: Progress) -> None:
        from filelock import Timeout

        for timeout in chain([0.0], repeat(_LOOK)):
            try:
                lock.acquire(timeout=timeout)
                return
            except Timeout:
                if not timeout:
                    log.info("waiting for another program that downloads %s", self.target)
                waiting(self._bytes_there(), self.file.size)
            except NotImplementedError:
                log.warning("no locks in %s: let one program download at a time", self.target)
                return

    def _make_room(self) -> None:
        needed = self.file.size - self._bytes_there()
        if shutil.disk_usage(self.part.parent).free < needed + _SPARE_DISK:
            raise self._error(f"the disk lacks room for {self.file.size:,} bytes")

    def _bytes_there(self) -> int:
        try:
            return self.part.stat().st_size
        except FileNotFoundError:
            return 0

    def _fetch(self, progress: Progress) -> None:
        done, size = self._bytes_there(), self.file.size
        if done >= size:
            return
        headers = {"User-Agent": "segment-anywhere"}
        if done:
            headers["Range"] = f"bytes={done}-"
        request = urllib.request.Request(self.url, headers=headers)
        if login := self._login():
            # Not for the server that the hub passes the request on to.
            request.add_unredirected_header("Authorization", login)
        # A server may take its time to answer, and who waits for it is to know for what.
        progress(done, size)
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            # A server that ignores the range, or mistakes it, sends the whole file again.
            start = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
            resumed = response.status == http.client.PARTIAL_CONTENT and start == str(done)
            done = done if resumed else 0
            with self.part.open("ab" if resumed else "wb") as file:
                while done <= size and (chunk := response.read1(_CHUNK)):
                    file.write(chunk)
                    done += len(chunk)
                    progress(min(done, size), size)

    def _login(self) -> str | None:
        if _is_outside_hub(self.entry):
            return None
        # Not its `build_hf_headers`, which asks the hub for more than that.
        from huggingface_hub import constants, get_token

        token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
        return f"Bearer {token}" if token else None

    def _verify(self) -> None:
        size, wanted = self.part.stat().st_size, self.file
        with self.part.open("rb") as file:
            is_page = file.read(1) == b"<"
        if is_page:
            self.part.unlink()
            raise self._error("the server sent a web page instead of the file")
        if size < wanted.size:
            raise self._error(
                f"the connection ended after {size:,} of {wanted.size:,} bytes; queue again to "
                "continue"
            )
        if size > wanted.size or (wanted.sha256 and file_sha256(self.part) != wanted.sha256):
            self.part.unlink()
            raise self._error("what arrived is not the published file (size or SHA-256)")

    def _error(self, reason: str) -> DownloadError:
        return DownloadError(
            f"{self.entry.name} could not be downloaded: {reason}. To go on, {self._other_ways()}."
        )

    def _other_ways(self) -> str:
        """How to come to a model without this download."""
        others = ""
        if self.entry.is_folder:
            names = ", ".join(file.name for file in self.entry.files)
            others = f" (the whole folder: {names})"
        return (
            f"fetch {self.url} by hand and save it as {self.target}{others}, or choose "
            f"{_alternative(self.entry)}"
        )


def _alternative(entry: Entry) -> str:
    """What to choose for a model that cannot be had."""
    if entry in MATTING:
        return '"guided" as edge in Mask Refine, which needs no download'
    if entry.is_folder:
        return "another detector in Text Segment"
    return f'"{BUILT_IN_CHOICE}" in Load SAM to go on without any download'


def file_sha256(path: Path) -> str:
    """SHA-256 of a file as lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
