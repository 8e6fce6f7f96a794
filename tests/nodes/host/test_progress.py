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
