"""One ComfyUI for all end-to-end tests of a session; without one, they are skipped.

With pytest-xdist, `--dist loadgroup` keeps these tests on one worker. Where it does not (pytest 9.2
with xdist 3.8 loses the groups, pytest-xdist issue 1386), each worker starts a ComfyUI of its own:
slower, but the results are the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from PIL import Image

from tests.support.class_models import make_rt_detr
from tests.support.layouts import write_layouts
from tests.support.paths import FIXTURES, ROOT
from tests.support.sam3_layouts import write_sam3_layouts
from tests.support.servers import SERVERS, ProviderServer, serving
from tests.support.servers.__main__ import environment
from tests.web.comfy_page import QUIET, ComfyPage, Look, chromium, new_page

from .api import Api
from .comfy_server import (
    CENSUS,
    NEIGHBOUR,
    SUBJECT,
    ComfyMissing,
    ComfyServer,
    find_install,
    write_census,
    write_neighbour,
    write_subject,
)

TINY = FIXTURES / "sam2_tiny"
_LOG = pytest.StashKey[tuple[ComfyServer, int]]()


@pytest.fixture(scope="session")
def all_providers() -> Iterator[dict[str, ProviderServer]]:
    """A loopback server of every remote provider."""
    with ExitStack() as stack:
        yield {key: stack.enter_context(serving(cls())) for key, cls in SERVERS.items()}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def viewport() -> tuple[int, int]:
    """The size of the window, in pixels."""
    return (1300, 900)


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes2"])
def page(
    request: pytest.FixtureRequest, comfy: ComfyServer, browser: Any, viewport: tuple[int, int]
) -> Iterator[ComfyPage]:
    """One page for each renderer and file: it takes seconds to start."""
    if comfy.install.frontend is None:
        pytest.skip("this ComfyUI has no frontend package")
    Api(comfy.url).http.post_json("/settings", QUIET | {"Comfy.VueNodes.Enabled": request.param})
    page = new_page(browser, comfy.url, Look(vue=request.param))
    page.page.set_viewport_size(dict(zip(("width", "height"), viewport, strict=True)))
    yield page
    page.page.context.close()


@pytest.fixture
def providers(all_providers: dict[str, ProviderServer]) -> dict[str, ProviderServer]:
    """The same, as if they had just begun."""
    for key, server in all_providers.items():
        fresh = SERVERS[key](url=server.url)
        vars(server).update(vars(fresh))
    return all_providers


@pytest.fixture(scope="session")
def comfy(
    tmp_path_factory: pytest.TempPathFactory, all_providers: dict[str, ProviderServer]
) -> Iterator[ComfyServer]:
    """A running ComfyUI with this pack, the small models, and a pack like ours beside it.

    Its remote providers are the loopback servers.
    """
    try:
        install = find_install()
        base = tmp_path_factory.mktemp("comfy")
        models = base / "models"
        write_layouts("sam", models / "sams", "sam")
        write_layouts("sam_hq", models / "sams", "sam_hq")
        write_layouts("sam2", models / "sam2", "parity")
        write_layouts("edgetam", models / "sam2", "edgetam")
        write_sam3_layouts(models / "sam3")
        shutil.copytree(FIXTURES / "sam3_tiny", models / "sam3" / "tiny")
        shutil.copytree(FIXTURES / "clipseg_tiny", models / "clipseg" / "tiny")
        shutil.copytree(FIXTURES / "segformer_tiny", models / "detection" / "tiny")
        make_rt_detr(models / "detection" / "random")
        shutil.copytree(FIXTURES / "vitmatte_tiny", models / "vitmatte" / "tiny")
        if (TINY / "config.json").is_file():
            shutil.copytree(TINY, models / "sam2" / "sam2_tiny")
        write_neighbour(base / "custom_nodes")
        write_census(base / "custom_nodes")
        write_subject(base / "custom_nodes")
        server = ComfyServer(
            install, base, packs=(NEIGHBOUR, CENSUS, SUBJECT), variables=environment(all_providers)
        )
        server.start()
    except ComfyMissing as reason:
        pytest.skip(str(reason))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def startup_log(comfy: ComfyServer) -> str:
    """The log as it was before the first test."""
    return comfy.log()


@pytest.fixture(autouse=True)
def _log_of_test(request: pytest.FixtureRequest, comfy: ComfyServer, startup_log: str) -> None:
    request.node.stash[_LOG] = (comfy, comfy.log_size())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show a failed test what the server wrote meanwhile."""
    report = yield
    if report.failed and _LOG in item.stash:
        server, start = item.stash[_LOG]
        report.sections.append(("ComfyUI's log during the test", server.log(start)))
    return report


@pytest.fixture
def api(comfy: ComfyServer) -> Iterator[Api]:
    """A client that is connected, so that nodes draw their pictures for it."""
    with Api(comfy.url) as api:
        yield api


@pytest.fixture(scope="session")
def dahlia(comfy: ComfyServer) -> str:
    """The photograph of the demo, 640 x 427, uploaded: a flower around (310, 215)."""
    return Api(comfy.url).upload("dahlia.jpg", ROOT / "workflows" / "images" / "dahlia.jpg")


@pytest.fixture(scope="session")
def photo(comfy: ComfyServer) -> str:
    """A cup of espresso, 600 x 400, uploaded."""
    return Api(comfy.url).upload("photo.jpg", FIXTURES / "photo.jpg")


@pytest.fixture(scope="session")
def square(comfy: ComfyServer) -> str:
    """A red square from (40, 20) to (100, 80) on green, 160 x 120, uploaded."""
    image = Image.new("RGB", (160, 120), (40, 140, 60))
    image.paste((210, 40, 30), (40, 20, 100, 80))
    return Api(comfy.url).upload("square.png", image)
