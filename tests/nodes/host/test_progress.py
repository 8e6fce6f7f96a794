"""What the user sees of a run on the node."""

from __future__ import annotations

import pytest
import torch
from comfy_api.latest import io
from segment_anywhere.nodes.combine import Combine
from segment_anywhere.nodes.host import progress


class _Server:
    """Notes what ComfyUI's server is asked to send to whom."""

    def __init__(self, client_id: str | None) -> None:
        self.client_id = client_id
        self.sent: list[tuple[str, str, str | None]] = []

    def send_progress_text(self, text: str, node_id: str, sid: str | None = None) -> None:
        self.sent.append((text, node_id, sid))


@pytest.mark.parametrize("client_id", ["the tab that queued", None])
def test_the_line_on_a_node_goes_to_the_client_that_queued(monkeypatch, client_id):
    """Without an id ComfyUI sends it to every browser, onto whatever node has the same number."""
    server = _Server(client_id)
    monkeypatch.setattr(progress.PromptServer, "instance", server)
    hidden = {"hidden_inputs": {io.Hidden.unique_id: "7"}}
    node = Combine.PREPARE_CLASS_CLONE(hidden)
    node.execute("union", mask_a=torch.ones(1, 4, 4), mask_b=torch.zeros(1, 4, 4))
    expected = [] if client_id is None else [("1 object", "7", client_id)]
    assert server.sent == expected


@pytest.fixture
def server(monkeypatch) -> _Server:
    server = _Server("tab")
    monkeypatch.setattr(progress.PromptServer, "instance", server)
    return server


@pytest.fixture
def node() -> type[io.ComfyNode]:
    return Combine.PREPARE_CLASS_CLONE({"hidden_inputs": {io.Hidden.unique_id: "7"}})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # Two spaces are a line end in Markdown, and nothing on the canvas.
        ("one\ntwo", "one  \ntwo"),
        ("score 0.3 < 0.4 <= 1", "score 0.3 < 0.4 <= 1"),
        ("<img src=x onerror=alert()>", "< img src=x onerror=alert()>"),
        ("</b><!-- --><?x?>", "< /b>< !-- -->< ?x?>"),
        ("![cat](https://a.b/c.png)", "![cat] (https://a.b/c.png)"),
        ("[[450, 300]]", "[[450, 300]]"),
    ],
)
def test_no_text_is_code_for_a_frontend_and_line_ends_stay(server, node, text, shown):
    progress.show_text(node, text)
    assert server.sent == [(shown, "7", "tab")]


@pytest.mark.parametrize(
    ("times", "total", "said"),
    [
        # The first step, which encodes, does not count: 2 s each for the 61 that are left.
        ([30.0, 34.0], 64, ["8 x 8 clicks: about 122 s, by the first of them"]),
        ([30.0, 30.1], 64, []),
        ([30.0, 34.0], 3, []),
        ([30.0], 1, []),
    ],
)
def test_a_slow_work_says_how_long_it_will_take_by_its_first_steps(
    server, node, times, total, said
):
    forecast = progress.Forecast(node, "8 x 8 clicks", total, iter(times).__next__)
    for _ in range(min(total, 10)):
        forecast()
    assert [text for text, _, _ in server.sent] == said
