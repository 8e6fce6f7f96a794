"""A small V3 pack and a graph of its nodes, for runs without ComfyUI."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from headless.graph import Graph, parse_graph
from headless.sinks.files import NodeResult
from headless.sources.units import Source

PACK = """
from __future__ import annotations

import asyncio
from pathlib import Path

if __package__:
    import torch
    from comfy_api.latest import ComfyExtension, io

    from .inner import LOG

    def note(name):
        with LOG.open("a") as log:
            log.write(name + "\\n")

    class Load(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(
                node_id="T_Load", inputs=[io.Combo.Input("model", options=["small", "large"])],
                outputs=[io.Custom("T_MODEL").Output()], hidden=[io.Hidden.unique_id],
            )

        @classmethod
        def fingerprint_inputs(cls, model):
            return LOG.with_name("weights").stat().st_mtime_ns

        @classmethod
        def execute(cls, model):
            note(f"load {model} {cls.hidden.unique_id}")
            return io.NodeOutput(model)

    class Segment(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(
                node_id="T_Segment",
                inputs=[
                    io.Custom("T_MODEL").Input("model"),
                    io.Image.Input("image"),
                    io.Float.Input("threshold", default=0.5, min=0, max=1),
                    io.DynamicCombo.Input("provider", options=[
                        io.DynamicCombo.Option("a", [io.String.Input("prompt")]),
                        io.DynamicCombo.Option("b", []),
                    ]),
                    io.String.Input("points", default="", optional=True),
                ],
                outputs=[io.Mask.Output("mask"), io.String.Output("info")],
            )

        @classmethod
        def validate_inputs(cls, points="", provider=None):
            return True if points != "bad" else "points: found 'bad', accepted is a JSON list"

        @classmethod
        async def execute(cls, model, image, threshold, provider, points=""):
            await asyncio.sleep(0)
            note("segment")
            if points == "boom":
                raise RuntimeError("out of\\nmemory")
            assert torch.is_inference_mode_enabled()
            mask = (image[..., 0] > threshold).float()
            return io.NodeOutput(mask, f"{model} {sorted(provider.items())} {points}")

    class Any(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(
                node_id="T_Any",
                inputs=[io.Int.Input("number", default=1)],
                outputs=[io.String.Output("info")],
                accept_all_inputs=True,
            )

        @classmethod
        def execute(cls, number, **others):
            return io.NodeOutput(f"{number!r} {sorted(others.items())}")

    class Pack(ComfyExtension):
        async def on_load(self):
            note("on_load")

        async def get_node_list(self):
            return [Load, Segment, Any]

    async def comfy_entrypoint():
        return Pack()
"""


def log(pack: Path) -> list[str]:
    """What the pack has done, a line each."""
    path = pack / "log"
    return path.read_text().splitlines() if path.exists() else []


def graph(**changes: object) -> Graph:
    """An image through the pack's two nodes; changes: other inputs of T_Segment."""
    segment = {"model": ["2", 0], "image": ["1", 0], "threshold": 0.5, "provider": "b"}
    return parse_graph(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": ""}},
            "2": {"class_type": "T_Load", "inputs": {"model": "small"}},
            "3": {"class_type": "T_Segment", "inputs": {**segment, **changes}},
            "4": {"class_type": "MaskPreview", "inputs": {"mask": ["3", 0]}},
            "5": {"class_type": "PreviewAny", "inputs": {"source": ["3", 1]}},
        },
        "test",
    )


def photo(
    path: Path, color: str = "white", mode: str = "RGB", size: tuple = (6, 4), tail: bytes = b""
) -> Path:
    """Write a picture of one colour, (width, height); tail: bytes after it, which nobody reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)
    path.write_bytes(path.read_bytes() + tail)
    return path


def given(path: Path) -> Source:
    """A picture as a run gets it."""
    return Source(str(path))


def pixels(result: NodeResult, frame: int = 0) -> np.ndarray:
    """A picture of a result, [H, W, 3] or [H, W] uint8."""
    return np.asarray(Image.open(io.BytesIO(result.files[frame].data)))
