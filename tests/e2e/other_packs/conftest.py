"""A ComfyUI with other people's packs beside ours, where they are installed.

They are taken from the custom_nodes of the ComfyUI that is tested with; without the Impact Pack all
of this is skipped, and what needs another one where that is missing. The Impact Pack of 2024 starts
with a module `impact_subpack/impact/subpack_nodes.py` of two empty dictionaries.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PIL import Image

from tests.support.paths import ROOT

from ..api import Api
from ..comfy_server import ComfyMissing, ComfyServer, find_install
from .graphs import SIZE, SQUARES
from .packs import IMPACT, OtherPacks


@pytest.fixture(scope="session")
def packs() -> OtherPacks:
    try:
        found = OtherPacks.of(find_install().root)
    except ComfyMissing as reason:
        pytest.skip(str(reason))
    if IMPACT not in found.folders:
        pytest.skip(f"there is no {IMPACT} in the custom_nodes of this ComfyUI")
    return found


@pytest.fixture(scope="session")
def comfy(packs: OtherPacks, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A running ComfyUI with this pack and all others that are there."""
    base = tmp_path_factory.mktemp("many_packs")
    (base / "custom_nodes").mkdir()
    names = packs.copy_to(base / "custom_nodes")
    server = ComfyServer(find_install(), base, packs=names)
    try:
        server.start()
    except ComfyMissing as reason:
        pytest.skip(str(reason))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def photograph(comfy: ComfyServer) -> str:
    return Api(comfy.url).upload("flower.jpg", ROOT / "workflows" / "images" / "dahlia.jpg")


@pytest.fixture(scope="session")
def squares(comfy: ComfyServer) -> str:
    """Three squares as the transparent part of a green image; the first two touch."""
    image = Image.new("RGBA", SIZE, (40, 140, 60, 255))
    for place in SQUARES:
        image.paste((40, 140, 60, 0), place)
    return Api(comfy.url).upload("squares.png", image)
