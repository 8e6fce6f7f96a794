"""One real call to every provider whose key is set, with a report of what came back.

    make providers-check        (or: python -m tools.providers_check [--out FOLDER] [PROVIDER ...])

Each call may cost money. The report has the result as a picture, and the shape of the raw answer
(names, types and lengths, no contents), which is what the documents leave open. No key is in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from segment_anywhere.core.errors import SegmentAnywhereError
from segment_anywhere.core.pictures.thumbnails import result_pictures
from segment_anywhere.core.prompts.prompts import ObjectPrompt, Point
from segment_anywhere.core.providers.batch import BatchRequest
from segment_anywhere.core.providers.contract import Provider
from segment_anywhere.core.providers.credentials import load_profile
from segment_anywhere.core.providers.failures import key_names
from segment_anywhere.core.providers.journal import Journal
from segment_anywhere.core.providers.masks import picture_format
from segment_anywhere.core.providers.registry import PROVIDERS
from segment_anywhere.core.providers.reports import summary
from segment_anywhere.core.providers.runs import Hooks, segment
from segment_anywhere.core.providers.scheduler import RunLimits
from segment_anywhere.core.providers.wire import Answer

from headless.local.pack import host_dirs

from . import ROOT

PHOTO = ROOT / "workflows" / "images" / "dahlia.jpg"
FLOWER = ObjectPrompt("flower", (Point(310, 215),))
_USER_FOLDER = "__segment_anywhere"


@dataclass(frozen=True)
class Check:
    """One provider's outcome: a line for the terminal, and a section for the report."""

    provider: Provider
    is_fine: bool
    text: str
    details: str = ""


def photo() -> torch.Tensor:
    """The photograph of the demo: IMAGE [1, 427, 640, 3]."""
    pixels = np.asarray(Image.open(PHOTO).convert("RGB"), np.float32) / 255
    return torch.from_numpy(pixels)[None]


def shape(value: Any) -> Any:
    """The shape of a JSON value: names stay, contents become their type and length."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [f"{len(value)} of", shape(value[0])] if value else []
    if isinstance(value, str):
        # The beginning tells gzip from COCO, and an address from Base64.
        return f"text of {len(value)}, begins with {value[:10]!r}"
    return type(value).__name__


def describe(answer: Answer) -> str:
    """What an answer looks like, as text for the report."""
    lines = [f"status {answer.status}, {answer.content_type}, {len(answer.body):,} bytes"]
    lines.append("headers: " + ", ".join(sorted(answer.headers)))
    kind = picture_format(answer.body)
    if kind is not None:
        lines.append(f"a {kind} picture")
    else:
        try:
            lines.append(json.dumps(shape(json.loads(answer.body)), indent=2, ensure_ascii=False))
        except ValueError:
            lines.append("neither a picture nor JSON")
    return "\n".join(lines)


def check(provider: Provider, folder: Path, out: Path) -> Check:
    """Make the call and write its picture; never raises for what a provider does."""
    paid = Journal()
    try:
        name = "openai" if provider.key == "custom" else ""
        profile = load_profile(provider, name, folder)
        takes_text = provider.features({}, profile).text
        options = {"prompt": "flower"} if takes_text else {}
        asked = BatchRequest(provider, profile, options, [[] if takes_text else [FLOWER]])
        hooks = Hooks(lambda: None, lambda done, total, text: None)
        result = asyncio.run(segment(photo(), asked, RunLimits(), hooks, paid))
    except SegmentAnywhereError as error:
        return Check(provider, False, str(error), _answers(paid))
    (picture,) = result_pictures(photo(), result.segments)
    (out / f"{provider.key}.jpg").write_bytes(picture)
    told = json.dumps(summary(asked, result), indent=2, ensure_ascii=False)
    text = f"objects found: {len(result.segments)}, in {result.seconds:.1f} s"
    return Check(provider, True, text, f"{told}\n\n{_answers(paid)}")


def _answers(paid: Journal) -> str:
    return "\n\n".join(describe(each.answer) for each in paid.results())


def has_key(provider: Provider, folder: Path) -> bool:
    """Whether a call can be made; a custom server counts where its address was set."""
    try:
        profile = load_profile(provider, "openai" if provider.key == "custom" else "", folder)
    except SegmentAnywhereError:
        return False
    return bool(profile.key) or profile.url != provider.url


def report(checks: list[Check]) -> str:
    """The report in Markdown."""
    parts = ["# What the providers answered", ""]
    for each in checks:
        verdict = "works" if each.is_fine else "failed"
        parts += [f"## {each.provider.title}: {verdict}", "", each.text, ""]
        if each.details:
            parts += ["```", each.details, "```", ""]
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("providers", nargs="*", choices=[[], *PROVIDERS], metavar="PROVIDER")
    parser.add_argument("--out", type=Path, default=ROOT / "providers-check")
    chosen = parser.parse_args(arguments)
    folder = host_dirs(None, chosen.out).user / _USER_FOLDER
    wanted = [PROVIDERS[key] for key in chosen.providers or PROVIDERS]
    ready = [provider for provider in wanted if has_key(provider, folder)]
    for provider in wanted:
        if provider not in ready:
            print(f"{provider.title}: not checked; set {_what_to_set(provider)}")
    if not ready:
        return 0
    chosen.out.mkdir(parents=True, exist_ok=True)
    checks = []
    for provider in ready:
        checks.append(check(provider, folder, chosen.out))
        print(f"{provider.title}: {checks[-1].text}")
    path = chosen.out / "report.md"
    path.write_text(report(checks), encoding="utf-8")
    print(path)
    return 0 if all(each.is_fine for each in checks) else 1


def _what_to_set(provider: Provider) -> str:
    if provider.key == "custom":
        return "SEGMENT_ANYWHERE_CUSTOM_URL to the address of a server in the openai dialect"
    return key_names(provider)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
