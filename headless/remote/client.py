"""A small HTTP client for one ComfyUI server."""

from __future__ import annotations

import asyncio
import base64
import io
import ipaddress
import threading
import urllib.parse
import urllib.request
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

# One of the pack's own requirements, as the remote providers use it. That it is asynchronous costs
# `_wait_for`; requests or httpx would be one more dependency.
import aiohttp

from ..decode import read_json
from ..errors import RunnerLost, WorkflowError, one_line

TIMEOUT = 60.0
T = TypeVar("T")


class HttpAnswer(Exception):
    """The server answered with an error status or, which no ComfyUI does, a redirect."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body

    def json(self) -> Any:
        """Return the decoded body, None when it is no JSON."""
        try:
            return read_json(self.body)
        except ValueError:
            return None


class Unreachable(RunnerLost):
    """The server cannot be reached at all."""


class HttpClient:
    """Requests to one base URL; they block.

    Args:
        url: http or https; a path (behind a proxy) and user:password@ are allowed.
        timeout: seconds without an answer before a request counts as failed.

    Raises:
        WorkflowError: the URL is of another kind.
    """

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        parts = _split(url)
        host = parts.netloc.rpartition("@")[2]
        self.base = urllib.parse.urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self._timeout = timeout
        self._headers: dict[str, str] = {}
        if parts.username is not None:
            user = urllib.parse.unquote(parts.username)
            login = f"{user}:{urllib.parse.unquote(parts.password or '')}"
            token = base64.b64encode(login.encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"
        self._proxy = _proxy(parts.scheme, parts.hostname or "")

    def get(self, path: str, **query: str) -> bytes:
        """Return the body of a GET.

        Raises:
            HttpAnswer: an error status.
            Unreachable: no answer.
        """
        suffix = f"?{urllib.parse.urlencode(query)}" if query else ""
        return self._request("GET", path + suffix)

    def get_json(self, path: str) -> Any:
        """Return the decoded body of a GET.

        Raises:
            HttpAnswer: an error status.
            WorkflowError: no answer, or one that is no JSON.
        """
        return self._decode(path, self.get(path))

    def post_json(self, path: str, value: object) -> Any:
        """Post JSON and return the decoded answer, None for an empty one.

        Raises:
            HttpAnswer: an error status.
            WorkflowError: no answer, or one that is no JSON.
        """
        return self._decode(path, self._request("POST", path, json=value))

    def post_file(self, path: str, filename: str, data: bytes, fields: Mapping[str, str]) -> Any:
        """Post a form with one file, named "image", and return the decoded answer.

        Raises:
            HttpAnswer: an error status.
            WorkflowError: no answer, or one that is no JSON.
        """
        form = aiohttp.FormData(dict(fields))
        # As a file, of which aiohttp takes any size without a warning.
        file = io.BytesIO(data)
        form.add_field("image", file, filename=filename, content_type="application/octet-stream")
        return self._decode(path, self._request("POST", path, data=form))

    def _request(self, method: str, path: str, **body: Any) -> bytes:
        try:
            status, content = _wait_for(self._ask(method, self.base + path, **body))
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            raise Unreachable(
                f"No answer from ComfyUI at {self.base} ({_reason(error)}). Start it, or correct "
                "--server."
            ) from error
        if not 200 <= status < 300:
            raise HttpAnswer(status, content)
        return content

    async def _ask(self, method: str, url: str, **body: Any) -> tuple[int, bytes]:
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=self._timeout, sock_read=self._timeout
        )
        # No redirects: they turn a POST into a GET.
        options = {"allow_redirects": False, "proxy": self._proxy, **body}
        async with (
            aiohttp.ClientSession(headers=self._headers, timeout=limits) as session,
            session.request(method, url, **options) as answer,
        ):
            return answer.status, await answer.read()

    def _decode(self, path: str, body: bytes) -> Any:
        try:
            return read_json(body) if body.strip() else None
        except ValueError:
            raise WorkflowError(
                f"{self.base}{path} answers, but not as ComfyUI does. Correct --server.",
                stops_run=True,
            ) from None


def _wait_for(asked: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a thread: the caller's may have an event loop, as in a notebook."""
    result: Future[T] = Future()
    threading.Thread(target=_settle, args=(result, asked), daemon=True).start()
    return result.result()


def _settle(result: Future[T], asked: Coroutine[Any, Any, T]) -> None:
    try:
        result.set_result(asyncio.run(asked))
    except BaseException as error:
        result.set_exception(error)


def _reason(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "timed out"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    return one_line(getattr(cause, "strerror", None) or cause) or type(cause).__name__


def _split(url: str) -> urllib.parse.SplitResult:
    # The URL may hold a password: only its harmless part is repeated.
    wrong = WorkflowError(
        f"--server {url.rpartition('@')[2]}: expected an http or https address such as "
        "http://127.0.0.1:8188."
    )
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise wrong
    if parts.query or parts.fragment:
        raise wrong
    return parts


def _proxy(scheme: str, host: str) -> str | None:
    """The proxy of the environment; none for this machine, whatever the environment says."""
    if _is_loopback(host) or urllib.request.proxy_bypass(host):
        return None
    proxy = urllib.request.getproxies().get(scheme)
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
