"""Which addresses may be asked: keys stay with their provider, downloads stay out of the house."""

from __future__ import annotations

import ipaddress
import re
import socket
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from aiohttp import DefaultResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from .contract import Profile
from .redaction import shown_address
from .wire import CallFailed, Failure, FailureKind, shorten

_LOCAL_NAMES = {"localhost", "ip6-localhost"}
# Lengths are DNS's; an underscore is in names that containers give each other.
_NAME = re.compile(r"(?=.{1,254}$)([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# IPv6 addresses that a machine takes for the IPv4 address in their last 32 bits: compatible,
# mapped, translated (RFC 4291, RFC 2765).
_WRITTEN_AS_IPV6 = tuple(map(IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96")))
# NAT64, for everybody and for a network of one's own (RFC 6052, RFC 8215).
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")


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
    """An http(s) address with a host that can exist, and without a user.

    Raises CallFailed for anything else, control characters included: what an address loses when it
    is read would make it another one than was checked.
    """
    try:
        url = URL(text)
        # A port that is no number, or a name in letters that no name has, shows only when it is
        # asked for.
        is_complete = url.scheme in ("http", "https") and bool(url.port) and bool(url.host)
        is_complete = is_complete and _is_host(url.raw_host or "") and not _CONTROL.search(text)
        if is_complete and not url.user and not url.password:
            return url
    except (ValueError, TypeError, IndexError):
        # Said below, as for whatever else is no address.
        pass
    raise unsafe(f"the address {shorten(shown_address(str(text))[:120])!r}")


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _NAME.fullmatch(text) is not None
    return True


def check_download(text: str, reach: Reach) -> URL:
    """The address of a result: https, or http on this machine; an IP address must be in reach."""
    url = parse_url(text)
    allows_http = reach is Reach.PRIVATE or (reach is Reach.LOOPBACK and is_loopback(url))
    if url.scheme != "https" and not allows_http:
        raise unsafe(f"a result without https at {url.host}")
    try:
        check_ip(url.host or "", reach)
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
    needed = _needed_reach(ipaddress.ip_address(text))
    if needed is None or reach < needed:
        where = f"{name} at the private address {text}" if name else f"the private address {text}"
        raise unsafe(
            f"{where}; if a proxy or a server of your own is there, write local = true into the "
            "profile in providers.toml"
        )


def _needed_reach(ip: IPv4Address | IPv6Address) -> Reach | None:
    """The least reach that an address is in; None for one that nobody may reach."""
    if ip.is_loopback:
        return Reach.LOOPBACK
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        # Among them the address under which clouds hand out credentials.
        return None
    if isinstance(ip, IPv6Address):
        if any(ip in network for network in _WRITTEN_AS_IPV6):
            return _needed_reach(_last_bits(ip))
        carried = _carried(ip)
        inner = Reach.PUBLIC if carried is None else _needed_reach(carried)
        if inner is not Reach.PUBLIC:
            # A router unpacks it, so that even a loopback address is not this machine's.
            return None if inner is None else Reach.PRIVATE
        if ip.is_site_local or ip in _LOCAL_NAT64:
            return Reach.PRIVATE
    return Reach.PUBLIC if ip.is_global else Reach.PRIVATE


def _carried(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address to which NAT64, 6to4 or Teredo carry what is sent to an IPv6 address."""
    if ip in _NAT64 or ip in _LOCAL_NAT64:
        return _last_bits(ip)
    return ip.teredo[1] if ip.teredo else ip.sixtofour


def _last_bits(ip: IPv6Address) -> IPv4Address:
    return IPv4Address(int(ip) & 0xFFFFFFFF)


class CheckedResolver(AbstractResolver):
    """Resolves names, and refuses those that lead to an address out of reach."""

    def __init__(self, reach: Reach):
        self._reach = reach
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            check_ip(each["host"], self._reach, host)
        return found

    async def close(self) -> None:
        await self._resolver.close()
