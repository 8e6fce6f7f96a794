"""Which addresses may be asked: keys stay with their provider, downloads stay out of the house."""

from __future__ import annotations

import ipaddress
import socket
from enum import IntEnum

import aiohttp
from yarl import URL

from .base import CallFailed, Failure, FailureKind, Profile
from .failures import shorten

_LOCAL_NAMES = {"localhost", "ip6-localhost"}


class Reach(IntEnum):
    """How near to this machine an address may lie."""

    PUBLIC = 0
    LOOPBACK = 1
    PRIVATE = 2


def reach_of(profile: Profile) -> Reach:
    """How near the downloads of a profile may lie: no nearer than its own server."""
    if profile.is_local:
        return Reach.PRIVATE
    return Reach.LOOPBACK if is_loopback(URL(profile.url)) else Reach.PUBLIC


def unsafe(detail: str) -> CallFailed:
    return CallFailed(Failure(FailureKind.UNSAFE, detail))


def parse_url(text: str) -> URL:
    """An http(s) address with a host and without a user; raises CallFailed for anything else."""
    try:
        url = URL(text)
        # A port that is no number shows only when it is asked for.
        is_complete = url.scheme in ("http", "https") and bool(url.host) and bool(url.port)
    except (ValueError, TypeError):
        is_complete = False
    if not is_complete or url.user or url.password:
        raise unsafe(f"the address {shorten(str(text)[:120])!r}")
    return url


def check_download(text: str, reach: Reach) -> URL:
    """The address of a result: https, or http on this machine; an IP address must be in reach."""
    url = parse_url(text)
    allows_http = reach is Reach.PRIVATE or (reach is Reach.LOOPBACK and is_loopback(url))
    if url.scheme != "https" and not allows_http:
        raise unsafe(f"a result without https at {url.host}")
    try:
        check_ip(url.host, reach)
    except ValueError:
        if is_loopback(url) and reach is Reach.PUBLIC:
            raise unsafe(f"a result on this machine, at {url.host}") from None
    return url


def is_loopback(url: URL) -> bool:
    """True for localhost and for literal loopback addresses."""
    try:
        return ipaddress.ip_address(url.host or "").is_loopback
    except ValueError:
        return (url.host or "").rstrip(".").lower() in _LOCAL_NAMES


def check_ip(text: str, reach: Reach, name: str = "") -> None:
    """Raise CallFailed for an IP address that is out of reach, ValueError for text that is none."""
    ip = ipaddress.ip_address(text)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        allowed = reach >= Reach.LOOPBACK
    elif ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        # Among them the address under which clouds hand out credentials.
        allowed = False
    else:
        allowed = ip.is_global or reach is Reach.PRIVATE
    if not allowed:
        where = f"{name} at the private address {ip}" if name else f"the private address {ip}"
        raise unsafe(
            f"{where}; if a proxy or a server of your own is there, write local = true into the "
            "profile in providers.toml"
        )


class CheckedResolver(aiohttp.abc.AbstractResolver):
    """Resolves names, and refuses those that lead to an address out of reach."""

    def __init__(self, reach: Reach):
        self._reach = reach
        self._resolver = aiohttp.DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            check_ip(each["host"], self._reach, host)
        return found

    async def close(self) -> None:
        await self._resolver.close()
