"""Remote Provider Segment: the same prompts and results, with somebody else's model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.errors import InputError
from ..core.pictures.thumbnails import result_pictures
from ..core.prompts.inputs import PromptInputs, read_prompts
from ..core.providers.batch import BatchRequest
from ..core.providers.credentials import load_profile, settings_state
from ..core.providers.paid import PaidAnswers
from ..core.providers.registry import PROVIDERS
from ..core.providers.runs import RunLimits, RunResult, segment, summary
from ..core.tensors import image_size
from .host import folders, progress, ui
from .remote_inputs import provider_input
from .results import ShownNode, describe, segment_result
from .sockets import CATEGORY, prompt_sockets, segment_outputs

NO_PROMPT = "no prompt: nothing was sent"

# Answers of this session, so that nothing is paid twice; bounded, and without images and keys.
_paid = PaidAnswers()


class RemoteProviderSegment(ShownNode):
    """Segments images with a remote provider, or with a server of your own."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereRemote",
            display_name="Remote Provider Segment",
            category=CATEGORY,
            description="Segments with a remote provider or your own server. Images are sent to "
            "it; what was paid for is kept for the session and not sent again.",
            search_aliases=["remote", "api", "segment", "fal", "segmind", "sam", "mask", "cloud"],
            inputs=[
                io.Image.Input("image", tooltip="One image or a batch; each image is a call."),
                provider_input(),
                io.Int.Input(
                    "concurrency",
                    default=4,
                    min=1,
                    max=16,
                    tooltip="How many calls may be under way at a time.",
                ),
                io.Int.Input(
                    "timeout",
                    default=300,
                    min=5,
                    max=3600,
                    tooltip="Seconds after which a call is given up, and its job cancelled.",
                ),
                io.Int.Input(
                    "force_new",
                    default=0,
                    min=0,
                    max=2**31 - 1,
                    tooltip="Equal requests of a session are answered from memory, for free. "
                    "Another number here sends them anew.",
                ),
                *prompt_sockets(),
            ],
            outputs=[
                *segment_outputs(),
                io.String.Output(
                    "info",
                    tooltip="JSON: provider, seconds, request ids, credits left, cost, labels.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs: Any) -> str:
        # What the environment and providers.toml say about addresses; the inputs count anyway.
        return json.dumps([ui.has_viewer(), settings_state(folders.user_folder())])

    @classmethod
    async def execute(
        cls,
        image: Tensor,
        provider: Mapping[str, Any] | None = None,
        concurrency: int = 4,
        timeout: int = 300,
        force_new: int = 0,
        positive_coords: str = "",
        negative_coords: str = "",
        bboxes: Any = None,
    ) -> io.NodeOutput:
        batch, height, width = image_size(image)
        options = dict(provider or {})
        inputs = PromptInputs(options.get("points") or "", positive_coords, negative_coords, bboxes)
        objects = read_prompts(inputs, batch, (height, width))
        asked = _batch_request(options, objects, str(force_new))
        hooks = progress.remote_hooks(cls, batch)
        limits = RunLimits(concurrency, float(timeout))
        result = await segment(image, asked, limits, hooks, _paid)
        info = json.dumps(summary(asked, result), ensure_ascii=False)
        pictures = result_pictures(image, result.segments)
        return segment_result(cls, result.segments, _text(asked, result), pictures, [info])


def _batch_request(options: Mapping[str, Any], objects: list, salt: str) -> BatchRequest:
    chosen = PROVIDERS.get(options.get("provider") or "")
    if chosen is None:
        raise InputError(
            f"provider: found {options.get('provider')!r}; accepted are {', '.join(PROVIDERS)}. "
            "Choose one."
        )
    profile = load_profile(chosen, options.get("profile") or "", folders.user_folder())
    return BatchRequest(chosen, profile, options, objects, salt)


def _text(asked: BatchRequest, result: RunResult) -> str:
    if not result.calls:
        return NO_PROMPT
    sent = sum(call.is_new for call in result.calls)
    parts = [describe(result.segments, 0), f"{asked.title}, {sent} sent"]
    if sent < len(result.calls):
        parts.append(f"{len(result.calls) - sent} from memory")
    credits = [call.info.credits_left for call in result.calls if call.info.credits_left]
    parts += [f"{credits[-1]} credits left"] if credits else []
    return ", ".join([*parts, f"{result.seconds:.1f} s"])
