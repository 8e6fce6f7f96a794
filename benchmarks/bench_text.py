"""Text Segment: what further phrases, boxes and queries cost.

    python -m benchmarks.bench_text [--models grounding-dino clipseg ...] [--device cuda]

All models have the published sizes and random weights, in fp32. Times are medians in milliseconds.
The peer of a line is named in it; the memory is that of a fresh process, above what it had before.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from segment_anywhere.core.engines.detectors import clipseg, grounding_dino, owlv2
from segment_anywhere.core.engines.detectors.base import DetectorFolder
from segment_anywhere.core.engines.files.checkpoints import load_engine, read_weights
from segment_anywhere.core.engines.sam3 import engine as sam3
from segment_anywhere.core.engines.sam3.tokens import load_tokenizer
from segment_anywhere.core.engines.sam3.words import ConceptDetector
from segment_anywhere.core.prompts.phrases import read_query
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt
from segment_anywhere.core.tasks.segmenter import Embedder, Finder, MaskChoice, Segmenter
from segment_anywhere.core.tasks.words import draw_frame, draw_own
from torch import Tensor

from tests.support import word_models

from .bench_families import MODELS, write_checkpoint
from .harness import HEAD, ROOT, Row, alternate, memory, random_frames

HEIGHT, WIDTH = 768, 1024
FULL_HD = (1080, 1920)
PHRASES = ("dog", "red circle", "blue square", "a photo", "green dog")
BOXES = 50
# Of the queries' masks, so many are kept when memory is measured.
QUERIES, KEPT = 200, 3
SAM3_FIXTURE = ROOT / "tests" / "fixtures" / "sam3_parity"
_MEMORY_PROBE = """
from benchmarks import bench_text as bench
bench.print_peak({keeps_first!r})
"""


def _grounding_dino(folder: Path, dtype: torch.dtype) -> Finder:
    import transformers as tf

    word_models.write_bert_tokenizer(folder)
    model = tf.GroundingDinoForObjectDetection(tf.GroundingDinoConfig())
    return _finder(grounding_dino, model, folder, dtype)


def _owlv2(folder: Path, dtype: torch.dtype) -> Finder:
    import transformers as tf

    word_models.write_clip_tokenizer(folder, word_models.WORDS, 16)
    vision = {"image_size": 960, "patch_size": 16}
    model = tf.Owlv2ForObjectDetection(tf.Owlv2Config(vision_config=vision))
    return _finder(owlv2, model, folder, dtype)


def _clipseg(folder: Path, dtype: torch.dtype) -> Finder:
    import transformers as tf

    word_models.write_clip_tokenizer(folder, word_models.WORDS, 77)
    config = tf.CLIPSegConfig(use_complex_transposed_convolution=True)
    return _finder(clipseg, tf.CLIPSegForImageSegmentation(config), folder, dtype)


def _finder(module: object, model: torch.nn.Module, folder: Path, dtype: torch.dtype) -> Finder:
    import transformers as tf

    parts = DetectorFolder(model, tf.AutoTokenizer.from_pretrained(folder), {})
    detector = module.DETECTOR(parts, dtype)
    return Finder(Embedder(detector), detector)


def _sam3(folder: Path, dtype: torch.dtype) -> Finder:
    entries = 49408
    word_models.write_clip_tokenizer(folder, word_models.WORDS, 32)
    tokenizer = load_tokenizer([folder])
    tokenizer._pairs.add_tokens([f"<{index}>" for index in range(entries - len(tokenizer))])
    engine = load_engine(write_checkpoint(MODELS["sam3"], folder), dtype)
    return Finder(Segmenter(engine), ConceptDetector(engine, tokenizer))


FINDERS: dict[str, Callable[[Path, torch.dtype], Finder]] = {
    "grounding-dino": _grounding_dino,
    "owlv2": _owlv2,
    "clipseg": _clipseg,
    "sam3": _sam3,
}


def phrase_rows(finder: Finder, device: torch.device, repeats: int) -> list[Row]:
    """One phrase and five, on a new image and on one that is known.

    Nothing scores 1, so that what is drawn of the objects does not count.
    """
    engine = finder.embedder.engine
    engine.module.to(device)
    frame = torch.from_numpy(random_frames(1, HEIGHT, WIDTH)[0]).float() / 255
    encodes = []

    def ask_anew(phrases: tuple[str, ...], repeat: int) -> None:
        fresh = Finder(Embedder(engine), finder.detector)
        fresh.find(frame, phrases, 1.0)
        encodes.append(fresh.embedder.counters.encodes)

    def ask_again(repeat: int) -> None:
        finder.find(frame, PHRASES[:1], 1.0)

    one, five = (functools.partial(ask_anew, phrases) for phrases in (PHRASES[:1], PHRASES))
    single, several, known = alternate(repeats, one, five, ask_again, device=device)
    if set(encodes) != {1}:
        raise AssertionError(f"encodes per new image: {sorted(set(encodes))}, expected 1")
    return [
        Row("one phrase, new image", single),
        Row("five phrases, new image (peer: one phrase)", several, single),
        Row("one phrase, known image (peer: new image)", known, single),
        Row("encodes per new image, five phrases", encodes[1], unit="times"),
    ]


def box_rows(device: torch.device, repeats: int) -> list[Row]:
    """SAM 2.1 tiny: all boxes of a frame at once beside one box, on a known and a new image."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_checkpoint(MODELS["sam2-tiny"], Path(folder))
        engine = load_engine(path, torch.float32)
        engine.module.to(device)
        segmenter = Segmenter(engine)
    frame = torch.from_numpy(random_frames(1, HEIGHT, WIDTH)[0]).float() / 255
    corners = torch.rand(BOXES, 2, generator=torch.Generator().manual_seed(0)) * 500
    prompts = [ObjectPrompt("", box=Box(x, y, x + 200, y + 150)) for x, y in corners.tolist()]

    def draw(count: int, repeat: int) -> None:
        segmenter.find(segmenter.embed(frame), prompts[:count], MaskChoice.BEST)

    def encode(repeat: int) -> None:
        engine.encode(frame)

    many, one = (functools.partial(draw, count) for count in (BOXES, 1))
    many, one, encoding = alternate(repeats, many, one, encode, device=device)
    return [
        Row(f"{BOXES} boxes, known image (peer: one box)", many, one),
        Row(f"{BOXES} boxes, new image (peer: one box)", encoding + many, encoding + one),
    ]


def memory_row() -> Row:
    """From words to masks at 1080p, beside bringing all queries' masks to that size first."""
    ours, peer = (_peak(keeps_first) for keeps_first in (True, False))
    name = f"peak memory, {KEPT} of {QUERIES} kept (peer: all upsampled)"
    return Row(name, ours / 2**20, peer / 2**20, "MiB")


def _peak(keeps_first: bool) -> float:
    code = _MEMORY_PROBE.format(keeps_first=keeps_first)
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return float(run.stdout.split()[-1])


@torch.inference_mode()
def print_peak(keeps_first: bool) -> None:
    """Find and draw in a SAM 3 that is narrow, but has all queries, at its full 1008 pixels.

    keeps_first: our way; else as ComfyUI's own node does, which brings every mask to the image's
    size before it looks at the scores. Prints the bytes by which this raised the process's peak.
    """
    finder = _narrow_sam3()
    frame = torch.from_numpy(random_frames(1, *FULL_HD)[0]).float() / 255
    _, (every,) = finder.find(frame, PHRASES[:1], 0.0)
    threshold = float(every.scores[KEPT - 1 : KEPT + 1].mean())
    query = read_query(PHRASES[0], "", threshold, 0)
    del every
    # Writing 5 there sets the peak back to what is used now (proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    _, before = memory()
    if keeps_first:
        ((seen, found),) = finder.find_all([(0, frame)], query.all_phrases, threshold)
        masks = draw_frame(found, query, seen, draw_own).instances
    else:
        masks = _upsample_all(finder, frame, threshold)
    if len(masks) != KEPT:
        raise AssertionError(f"{len(masks)} masks are kept, expected {KEPT}")
    print(memory()[1] - before)


def _upsample_all(finder: Finder, frame: Tensor, threshold: float) -> list[Tensor]:
    _, (found,) = finder.find(frame, PHRASES[:1], 0.0)
    masks = F.interpolate(found.logits[:, None], size=FULL_HD, mode="bilinear")[:, 0]
    return list((masks[found.scores >= threshold] > 0).to(torch.uint8) * 255)


def _narrow_sam3() -> Finder:
    """The fixture of the tests with ten times its queries."""
    state = read_weights(SAM3_FIXTURE / "checkpoint.pt")
    generator = torch.Generator().manual_seed(0)
    for name in ("query_embed", "reference_points"):
        key = f"detector.transformer.decoder.{name}.weight"
        state[key] = torch.randn((QUERIES, state[key].shape[1]), generator=generator)
    engine = sam3.from_official(state, torch.float32)
    return Finder(Segmenter(engine), ConceptDetector(engine, load_tokenizer([SAM3_FIXTURE])))


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="*", choices=FINDERS, default=list(FINDERS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    device = torch.device(args.device)
    print(
        f"torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, fp32, "
        f"image {HEIGHT}x{WIDTH}"
    )
    print(f"\n{'SAM 2.1 tiny, SAM 3':<44}{HEAD}")
    for row in (*box_rows(device, args.repeats), memory_row()):
        print(row)
    for name in args.models:
        with tempfile.TemporaryDirectory() as folder:
            print(f"\n{name:<44}{HEAD}")
            for row in phrase_rows(
                FINDERS[name](Path(folder), torch.float32), device, args.repeats
            ):
                print(row)


if __name__ == "__main__":
    main()
