"""Where keys and downloads may go, and what of a key is left in texts."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from dataclasses import replace

import aiohttp
import pytest
from segment_anywhere.core.providers import transport
from segment_anywhere.core.providers.addresses import (
    CheckedResolver,
    Reach,
    check_download,
    check_ip,
    parse_url,
    reach_of,
)
from segment_anywhere.core.providers.contract import Profile, ProviderError
from segment_anywhere.core.providers.registry import PROVIDERS
from segment_anywhere.core.providers.transport import Limits, Transport
from segment_anywhere.core.providers.wire import CallFailed, HttpRequest

from tests.support.asks import ask_for, run
from tests.support.servers import KEY, faults

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
    # IPv4 in other clothes: mapped, compatible, translated.
    ("::ffff:169.254.169.254", None),
    ("::93.184.216.34", Reach.PUBLIC),
    ("::127.0.0.1", Reach.LOOPBACK),
    ("::10.0.0.1", Reach.PRIVATE),
    ("::169.254.169.254", None),
    ("::ffff:0:93.184.216.34", Reach.PUBLIC),
    ("::ffff:0:127.0.0.1", Reach.LOOPBACK),
    # What a router unpacks (NAT64, 6to4, Teredo); the loopback is then the router's.
    ("64:ff9b::5db8:d822", Reach.PUBLIC),
    ("64:ff9b::7f00:1", Reach.PRIVATE),
    ("64:ff9b::c0a8:114", Reach.PRIVATE),
    ("64:ff9b::a9fe:a9fe", None),
    ("64:ff9b:1::5db8:d822", Reach.PRIVATE),
    ("64:ff9b:1:ffff::a00:1", Reach.PRIVATE),
    ("64:ff9b:1::a9fe:a9fe", None),
    ("2002:5db8:d822::1", Reach.PUBLIC),
    ("2002:7f00:1::", Reach.PRIVATE),
    ("2002:a00:1::1", Reach.PRIVATE),
    ("2002:a9fe:a9fe::", None),
    ("2001:0:4136:e378:8000:63bf:a247:27dd", Reach.PRIVATE),
    ("2001:0:4136:e378:8000:63bf:5601:5601", None),
    ("fec0::1", Reach.PRIVATE),
    ("ff02::1", None),
    ("::", None),
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


@pytest.mark.parametrize(("ip", "needed"), REACHES)
@pytest.mark.parametrize("reach", Reach)
def test_which_addresses_are_in_reach_by_name(monkeypatch, ip, needed, reach):
    """A name that leads there is no better than the address itself."""

    async def resolve(self, host, port=0, family=0):
        # A good address beside it changes nothing.
        hosts = ["93.184.216.34", ip]
        return [{"hostname": host, "host": each, "port": port} for each in hosts]

    async def look_up():
        resolver = CheckedResolver(reach)
        try:
            return await resolver.resolve("cdn.example.com", 443)
        finally:
            await resolver.close()

    monkeypatch.setattr(aiohttp.DefaultResolver, "resolve", resolve)
    if needed is not None and reach >= needed:
        assert [each["host"] for each in asyncio.run(look_up())] == ["93.184.216.34", ip]
    else:
        named = re.escape(f"cdn.example.com at the private address {ip}")
        with pytest.raises(CallFailed, match=named):
            asyncio.run(look_up())


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
        "https://a b.com/x",
        "https://a%20b.com/x",
        "https://a..b/x",
        "https://.com/x",
        f"https://{'a' * 64}.com/x",
        f"https://{'ü' * 64}.com/x",
        f"https://{'a.' * 127}com/x",
        "https://exa\tmple.com/x",
        "https://xn--/x",
        "https://xn--xn--/x",
        "https://xn--\xfc.com/x",
        "https://]::1[@",
        "https://\ud800.com/x",
        "http://127.0.0.1:1/\r\n",
        "https://example.com/\x00",
    ],
)
def test_addresses_that_are_none(text):
    with pytest.raises(CallFailed, match="the address"):
        parse_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com./x",
        "https://my_box:8443/x",
        "https://bücher.example/x",
        f"https://{'a' * 63}.com/x",
        "https://example.com/a picture.png",
        "https://[2606:2800:220:1:248:1893:25c8:1946]/x",
    ],
)
def test_addresses_that_are_good(text):
    assert parse_url(text).host


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


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:1/\r\n", "https://a b.com/x", "https://a..b/x", f"https://{'a' * 64}.com/x"],
)
def test_a_result_at_an_address_that_is_none_is_refused_at_once(serve, caplog, address):
    """By the whole way from an answer that names it; nothing is looked up or asked again."""
    server = serve("fal")
    body = json.dumps({"image": {"url": address}}).encode()
    server.result_faults.append(faults.body(body, "application/json"))
    caplog.set_level(logging.INFO, transport.__name__)
    with pytest.raises(ProviderError, match="not safe to follow: the address"):
        run(ask_for(server, "fal"))
    assert "next attempt" not in caplog.text


@pytest.mark.parametrize(
    ("number", "attempts"),
    [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 3), (socket.EAI_FAIL, 3)],
    ids=["no such name", "ask again", "no answer"],
)
def test_a_host_that_does_not_exist_is_looked_up_once(monkeypatch, number, attempts):
    """Where the name's servers are at fault, a hiccup may pass."""
    asked = []

    async def resolve(self, host, port=0, family=0):
        asked.append(host)
        raise socket.gaierror(number, "Name or service not known")

    async def fetch() -> None:
        provider = PROVIDERS["fal"]
        limits = Limits(attempts=3, first_wait=0.01)
        profile = Profile("fal", "", provider.url, KEY)
        async with Transport(provider, profile, limits) as transport:
            await transport.download("https://cdn.example.com/mask.png")

    monkeypatch.setattr(aiohttp.DefaultResolver, "resolve", resolve)
    with pytest.raises(CallFailed, match="cdn.example.com"):
        asyncio.run(fetch())
    assert asked == ["cdn.example.com"] * attempts


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


@pytest.mark.parametrize(
    ("url", "reach", "host"),
    [
        ("https://cdn.example.com/m.png", Reach.PUBLIC, "cdn.example.com"),
        ("https://93.184.216.34/x", Reach.PUBLIC, "93.184.216.34"),
        ("https://localhost/x", Reach.LOOPBACK, "localhost"),
        ("http://LOCALHOST./x", Reach.LOOPBACK, "localhost."),
        ("http://127.0.0.1:9000/x", Reach.LOOPBACK, "127.0.0.1"),
        ("https://cdn.example.com/x", Reach.LOOPBACK, "cdn.example.com"),
        ("http://192.168.1.20/x", Reach.PRIVATE, "192.168.1.20"),
        ("http://box.lan/x", Reach.PRIVATE, "box.lan"),
    ],
)
def test_downloads_that_are_let_through(url, reach, host):
    assert check_download(url, reach).host == host


@pytest.mark.parametrize(
    ("url", "settings", "reach"),
    [
        ("https://queue.fal.run", {}, Reach.PUBLIC),
        ("http://127.0.0.1:9000", {}, Reach.LOOPBACK),
        ("http://localhost:9000", {}, Reach.LOOPBACK),
        ("http://192.168.1.20:9001", {"local": True}, Reach.PRIVATE),
        ("https://queue.fal.run", {"local": True}, Reach.PRIVATE),
    ],
)
def test_results_lie_no_nearer_than_their_server(url, settings, reach):
    assert reach_of(Profile("custom", "", url, "", settings)) is reach
