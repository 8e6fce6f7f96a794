"""The --set option: "NODE.INPUT=VALUE" changes one constant of the graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .decode import read_json
from .errors import WorkflowError
from .graph import Graph, Node, as_link, describe
from .schema import InputSpec, expand_spec, find_spec

SpecLookup = Callable[[str], Mapping[str, Any] | None]
KINDS: dict[str, type] = {"INT": int, "FLOAT": float, "BOOLEAN": bool, "STRING": str}


def apply_assignments(graph: Graph, texts: Iterable[str], spec_of: SpecLookup) -> Graph:
    """Return the graph with every --set applied, in order.

    Args:
        graph: the workflow.
        texts: "NODE.INPUT=VALUE", NODE being an id or a title.
        spec_of: gives INPUT_TYPES of a class, or None where it is unknown; then an input that
            the graph lacks is added unchecked.

    Raises:
        WorkflowError: node or input unknown or ambiguous, input linked, value of a wrong type.
    """
    for text in texts:
        node, name, value = _split(graph, text)
        graph = graph.with_input(node.id, name, _parse(node, name, value, spec_of))
    return graph


def _split(graph: Graph, text: str) -> tuple[Node, str, str]:
    # Titles may hold dots and equals signs, and so may nested input names: the longest id or
    # title that the text begins with is the node.
    text = text.lstrip()
    addresses = [*graph.nodes, *(node.title for node in graph.nodes.values())]
    matching = [address for address in addresses if text.startswith(f"{address}.")]
    if not matching:
        left, equals, _ = text.partition("=")
        if not equals or "." not in left:
            raise WorkflowError(
                f'--set {text!r}: expected "NODE.INPUT=VALUE", NODE being the id or title of: '
                f"{describe(graph.nodes)}."
            )
        address = left.partition(".")[0]
        raise WorkflowError(
            f"--set {text!r}: no node has the id or title {address!r}. The workflow has: "
            f"{describe(graph.nodes)}."
        )
    address = max(matching, key=len)
    node = graph.find(address)
    name, equals, value = text[len(address) + 1 :].partition("=")
    if not equals or not name.strip():
        raise WorkflowError(
            f'--set {text!r}: expected "{address}.INPUT=VALUE". {node} has the inputs '
            f"{', '.join(node.inputs) or '(none)'}."
        )
    return node, name.strip(), value


def _parse(node: Node, name: str, text: str, spec_of: SpecLookup) -> object:
    old = node.inputs.get(name)
    link = as_link(old)
    if link:
        raise WorkflowError(
            f"--set {node.id}.{name}: this input of {node} is linked to node {link.node_id}, so a "
            "value cannot be set. Set an input of that node, or remove the link in the workflow."
        )
    types = spec_of(node.class_type)
    spec = None
    if types is not None:
        spec = _known(node, name, expand_spec(types, node.inputs))
    if spec is not None and spec.type in KINDS:
        return _typed(node, name, text, KINDS[spec.type])
    if old is not None:
        return _typed(node, name, text, type(old))
    return _guessed(text)


def _known(node: Node, name: str, specs: Mapping[str, InputSpec]) -> InputSpec | None:
    spec = find_spec(specs, name)
    if spec is None and name not in node.inputs:
        names = ", ".join(each.name for each in specs.values() if each.takes_value)
        raise WorkflowError(
            f"--set {node.id}.{name}: {node} has no input {name!r}. It has: {names or '(none)'}."
        )
    # A value that the graph already holds for a socket type (a box, say) may be replaced.
    if spec is not None and spec.name == name and not spec.takes_value and name not in node.inputs:
        raise WorkflowError(
            f"--set {node.id}.{name}: this input of {node} takes a link ({spec.type}), not a "
            "value. Link a node to it in the workflow."
        )
    return spec


def _typed(node: Node, name: str, text: str, kind: type) -> object:
    if kind is str:
        return text
    value = _decode(text)
    if kind is float and type(value) is int:
        value = float(value)
    # type(), not isinstance: true is an int to Python, but not to the user.
    if type(value) is not kind:
        accepted = {
            bool: "true or false",
            int: "a whole number",
            float: "a number",
            dict: "a JSON object",
            list: "a JSON list",
        }
        raise WorkflowError(
            f"--set {node.id}.{name}: found {text!r}, accepted is "
            f"{accepted.get(kind, kind.__name__)}, as {node} needs."
        )
    return value


def _guessed(text: str) -> object:
    value = _decode(text)
    return value if isinstance(value, bool | int | float) else text


def _decode(text: str) -> object:
    # NaN and numbers that overflow are no JSON, though Python's reader lets them through.
    try:
        value = read_json(text)
        finite = not isinstance(value, int | float) or math.isfinite(value)
    except (ValueError, OverflowError):
        return text
    return value if finite else text
