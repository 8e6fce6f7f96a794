"""Puts weights into transformers' model classes: nothing missing, nothing unknown, no copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ...errors import CheckpointError
from ...libraries import install_sentence


def classes(family: str, model_class: str, release: str) -> Any:
    """transformers, which has the model classes; CheckpointError where it is too old for them.

    family: the model's name for the message. release: the first one with `model_class`, of those
    that the tests run on.
    """
    import transformers

    found = transformers.__version__
    if not hasattr(transformers, model_class) or _numbers(found) < _numbers(release):
        # No further than the model needs: other packs of the user may not know the next one yet.
        raise CheckpointError(
            f"{family} needs transformers {release} or newer; found {found}. "
            f"{install_sentence(f'transformers~={release}')}"
        )
    return transformers


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".")[:2])


def adopt_weights(model: nn.Module, state: Mapping[str, Tensor], family: str) -> None:
    """Make the tensors the parameters of a model made on the meta device.

    Raises CheckpointError for missing and unknown weights and for other shapes.
    """
    expected = set(model.state_dict())
    for name, keys in (("missing", expected - state.keys()), ("unknown", state.keys() - expected)):
        if keys:
            raise CheckpointError(
                f"{family} checkpoint: {name} weights: {len(keys)}, the first is {min(keys)}. The "
                "file is incomplete or of another model; download it again or choose another one."
            )
    try:
        model.load_state_dict(dict(state), strict=True, assign=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"{family} checkpoint: a weight has an unexpected shape. {error}"
        ) from error
