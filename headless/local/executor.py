"""Runs a graph node by node and keeps each node's last result for the next run."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import PictureError, WorkflowError
from ..graph import Graph, Node
from ..schema import check_constants, expand_spec
from . import calls

ANY_TYPE = "*"
# In what PyTorch, OpenCV and C++ say of it.
_ALLOCATION = ("DefaultCPUAllocator", "Insufficient memory", "Failed to allocate", "bad_alloc")
_NO_MEMORY = "not enough memory. Smaller images, shorter clips and fewer --workers need less."


@dataclass(frozen=True)
class _Kept:
    signature: str
    values: calls.NodeValues


class Executor:
    """Executes graphs; a node whose inputs and upstream are as in the last run is not run again.

    The signature of a node is its class, its constants, its fingerprint and the signatures of the
    nodes that it is linked to, so a change anywhere upstream shows. One result is kept per node.

    Args:
        class_of: gives the class of a node, or raises WorkflowError.
    """

    def __init__(self, class_of: Callable[[Node], type]) -> None:
        self._class_of = class_of
        self._kept: dict[str, _Kept] = {}

    def check(self, graph: Graph, targets: Sequence[str]) -> None:
        """Check everything about a graph that can be known before it runs.

        Raises:
            WorkflowError: a class is unknown, an input missing or wrong, or a link impossible.
        """
        for node_id in graph.order(targets):
            node = graph.nodes[node_id]
            cls: Any = self._class_of(node)
            specs = expand_spec(cls.INPUT_TYPES(), node.inputs)
            check_constants(node, specs, calls.checked_by_node(cls, list(specs)))
            for name, link in node.links().items():
                wanted = specs[name].type if name in specs else ANY_TYPE
                self._check_link(node, name, wanted, graph.nodes[link.node_id], link.slot)
            _guarded(node, lambda cls=cls, node=node: calls.check_values(cls, node, graph))

    def _check_link(self, node: Node, name: str, wanted: str, source: Node, slot: int) -> None:
        cls: Any = self._class_of(source)
        types = cls.RETURN_TYPES
        if not 0 <= slot < len(types):
            raise WorkflowError(
                f"{node}, input {name!r}: linked to output {slot} of {source}, which has "
                f"{len(types)}. Export the workflow again."
            )
        if not _fits(types[slot], wanted):
            raise WorkflowError(
                f"{node}, input {name!r}: takes {wanted}, but is linked to output {slot} of "
                f"{source}, which is {types[slot]}. Link another output."
            )

    def run(self, graph: Graph, targets: Sequence[str]) -> dict[str, Mapping[str, Sequence[Any]]]:
        """Execute what the targets need and return what each target shows.

        Raises:
            WorkflowError: a node failed; the cause is the node's own exception.
        """
        order = graph.order(targets)
        signatures: dict[str, str] = {}
        for node_id in order:
            node = graph.nodes[node_id]
            signatures[node_id] = _signature(self._class_of(node), node, graph, signatures)
        # What is out of date goes first: two images' results need not be in memory together.
        self._kept = {
            node_id: kept
            for node_id, kept in self._kept.items()
            if kept.signature == signatures.get(node_id)
        }
        for node_id in order:
            if node_id not in self._kept:
                values = self._execute(graph.nodes[node_id], graph)
                self._kept[node_id] = _Kept(signatures[node_id], values)
        return {target: self._kept[target].values.ui for target in targets}

    def _execute(self, node: Node, graph: Graph) -> calls.NodeValues:
        def call() -> calls.NodeValues:
            with torch.inference_mode():
                return calls.execute(self._class_of(node), node, graph, self._output)

        return _guarded(node, call)

    def _output(self, node_id: str, slot: int) -> Sequence[Any]:
        outputs = self._kept[node_id].values.outputs
        if slot >= len(outputs):
            raise WorkflowError(f"Node {node_id} returned {len(outputs)} values; no output {slot}.")
        return outputs[slot]


def _guarded(node: Node, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except PictureError as error:
        raise WorkflowError(f"{node}: {error}") from error
    except WorkflowError:
        raise
    except Exception as error:
        if _is_out_of_memory(error):
            raise WorkflowError(f"{node}: {_NO_MEMORY}") from error
        text = str(error) or type(error).__name__
        raise WorkflowError(f"{node}: {text}") from error


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory was lacking, of the machine or of the GPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # PyTorch's and OpenCV's own have no type for it.
    return any(text in str(error) for text in _ALLOCATION)


def _fits(offered: Any, wanted: str) -> bool:
    # A combo of the old style has its list of choices as type; dynamic types decide for themselves.
    if not isinstance(offered, str) or wanted.startswith("COMFY_") or offered.startswith("COMFY_"):
        return True
    have, need = (set(text.split(",")) for text in (offered, wanted))
    return ANY_TYPE in have | need or bool(have & need)


def _signature(cls: Any, node: Node, graph: Graph, upstream: Mapping[str, str]) -> str:
    links = node.links()
    inputs = [
        [name, upstream[links[name].node_id], links[name].slot]
        if name in links
        else [name, _stable(value)]
        for name, value in sorted(node.inputs.items())
    ]
    parts = [node.class_type, _state(cls, node, graph), inputs]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _state(cls: Any, node: Node, graph: Graph) -> str:
    try:
        return _stable(calls.fingerprint(cls, node, graph))
    except Exception:
        # As ComfyUI does: a node that cannot tell its state is run, and then shows what is wrong.
        return _unrepeatable()


def _stable(value: Any) -> str:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError):
        return _unrepeatable()


def _unrepeatable() -> str:
    return uuid.uuid4().hex
