"""The pack's own exceptions. Every message says what was found, what is accepted and what to do."""

from __future__ import annotations


class SegmentAnywhereError(Exception):
    """Base of all errors that are meant for the user to read."""


class InputError(SegmentAnywhereError, ValueError):
    """An image, mask or prompt that cannot be used."""


class CheckpointError(SegmentAnywhereError):
    """A weights file or folder that cannot be read, is not recognised or needs other libraries."""


class EngineError(SegmentAnywhereError):
    """A model that cannot run here, or produced no usable numbers."""


class EmbeddingGone(SegmentAnywhereError):
    """A preview of an image that is not, or no longer, encoded."""


class DownloadError(SegmentAnywhereError):
    """Weights that could not be fetched."""
