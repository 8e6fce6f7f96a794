"""The whole of every model on devices that refuse more than CUDA does: Apple's and Intel's.

What they refuse is known, and that nothing of it is asked of them shows on a CPU. That their own
kernels are right does not.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from segment_anywhere.core import tensors
from segment_anywhere.core.engines.base import Encoder
from segment_anywhere.core.engines.detectors.base import load_detector
from segment_anywhere.core.engines.matting.vitmatte import VitMatte
from segment_anywhere.core.engines.precision import Precision, encoder_dtype
from segment_anywhere.core.engines.sam3.tokens import load_tokenizer
from segment_anywhere.core.engines.sam3.words import ConceptDetector
from segment_anywhere.core.masks.refine import Edge, Refinement, refine
from segment_anywhere.core.pictures.crops import resize
from segment_anywhere.core.prompts.prompts import Box, ObjectPrompt, Point
from segment_anywhere.core.tasks.everything import GridSettings, segment_everything
from segment_anywhere.core.tasks.matting import Matter
from segment_anywhere.core.tasks.segmenter import Finder, MaskChoice, Segmenter, WordEmbedder

from tests.support.clip_reference import ClipReference, clip_frames, follow
from tests.support.engines import MODELS
from tests.support.matting_models import small_vitmatte
from tests.support.needs import needs_sam3
from tests.support.paths import FIXTURES
from tests.support.predictor_cases import Reference
from tests.support.pretended import DEVICE, MPS, XPU, Pretended, Rules, copies, placed
from tests.support.scenes import draw_scene
from tests.support.word_models import MAKERS

FRAME = torch.from_numpy(draw_scene(500, 96).image[:72])
MASK = (FRAME[..., 0] > 0.5).float()
PROMPTS = [
    ObjectPrompt("pair", (Point(20, 30), Point(50, 10, positive=False))),
    ObjectPrompt("box and click", (Point(20, 30),), Box(10, 5, 60, 40)),
    ObjectPrompt("mask", mask=MASK),
]
PHRASES = ["green triangle", "white cross"]
DEVICES = {"mps": (MPS, torch.float16), "xpu": (XPU, torch.bfloat16)}


@pytest.fixture(params=DEVICES)
def device(request, monkeypatch) -> tuple[Rules, torch.dtype]:
    """A device's rules and the number type of encoders on it."""
    monkeypatch.setattr(torch.xpu, "is_bf16_supported", lambda: True)
    rules, dtype = DEVICES[request.param]
    assert encoder_dtype(Precision.AUTO, torch.device(request.param)) is dtype
    # The pretended device stands for it, with what the pack decides by its type.
    if request.param in tensors.HOST_RESIZES:
        monkeypatch.setattr(tensors, "HOST_RESIZES", {DEVICE.type})
    return rules, dtype


@pytest.mark.parametrize("family", MODELS)
def test_prompts_and_everything(family, device):
    rules, dtype = device
    segmenter = Segmenter(placed(Reference(FIXTURES / f"{family}_parity").engine(dtype)))
    with copies(rules):
        found = segmenter.segment(FRAME.to(DEVICE), PROMPTS, MaskChoice.BEST)
        regions = segment_everything(segmenter, FRAME, GridSettings(2, 0.0, 0.0))
    assert len(found) == len(PROMPTS) and regions


@pytest.mark.parametrize("family", ["sam2", "edgetam"])
def test_a_clip(family, device):
    rules, dtype = device
    reference = ClipReference(FIXTURES / f"{family}_video_parity")
    engine, images = reference.engine(dtype), reference.images()[:3]
    mask = ObjectPrompt("mask", mask=(images[0, ..., 0] > 0.5).float())
    placed(engine)
    with copies(rules):
        frames = clip_frames(engine, images.to(DEVICE))
        session = engine.track(len(frames))
        session.start(frames[0], {1: PROMPTS[0], 2: mask})
        session.correct(frames[1], {1: PROMPTS[1]})
        assert follow(session, frames, [1, 2]).shape[:2] == (2, len(frames))


def _words(encoder: Encoder, finder: Finder, rules: Rules) -> None:
    placed(encoder)
    with copies(rules):
        _, found = finder.find(FRAME.to(DEVICE), PHRASES, 0.01)
    assert len(found) == len(PHRASES)


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "florence2"])
def test_detectors(name, device, tmp_path):
    rules, dtype = device
    MAKERS[name](tmp_path / name)
    detector = load_detector(tmp_path / name, dtype)
    _words(detector, Finder(WordEmbedder(detector), detector), rules)


@needs_sam3
def test_words_of_sam3(device):
    rules, dtype = device
    segmenter = Segmenter(Reference(FIXTURES / "sam3_parity").engine(dtype))
    tokenizer = load_tokenizer([FIXTURES / "sam3_parity"])
    detector = ConceptDetector(segmenter.engine, tokenizer)
    _words(segmenter.engine, Finder(segmenter, detector), rules)


@pytest.mark.parametrize("size", [(40, 50), (200, 300)])
@pytest.mark.parametrize("work", ["mask", "picture"])
def test_resizing(work, size, device):
    """Done elsewhere where it has to be, it gives the same numbers."""
    rules, _ = device
    with copies(rules):
        if work == "mask":
            found = tensors.resize_mask(MASK[None].to(DEVICE), size)
        else:
            found = resize(FRAME.to(DEVICE), size)
        assert found.device == DEVICE
        found = found.cpu()
    expected = tensors.resize_mask(MASK[None], size) if work == "mask" else resize(FRAME, size)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("edge", [Edge.GUIDED, Edge.MATTING])
def test_a_refined_mask(edge, device):
    rules, dtype = device
    settings = Refinement(expand=2.0, smooth=3.0, feather=1.5, edge=edge)
    model = placed(VitMatte(small_vitmatte(), {}, dtype))
    with copies(rules):
        edges = Matter(model).edges(12.0)
        found = refine(MASK[None].to(DEVICE), settings, FRAME[None].to(DEVICE), edges)
        assert found.device == DEVICE
    assert found.shape == (1, *MASK.shape)


def test_the_rules_refuse():
    """Else nothing above could fail."""
    ours = Pretended(MASK[None, None])
    with copies(MPS):
        with pytest.raises(TypeError, match="Cannot convert a MPS Tensor to torch.float64"):
            ours.double()
        with pytest.raises(TypeError, match="float64"):
            torch.zeros(3, dtype=torch.float64).to(DEVICE)
        with pytest.raises(NotImplementedError, match="upsample_bilinear2d_aa.*MPS"):
            F.interpolate(ours, (9, 9), mode="bilinear", antialias=True)
        F.interpolate(ours, (9, 9), mode="bilinear")
        # A number of 64 bits on the host is none of the device's.
        assert (ours * torch.tensor(2.0, dtype=torch.float64)).dtype is torch.float32
    with copies(XPU), pytest.raises(TypeError, match="XPU Tensor"):
        ours.double()
