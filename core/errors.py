"""The pack's own exceptions. Every message says what was found, what is accepted and what to do.

    SegmentAnywhereError    what the user is meant to read; a node's run ends with it
    |-- InputError          an image, mask, prompt or setting: tensors, segs, prompts, results,
    |                       masks, pictures, tasks, engines/families, engines/detectors, the choices
    |                       of nodes, and providers before anything is sent
    |-- CheckpointError     weights and their folders: engines, nodes/host/models
    |-- EngineError         a model at work: engines, tasks/segmenter, tasks/matting
    |-- MissingLibrary      opencv, providers/runs: something that pip installs
    |-- EmbeddingGone       tasks/live_preview; the preview's route answers 409
    |-- DownloadError       engines/files/downloads
    `-- ProviderError       providers/contract: keys and profiles, and what failed in a whole run

Others are where they are caught, and never reach a node:

    CallFailed              providers/wire: one call failed; providers/runs tells of them all
    WorkflowError           headless/errors: the command line's own, since core needs PyTorch and a
    |                       run on a server does not
    `-- Unreachable         headless/remote/client: no answer at all
    HttpAnswer              headless/remote/client: an error status; headless/remote/runner reads it
"""

from __future__ import annotations


class SegmentAnywhereError(Exception):
    """Base of all errors that are meant for the user to read."""


class InputError(SegmentAnywhereError, ValueError):
    """An image, mask or prompt that cannot be used."""


class CheckpointError(SegmentAnywhereError):
    """A weights file or folder that cannot be read, is not recognised or needs other libraries."""


class EngineError(SegmentAnywhereError):
    """A model that cannot run here, or produced no usable numbers."""


class MissingLibrary(SegmentAnywhereError):
    """A library that is not installed, or does not start."""


class EmbeddingGone(SegmentAnywhereError):
    """A preview of an image that is not, or no longer, encoded."""


class DownloadError(SegmentAnywhereError):
    """Weights that could not be fetched."""
