"""Load SAM: chooses a segmentation model; the weights load when a segment node first needs them."""

from __future__ import annotations

from comfy_api.latest import io

from ..core.engines.precision import Precision
from . import model_choices
from .host import models
from .model_choices import SAM_MODELS, and_list
from .sockets import CATEGORY, SegmentModelSocket


class LoadSAM(io.ComfyNode):
    """Loads a segmentation model from disk, downloads one, or gives the built-in engine."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        places = and_list([f"models/{folder}" for folder in SAM_MODELS.folders])
        return io.Schema(
            node_id="SegmentAnywhereLoadSAM",
            display_name="Load SAM",
            category=CATEGORY,
            description="Chooses the model that the segment nodes use. All nodes that choose the "
            "same file share one copy in memory.",
            search_aliases=[
                *("sam", "sam2", "sam 2.1", "sam3", "sam 3.1", "hq-sam", "sam_hq", "edgetam"),
                *("segment anything", "segment anything 2", "segment anything 3", "grabcut"),
                *("mobilesam", "load segment model", "sam loader", "sam model loader"),
            ],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=model_choices.options(),
                    default=SAM_MODELS.first,
                    tooltip="The built-in engine needs no download. Files and folders come from "
                    f"{places}, SAM 3 from models/checkpoints too. Entries marked with download "
                    f"are fetched the first time they run: {model_choices.downloads()}.",
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
