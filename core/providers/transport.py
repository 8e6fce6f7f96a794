"""The only module that talks to the network: one `Transport` per run of a node.

It adds the key where the address is the provider's own, keeps time and size limits, and repeats a
request only where that cannot bill twice: when it was never sent, when the provider says that it
has not taken it (429, or a mark of its own), and for questions that cost nothing (GET).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from .addresses import CheckedResolver, check_download, parse_url, reach_of, unsafe
from .contract import Profile, Provider
from .failures import status_failure
from .redaction import Redactor, shown_address
from .wire import Answer, CallFailed, Failure, FailureKind, FormPart, HttpRequest, shorten

if TYPE_CHECKING:
    from tenacity import RetryCallState

log = logging.getLogger(__name__)

_USER_AGENT = "segment-anywhere"
_CHUNK = 2**16
_MAX_REDIRECTS = 3
_REDIRECTS = {301, 302, 303, 307, 308}
_FREE_METHODS = {"GET"}
_PAID_METHODS = {"POST"}
# A question that costs nothing is asked again rather than waited for.
_FREE_READ_SECONDS = 60.0
# The second is not known everywhere.
_UNKNOWN_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_Send = Callable[[HttpRequest, URL], Awaitable[Answer]]
# A store says so of a file that has not reached all its machines.
_NOT_THERE_YET = {403, 404}
_FREE_STATUSES = {500, 502, 503, 504}


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes. longest_wait: the most that a Retry-After may ask for."""

    connect: float = 10.0
    attempts: int = 5
    first_wait: float = 1.0
    longest_wait: float = 60.0
    answer_bytes: int = 96 * 2**20


class Transport:
    """Sends requests for one profile; an asynchronous context manager."""

    def __init__(self, provider: Provider, profile: Profile, limits: Limits = Limits()):
        self._provider = provider
        self._profile = profile
        self._limits = limits
        self._origins = _key_origins(provider, profile)
        self._reach = reach_of(profile)
        self._headers = {**provider.auth_headers(profile), **profile.extra_headers}
        self._stopped = asyncio.Event()
        self._redactor = Redactor(profile)

    async def __aenter__(self) -> Transport:
        # No compression: a size limit must hold for what is unpacked as well. No cookies, no netrc.
        headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"}
        self._session = aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar())
        connector = aiohttp.TCPConnector(resolver=CheckedResolver(self._reach))
        self._files = aiohttp.ClientSession(
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=connector,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()
        await self._files.close()

    def stop(self) -> None:
        """From now on nothing is sent that may be billed, nor is it repeated."""
        self._stopped.set()

    async def call(self, request: HttpRequest) -> Answer:
        """Send a request with the key and return a good answer.

        Raises CallFailed for an address that is not the provider's, and for whatever the provider's
        `map_error` or the connection make a failure, once repeating it is out of the question; of
        the kind UNSENT after `stop`.
        """
        request = self._provider.route(request, self._profile)
        url = parse_url(request.url)
        if url.origin() not in self._origins:
            raise unsafe(f"an address at {url.host} that would get the key")
        return await self._repeat(self._call_once, request, url)

    async def put(self, address: str, data: bytes, mime: str) -> None:
        """Upload bytes to an address that the provider named, without the key."""
        url = check_download(address, self._reach)
        request = HttpRequest("PUT", str(url), data=data, headers={"Content-Type": mime})
        answer = await self._exchange(self._files, request, url, {})
        failure = status_failure(answer)
        if failure is not None:
            raise CallFailed(failure)

    async def download(self, address: str) -> bytes:
        """Fetch a result without the key; redirects are followed, and each address is checked.

        Raises CallFailed, after some attempts also where a store says that the file is not there or
        not to be read: it may be on its way. That is about the file alone, whatever its kind.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            url = check_download(address, self._reach)
            request = HttpRequest("GET", str(url))
            answer = await self._repeat(self._download_once, request, url)
            if answer.status not in _REDIRECTS:
                return answer.body
            try:
                address = str(url.join(URL(answer.headers.get("location", ""))))
            except (ValueError, IndexError):
                raise unsafe("a redirect without an address") from None
        raise unsafe(f"more than {_MAX_REDIRECTS} redirects")

    async def _call_once(self, request: HttpRequest, url: URL) -> Answer:
        if self._stopped.is_set() and request.method in _PAID_METHODS:
            raise CallFailed(Failure(FailureKind.UNSENT))
        answer = await self._exchange(self._session, request, url, self._headers)
        failure = self._provider.map_error(answer)
        if failure is not None:
            raise CallFailed(failure)
        return answer

    async def _download_once(self, request: HttpRequest, url: URL) -> Answer:
        answer = await self._exchange(self._files, request, url, {})
        failure = None if answer.status in _REDIRECTS else status_failure(answer)
        if failure is not None:
            is_settled = answer.status not in _NOT_THERE_YET
            raise CallFailed(replace(failure, may_repeat=failure.may_repeat or not is_settled))
        return answer

    async def _exchange(
        self, session: aiohttp.ClientSession, request: HttpRequest, url: URL, auth: dict[str, str]
    ) -> Answer:
        """One request, one answer, no repetition; connection errors become CallFailed."""
        headers = {**auth, **request.headers}
        is_free = request.method in _FREE_METHODS
        data = _form(request.form) if request.form else _file(request.data)
        if request.json is not None:
            data = _file(request.json_body)
            headers = {"Content-Type": "application/json", **headers}
        try:
            async with session.request(
                request.method,
                url,
                headers=headers,
                allow_redirects=False,
                data=data,
                timeout=self._timeout(_FREE_READ_SECONDS if is_free else None),
            ) as response:
                received = await self._read(response)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.InvalidURL) as error:
            raise self._broken(error, may_repeat=False) from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Nothing has been sent yet.
            raise self._broken(error, may_repeat=not _is_unknown_host(error)) from None
        except asyncio.TimeoutError:
            raise self._timed_out(is_free) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken(error, may_repeat=is_free, sent=not is_free) from None
        log.debug("%s %s: %s", request.method, shown_address(str(url)), response.status)
        named = {name.lower(): value for name, value in response.headers.items()}
        return self._redactor.answer(Answer(response.status, named, received))

    def _timeout(self, read: float | None) -> aiohttp.ClientTimeout:
        """read: seconds to the next byte; None where the run says how long a call may take."""
        return aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect, sock_read=read)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        limit = self._limits.answer_bytes
        announced = response.content_length or 0
        data = bytearray()
        if announced <= limit:
            async for chunk in response.content.iter_chunked(_CHUNK):
                data += chunk
                if len(data) > limit:
                    break
        if max(announced, len(data)) > limit:
            response.close()
            detail = f"more than {limit / 2**20:.0f} MiB were sent"
            raise CallFailed(Failure(FailureKind.ANSWER, detail))
        return bytes(data)

    async def _repeat(self, send: _Send, request: HttpRequest, url: URL) -> Answer:
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        limits = self._limits

        def is_free(error: BaseException) -> bool:
            return isinstance(error, CallFailed) and _may_repeat(
                error.failure, request.method, limits
            )

        retrying = AsyncRetrying(
            retry=retry_if_exception(is_free),
            wait=self._wait,
            stop=stop_after_attempt(limits.attempts),
            sleep=self._sleep if request.method in _PAID_METHODS else asyncio.sleep,
            reraise=True,
        )
        return await retrying(send, request, url)

    async def _sleep(self, seconds: float) -> None:
        """Wait to send something again, which nothing is after `stop`."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    def _wait(self, state: RetryCallState) -> float:
        """Seconds to the next attempt: what the provider asks for, else growing, with jitter."""
        from tenacity import wait_exponential, wait_random

        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, CallFailed):
            # Nothing else is repeated.
            return 0.0
        failure = error.failure
        first = self._limits.first_wait
        own = (wait_exponential(multiplier=first, max=30 * first) + wait_random(0, first))(state)
        wait = own if failure.wait is None else failure.wait + own - first
        log.info(
            "%s: %s; next attempt in %.1f s", self._provider.title, failure.kind.value, max(wait, 0)
        )
        return max(wait, 0.0)

    def _broken(self, error: Exception, may_repeat: bool, sent: bool = False) -> CallFailed:
        detail = shorten(self._redactor.tell(_words_of(error)))
        if sent:
            detail += "; the request was sent and may have been billed, so it is not repeated"
        failure = Failure(FailureKind.NETWORK, detail, may_repeat=may_repeat)
        return CallFailed(failure)

    def _timed_out(self, is_free: bool) -> CallFailed:
        detail = f"nothing came for {_FREE_READ_SECONDS:g} s"
        return CallFailed(Failure(FailureKind.TIMEOUT, detail, may_repeat=is_free))


def _may_repeat(failure: Failure, method: str, limits: Limits) -> bool:
    if failure.wait is not None and failure.wait > limits.longest_wait:
        return False
    return failure.may_repeat or (method in _FREE_METHODS and failure.status in _FREE_STATUSES)


def _words_of(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        # After the first line it quotes what came, whatever that is.
        reason = str(getattr(error, "message", "")).partition("\n")[0].rstrip(":")
        return f"what came is no HTTP answer ({reason})"
    return str(error) or type(error).__name__


def _is_unknown_host(error: Exception) -> bool:
    """The name exists nowhere, which asking again does not change."""
    cause = getattr(error, "os_error", None)
    return isinstance(cause, socket.gaierror) and cause.errno in _UNKNOWN_HOST


def _key_origins(provider: Provider, profile: Profile) -> set[URL]:
    """The origins that may see the key."""
    origins = {URL(profile.url).origin()}
    if URL(provider.url).origin() in origins:
        origins |= {URL(host).origin() for host in provider.key_hosts}
    return origins


def _form(parts: tuple[FormPart, ...]) -> aiohttp.FormData:
    # Names of files go out as they are, as from a browser, and not percent-encoded.
    form = aiohttp.FormData(quote_fields=False)
    for part in parts:
        if isinstance(part.value, bytes):
            file = _file(part.value)
            form.add_field(part.name, file, filename=part.file_name, content_type=part.mime)
        else:
            form.add_field(part.name, part.value)
    return form


def _file(data: bytes | None) -> io.BytesIO | None:
    # Files aiohttp takes of any size, bytes of more than a megabyte with a warning.
    return None if data is None else io.BytesIO(data)
