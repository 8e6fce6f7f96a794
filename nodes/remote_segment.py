"""Remote Provider Segment: the same prompts and results, with somebody else's model."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..core.errors import InputError
from ..core.pictures.thumbnails import result_pictures
from ..core.prompts.inputs import PromptInputs, read_prompts
from ..core.providers.batch import BatchRequest
from ..core.providers.contract import Profile, Provider
from ..core.providers.credentials import journal_path, load_profile, settings_state
from ..core.providers.fields import POINTS
from ..core.providers.images import own_pictures
from ..core.providers.journal import open_journal
from ..core.providers.registry import PROVIDERS
from ..core.providers.reports import RunResult, summary
from ..core.providers.runs import segment
from ..core.providers.scheduler import RunLimits
from ..core.providers.wire import READ_AS, Reading
from ..core.results.segments import Segments
from ..core.tensors import image_size
from .editor_state import unpreviewed_state
from .host import folders, progress, ui
from .remote_inputs import provider_input
from .results import ShownNode, describe, log_line, segment_result, with_note
from .sockets import CATEGORY, prompt_sockets, segment_outputs

# Between commas, spaces or line ends; equal images have equal ids.
_ID = re.compile(r"[^\s,，]+")
NO_PROMPT = "no prompt: nothing was sent"


class RemoteProviderSegment(ShownNode):
    """Segments images with a remote provider, or with a server of your own."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SegmentAnywhereRemote",
            display_name="Remote Provider Segment",
            category=CATEGORY,
            description="Segments with a remote provider or your own server. Images are sent to "
            "it; what was paid for is kept on this machine and not sent again.",
            search_aliases=[
                *("remote", "api", "cloud", "segment", "mask", "sam", "sam2", "sam3", "evf-sam"),
                *("fal", "fal.ai", "segmind", "moark", "gitee", "gitee ai", "birefnet"),
                *("ai refinery", "airefinery", "accenture", "imagineo", "imagineoai"),
                *("segment anything", "sam api", "remote sam"),
                *("roboflow", "hugging face", "huggingface", "openai", "custom server"),
            ],
            inputs=[
                io.Image.Input(
                    "image", tooltip="One image or a batch; each image is a call, and each phrase."
                ),
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
                    tooltip="Seconds after which a call is not waited for any more. What was sent "
                    "by then still ends in the journal, for the next run.",
                ),
                io.Int.Input(
                    "force_new",
                    default=0,
                    min=0,
                    max=2**31 - 1,
                    tooltip="Equal requests are answered by what is kept, for free. Another number "
                    "here sends them anew.",
                ),
                *prompt_sockets(),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Lowest score that counts. A provider without scores gives 1.",
                ),
                io.Int.Input(
                    "max_objects",
                    display_name="max_objects (0: all)",
                    default=0,
                    min=0,
                    max=1000,
                    optional=True,
                    tooltip="Most objects per phrase and image, the best first; 0 for all.",
                ),
                io.String.Input(
                    "negative_prompt",
                    default="",
                    optional=True,
                    tooltip="What to take away, in words. A provider that cannot do so itself is "
                    "asked for it in one more call per phrase and image.",
                ),
                io.Combo.Input(
                    "read_as",
                    options=list(READ_AS),
                    default=Reading.AUTO,
                    optional=True,
                    advanced=True,
                    tooltip="How a picture in the answer shows the mask. auto: as the provider "
                    "says, else by its looks; alpha: by transparency; luma: by brightness; "
                    "difference: where it differs from the image. Reading anew costs nothing.",
                ),
                io.Int.Input(
                    "max_calls",
                    display_name="max_calls (0: any)",
                    default=0,
                    min=0,
                    max=100_000,
                    optional=True,
                    advanced=True,
                    tooltip="Most calls that a run may send: a run that needs more is refused "
                    "before the first. 0 for any number. Answers that are kept do not count.",
                ),
                io.Boolean.Input(
                    "wait",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip="Off: only submits jobs and ends, with their ids in info; another run "
                    "collects what is done. For providers with a queue, such as fal.",
                ),
                io.String.Input(
                    "resume",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Ids of jobs that were paid for, separated by commas, one for each "
                    "call: their results are fetched, and nothing is sent.",
                ),
            ],
            outputs=[
                *segment_outputs(),
                io.String.Output(
                    "info",
                    tooltip="JSON: provider, seconds, request ids, credits left, cost, labels.",
                ),
                io.Image.Output(
                    "picture",
                    tooltip="The provider's own picture for each image, where it sends one, such "
                    "as a cut-out or the image with the object highlighted; else the image.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, wait: bool = True, **inputs: Any) -> str:
        # What the environment and providers.toml say about addresses; the inputs count anyway.
        state = [ui.has_viewer(), settings_state(folders.user_folder())]
        # Jobs that were left alone may be done by now.
        return json.dumps([*state, time.time_ns()] if wait is False else state)

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
        threshold: float = 0.0,
        max_objects: int = 0,
        negative_prompt: str = "",
        read_as: str = Reading.AUTO,
        max_calls: int = 0,
        wait: bool = True,
        resume: str = "",
    ) -> io.NodeOutput:
        batch, height, width = image_size(image)
        options = dict(provider or {})
        inputs = PromptInputs(options.get("points") or "", positive_coords, negative_coords, bboxes)
        has_words = bool(str(options.get("prompt") or "").strip())
        objects = read_prompts(inputs, batch, (height, width), has_words)
        chosen, profile = _provider(options)
        asked = BatchRequest(
            chosen,
            profile,
            options,
            objects,
            salt=str(force_new),
            unwanted=negative_prompt,
            threshold=threshold,
            max_objects=max_objects,
            read_as=Reading(read_as),
            max_calls=max_calls,
            waits=wait,
            resume=tuple(_ID.findall(resume)),
        )
        limits = RunLimits(concurrency, float(timeout))
        journal = open_journal(journal_path(folders.user_folder()))
        hooks = progress.remote_hooks(cls, batch)
        result = await segment(image, asked, limits, hooks, journal)
        info = json.dumps(summary(asked, result), ensure_ascii=False)
        shown = result_pictures(image, result.segments)
        outputs = [info, own_pictures(image, result.pictures)]
        editor = _editor_state(asked, image, result.segments, shown)
        text = _text(asked, result)
        log_line("Remote Provider Segment", text, is_idle=not result.calls)
        # In place of what it said while it ran, also where the editor has a line of its own.
        progress.show_text(cls, text)
        return segment_result(cls, result.segments, text, shown, outputs, editor)


def _editor_state(
    asked: BatchRequest, image: Tensor, segments: Segments, pictures: Iterable[bytes]
) -> dict[str, Any] | None:
    """What the editor shows of a batch's first image, where the provider has points; else None."""
    if POINTS.name not in {field.name for field in asked.provider.fields}:
        return None
    return unpreviewed_state(image, asked.options.get(POINTS.name) or "", segments, pictures)


def _provider(options: Mapping[str, Any]) -> tuple[Provider, Profile]:
    """The chosen provider, and where and as whom it is called."""
    chosen = PROVIDERS.get(options.get("provider") or "")
    if chosen is None:
        raise InputError(
            f"provider: found {options.get('provider')!r}; accepted are {', '.join(PROVIDERS)}. "
            "Choose one."
        )
    return chosen, load_profile(chosen, options.get("profile") or "", folders.user_folder())


def _text(asked: BatchRequest, result: RunResult) -> str:
    if not result.calls:
        return NO_PROMPT
    pending = sum(call.is_pending for call in result.calls)
    sent = sum(call.is_new for call in result.calls)
    kept = sum(not call.is_new and not call.is_pending for call in result.calls)
    found = with_note(describe(result.segments, 0), asked.objects)
    parts = [found, f"{asked.title}, {sent} sent"]
    parts += [f"{kept} answered already"] if kept else []
    jobs = "1 job" if pending == 1 else f"{pending} jobs"
    parts += [f"{jobs} under way: run again to collect"] if pending else []
    credits = [call.info.credits_left for call in result.calls if call.info.credits_left]
    parts += [f"{credits[-1]} credits left"] if credits else []
    return ", ".join([*parts, f"{result.seconds:.1f} s"])
