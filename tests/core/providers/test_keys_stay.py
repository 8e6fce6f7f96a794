"""No key goes to a host other than its own profile's, whatever an answer says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from segment_anywhere.core.providers.contract import ImageLimits, Profile, ProviderError
from segment_anywhere.core.providers.credentials import BUILT_IN_PROFILES, load_profile
from segment_anywhere.core.providers.images import encode_picture, frame_pixels
from segment_anywhere.core.providers.registry import PROVIDERS
from segment_anywhere.core.providers.scheduler import RunLimits
from segment_anywhere.core.providers.transport import Transport
from segment_anywhere.core.providers.wire import CallFailed, HttpRequest

from tests.support.asks import QUICK, always_uploading, ask_for, run, square_image, square_mask
from tests.support.loopback import running
from tests.support.servers import KEY, SERVERS, faults, serving
from tests.support.servers.fal import FalServer
from tests.support.servers.vision import picture

HEADER = "header-0123456789abcdef"
PNG = picture(square_mask())
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass
class Stranger:
    """A server that is nobody's provider; heard: all that it was sent."""

    url: str = ""
    heard: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{tail:.*}", self.answer)
        return app

    async def answer(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode("latin-1")
        self.heard.append(f"{request.method} {request.raw_path} {dict(request.headers)} {body}")
        return web.Response(body=PNG, content_type="image/png")


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    server = Stranger()
    with running(server.app) as server.url:
        yield server


def naming(address: str) -> dict[str, str]:
    """The good answers of the providers whose answers may name a file."""
    return {
        "imagineo": json.dumps({"url": address}),
        "airefinery": json.dumps({"data": [{"url": address}]}),
        "segmind": json.dumps({"image": address}),
        "fal": json.dumps({"image": {"url": address}}),
        "custom": json.dumps({"data": [{"url": address}]}),
    }


def ask(server, key, **profile):
    return ask_for(server, key, headers={"X-Token": HEADER}, **profile)


def assert_clean(heard: list[str]) -> None:
    assert not [each for each in heard if KEY in each or HEADER in each]


DIALECTS = [(key, {}) for key in SERVERS if key != "custom"]
DIALECTS += [
    ("custom", {"dialect": dialect, "model": "owner/model"})
    for dialect in PROVIDERS["custom"].variants
]


@pytest.mark.parametrize(("key", "profile"), DIALECTS)
@pytest.mark.parametrize("status", REDIRECTS)
def test_a_call_is_led_nowhere(serve, stranger, key, profile, status):
    server = serve(key)
    server.faults.append(faults.status(status, "", Location=f"{stranger.url}/?key={KEY}"))
    with pytest.raises(ProviderError, match="redirect to http") as caught:
        run(ask(server, key, **profile))
    assert stranger.heard == []
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", naming(""))
@pytest.mark.parametrize("path", ["/mask.png", f"/mask.png?key={KEY}", f"/{KEY}/{HEADER}"])
def test_a_file_elsewhere_is_fetched_without_the_key(serve, stranger, key, path):
    """And nobody can have the pack carry one there."""
    server = serve(key)
    odd = faults.status(200, naming(stranger.url + path)[key])
    (server.result_faults if key == "fal" else server.faults).append(odd)
    assert len(run(ask(server, key)).segments) == 1
    assert len(stranger.heard) == 1
    assert_clean(stranger.heard)


@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("path", ["/mask.png", f"/mask.png?key={KEY}"])
def test_a_file_that_moved_is_fetched_without_the_key(serve, stranger, status, path):
    server = serve("fal")
    server.file_faults.append(faults.status(status, "", Location=stranger.url + path))
    assert len(run(ask(server, "fal")).segments) == 1
    assert len(stranger.heard) == 1
    assert_clean(stranger.heard)
    assert server.leaks == []


@dataclass
class MisleadingServer(FalServer):
    """Names the stranger's address where it should name its own: of an upload, or of a job."""

    elsewhere: dict[str, str] = field(default_factory=dict)

    async def post_upload(self, request: web.Request) -> web.Response:
        stored = self.store(encode_picture(frame_pixels(square_image()), ImageLimits()).data)
        return web.json_response({"upload_url": stored, "file_url": stored} | self.elsewhere)

    def _urls(self, request_id: str) -> dict[str, str]:
        return super()._urls(request_id) | self.elsewhere


def test_a_picture_is_uploaded_elsewhere_without_the_key(stranger):
    elsewhere = {"upload_url": f"{stranger.url}/put?key={KEY}"}
    with serving(MisleadingServer(elsewhere=elsewhere)) as server:
        assert len(run(always_uploading(ask(server, "fal"))).segments) == 1
    assert len(stranger.heard) == 1 and stranger.heard[0].startswith("PUT /put")
    assert_clean(stranger.heard)


@pytest.mark.parametrize("place", ["status_url", "response_url", "cancel_url"])
def test_a_job_is_not_followed_elsewhere(stranger, place):
    mode = "never_completes" if place == "cancel_url" else ""
    elsewhere = {place: f"{stranger.url}/job"}
    with serving(MisleadingServer(mode=mode, elsewhere=elsewhere)) as server:
        with pytest.raises(ProviderError):
            run(ask(server, "fal"), limits=RunLimits(4, 0.6, QUICK.transport))
    assert stranger.heard == []


OTHERS = ["https://evil.example", "http://{host}", "https://{host}:444", "https://sub.{host}"]
VENDORS = {provider.url: provider for provider in PROVIDERS.values()}


@pytest.mark.parametrize("key", PROVIDERS)
@pytest.mark.parametrize("own", ["", "https://gateway.example"])
@pytest.mark.parametrize("other", [*OTHERS, *VENDORS, "https://rest.fal.ai"])
def test_which_origins_get_the_key(tmp_path, key, own, other):
    """The profile's own, and the vendor's further ones while the profile's is the vendor's."""
    provider = PROVIDERS[key]
    variables = {name: KEY for group in provider.key_variables for name in group}
    variables |= {f"SEGMENT_ANYWHERE_{key.upper()}_URL": own}
    profile = load_profile(provider, "openai" if key == "custom" else "", tmp_path, variables)
    assert_only_own(provider, profile, other)


@pytest.mark.parametrize("name", BUILT_IN_PROFILES)
@pytest.mark.parametrize("other", [*OTHERS, *VENDORS])
def test_which_origins_get_the_key_of_a_server_of_ones_own(tmp_path, name, other):
    variables = {"HF_TOKEN": KEY, "ROBOFLOW_API_KEY": KEY}
    variables |= {"SEGMENT_ANYWHERE_CUSTOM_URL": "https://gateway.example"}
    profile = load_profile(PROVIDERS["custom"], name, tmp_path, variables)
    is_gateway = profile.url == "https://gateway.example"
    assert not (is_gateway and profile.key)
    assert_only_own(PROVIDERS["custom"], profile, other)


def assert_only_own(provider, profile: Profile, other: str) -> None:
    host = profile.url.partition("//")[2].partition("/")[0].partition(":")[0]
    other = other.format(host=host)
    allowed = {profile.url, *(provider.key_hosts if profile.url == provider.url else ())}
    request = HttpRequest("GET", f"{other}/v1")
    # A gateway may stand between, which then gets what is meant for the vendor.
    led = provider.route(request, profile)
    if other in allowed or led.url.startswith(f"{profile.url}/"):
        return

    async def call() -> None:
        async with Transport(provider, profile) as transport:
            await transport.call(request)

    with pytest.raises(CallFailed, match="that would get the key"):
        asyncio.run(call())
