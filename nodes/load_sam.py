"""Load SAM: chooses a segmentation model; the weights load when a segment node first needs them."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.engines.precision import Precision
from . import model_choices
from .host import models
from .sockets import CATEGORY, SegmentModelSocket


class LoadSAM(io.ComfyNode):
    """Loads a segmentation model from disk, downloads one, or gives the built-in engine."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        choices = model_choices.options()
        return io.Schema(
            node_id="SegmentAnywhereLoadSAM",
            display_name="Load SAM",
            category=CATEGORY,
            description="Chooses the model that the segment nodes use. All nodes that choose the "
            "same file share one copy in memory.",
            search_aliases=[
                *("sam", "sam2", "sam 2.1", "sam3", "sam 3.1", "hq-sam", "sam_hq", "edgetam"),
                *("segment anything", "segment anything 2", "segment anything 3", "grabcut"),
                *("sam 2", "sam 3", "hq sam", "mobilesam", "mobile sam", "grab cut"),
                *("load segment model", "sam loader", "sam model loader", "segment anything model"),
            ],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=choices,
                    default=model_choices.usual_choice(choices, models.works_on_cpu()),
                    tooltip="Models on this machine, then those that a first run downloads, then "
                    "GrabCut, which is built in and rough. It starts on the best SAM that is here, "
                    "on a CPU on the best that is quick. The help page has folders, sizes and "
                    "licences.",
                ),
                io.Combo.Input(
                    "precision",
                    options=Precision,
                    default=Precision.AUTO,
                    tooltip="Number type of the image encoder. auto takes bf16 or fp16 where the "
                    "device is fast at it, else fp32. Masks are always decoded in fp32.",
                ),
            ],
            outputs=[SegmentModelSocket.Output("model", tooltip="For the segment nodes.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, model: str | None = None) -> bool | str:
        return model_choices.check(model)

    @classmethod
    def fingerprint_inputs(cls, model: str | None, precision: str | None) -> tuple:
        return (model_choices.fingerprint(model) if model is not None else None, precision)

    @classmethod
    def execute(cls, model: str, precision: str) -> io.NodeOutput:
        path = model_choices.fetch(model_choices.resolve(model), cls)
        return io.NodeOutput(models.segment_model(path, Precision(precision)))
