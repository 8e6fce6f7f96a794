"""Where keys and downloads may go, and what of a key is left in texts."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import aiohttp
import pytest
from segment_anywhere.core.providers.addresses import (
    CheckedResolver,
    Reach,
    check_download,
    check_ip,
    parse_url,
)
from segment_anywhere.core.providers.base import CallFailed, HttpRequest, Profile
from segment_anywhere.core.providers.registry import PROVIDERS
from segment_anywhere.core.providers.transport import Transport

from tests.providers.servers import KEY

REACHES = [
    ("93.184.216.34", Reach.PUBLIC),
    ("2606:2800:220:1:248:1893:25c8:1946", Reach.PUBLIC),
    ("127.0.0.1", Reach.LOOPBACK),
    ("::1", Reach.LOOPBACK),
    ("::ffff:127.0.0.1", Reach.LOOPBACK),
    ("10.0.0.1", Reach.PRIVATE),
    ("192.168.1.20", Reach.PRIVATE),
    ("::ffff:192.168.1.20", Reach.PRIVATE),
    ("172.16.0.1", Reach.PRIVATE),
    ("100.64.0.1", Reach.PRIVATE),
    ("fd00::1", Reach.PRIVATE),
    ("169.254.169.254", None),
    ("fe80::1", None),
    ("0.0.0.0", None),
    ("224.0.0.1", None),
]


@pytest.mark.parametrize(("ip", "needed"), REACHES)
@pytest.mark.parametrize("reach", Reach)
def test_which_addresses_are_in_reach(ip, needed, reach):
    """A local profile reaches the house, yet never where clouds hand out credentials."""
    if needed is not None and reach >= needed:
        check_ip(ip, reach)
    else:
        with pytest.raises(CallFailed, match="private address"):
            check_ip(ip, reach)


@pytest.mark.parametrize(
    "text",
    [
        "file:///etc/passwd",
        "ftp://example.com/x",
        "https://",
        "https://me:secret@example.com/x",
        "https://example.com:port/",
        "data:image/png;base64,AA",
        "",
        "//example.com/x",
        "https://[::1/",
    ],
)
def test_addresses_that_are_none(text):
    with pytest.raises(CallFailed, match="the address"):
        parse_url(text)


@pytest.mark.parametrize(
    ("url", "reach", "words"),
    [
        ("http://example.com/x", Reach.PUBLIC, "without https"),
        ("http://localhost/x", Reach.PUBLIC, "without https"),
        ("https://localhost/x", Reach.PUBLIC, "on this machine"),
        ("https://127.0.0.1/x", Reach.PUBLIC, "private address"),
        ("http://192.168.1.20/x", Reach.LOOPBACK, "without https"),
        ("https://192.168.1.20/x", Reach.LOOPBACK, "private address"),
    ],
)
def test_downloads_that_are_refused(url, reach, words):
    with pytest.raises(CallFailed, match=words):
        check_download(url, reach)


def test_a_name_that_leads_into_the_house_is_refused(monkeypatch):
    """The check is on what the name resolves to, so that the name itself proves nothing."""

    async def resolve(self, host, port=0, family=0):
        return [{"hostname": host, "host": "10.1.2.3", "port": port}]

    monkeypatch.setattr(aiohttp.DefaultResolver, "resolve", resolve)

    async def look_up(reach):
        resolver = CheckedResolver(reach)
        try:
            return await resolver.resolve("cdn.example.com", 443)
        finally:
            await resolver.close()

    with pytest.raises(CallFailed, match="cdn.example.com at the private address 10.1.2.3"):
        asyncio.run(look_up(Reach.PUBLIC))
    assert asyncio.run(look_up(Reach.PRIVATE))[0]["host"] == "10.1.2.3"


async def call(provider, profile, url):
    async with Transport(provider, profile) as transport:
        await transport.call(HttpRequest("GET", url))


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://queue.fal.run", "https://evil.example/x"),
        ("https://queue.fal.run", "http://queue.fal.run/x"),
        ("https://queue.fal.run", "https://queue.fal.run:444/x"),
        # Behind a gateway, the vendor's storage is somebody else's too.
        ("https://gateway.example", "https://rest.fal.ai/storage/upload/initiate"),
    ],
)
def test_the_key_goes_nowhere_else(url, target):
    with pytest.raises(CallFailed, match="that would get the key"):
        asyncio.run(call(PROVIDERS["fal"], Profile("fal", "", url, KEY), target))


def test_a_key_in_an_answer_is_hidden(serve):
    """Of a key in two parts each; headers of a profile may hold a key as well."""
    server = serve("fal")
    secrets = ("id-0123456789", "secret-0123456789", "header-0123456789")
    server.files["x"] = " ".join(secrets).encode()
    profile = Profile("fal", "", server.url, ":".join(secrets[:2]), {"headers": {"X": secrets[2]}})

    async def ask():
        async with Transport(replace(PROVIDERS["fal"], key_hosts=()), profile) as transport:
            return await transport.call(HttpRequest("GET", f"{server.url}/files/x"))

    assert asyncio.run(ask()).body == b"[hidden] [hidden] [hidden]"
