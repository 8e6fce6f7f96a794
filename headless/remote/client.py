"""A small HTTP client for one ComfyUI server, on the standard library alone."""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from ..decode import read_json
from ..errors import WorkflowError, one_line

TIMEOUT = 60.0


class HttpAnswer(Exception):
    """The server answered with an error status."""

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


class Unreachable(WorkflowError):
    """The server cannot be reached at all."""


class HttpClient:
    """Requests to one base URL.

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
        self._opener = _opener(parts.hostname or "")

    def get(self, path: str, **query: str) -> bytes:
        """Return the body of a GET.

        Raises:
            HttpAnswer: an error status.
            Unreachable: no answer.
        """
        suffix = f"?{urllib.parse.urlencode(query)}" if query else ""
        return self._request(urllib.request.Request(self.base + path + suffix))

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
        body = json.dumps(value).encode()
        headers = {"Content-Type": "application/json"}
        return self._decode(path, self._post(path, body, headers))

    def post_file(self, path: str, filename: str, data: bytes, fields: Mapping[str, str]) -> Any:
        """Post a form with one file, named "image", and return the decoded answer.

        Raises:
            HttpAnswer: an error status.
            WorkflowError: no answer, or one that is no JSON.
        """
        boundary = secrets.token_hex(16)
        lines = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        lines.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; '
            f'filename="{filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        )
        body = "".join(lines).encode() + data + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self._decode(path, self._post(path, body, headers))

    def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        request = urllib.request.Request(
            self.base + path, data=body, headers=dict(headers), method="POST"
        )
        return self._request(request)

    def _request(self, request: urllib.request.Request) -> bytes:
        for name, value in self._headers.items():
            request.add_header(name, value)
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise HttpAnswer(error.code, error.read()) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            text = one_line(getattr(reason, "strerror", None) or reason) or type(reason).__name__
            raise Unreachable(
                f"No answer from ComfyUI at {self.base} ({text}). Start it, or correct --server.",
                stops_run=True,
            ) from error

    def _decode(self, path: str, body: bytes) -> Any:
        try:
            return read_json(body) if body.strip() else None
        except ValueError:
            raise WorkflowError(
                f"{self.base}{path} answers, but not as ComfyUI does. Correct --server.",
                stops_run=True,
            ) from None


def _split(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        # The URL may hold a password: only its harmless part is repeated.
        shown = url.rpartition("@")[2]
        raise WorkflowError(
            f"--server {shown}: expected an http or https address such as http://127.0.0.1:8188."
        )
    return parts


def _opener(host: str) -> urllib.request.OpenerDirector:
    # No redirects: urllib would turn a POST into a GET. No files, no ftp. And no proxy for this
    # machine itself, whatever the environment says.
    opener = urllib.request.OpenerDirector()
    proxies = urllib.request.ProxyHandler({} if _is_loopback(host) else None)
    for handler in (
        proxies,
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
