"""What a node's inputs accept, read from INPUT_TYPES or from a server's /object_info.

Both have the same shape: {"required": {name: (type, options)}, "optional": {...}}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import WorkflowError
from .graph import Node, as_link

COMBO = "COMBO"
VALUE_TYPES = frozenset({"INT", "FLOAT", "BOOLEAN", "STRING", COMBO})
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
# Inputs below these are made while a graph is edited, so their names cannot be listed here.
OPEN_TYPES = frozenset({"COMFY_AUTOGROW_V3", "COMFY_DYNAMICSLOT_V3"})
MAX_LISTED = 30


@dataclass(frozen=True)
class InputSpec:
    """What one input accepts."""

    name: str
    type: str
    required: bool
    choices: tuple[Any, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def takes_value(self) -> bool:
        """True when the input can be a constant, False when it can only be linked."""
        return self.type in VALUE_TYPES or self.choices is not None


def expand_spec(spec: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, InputSpec]:
    """Return the inputs of a node by name, those below its dynamic combos included.

    Args:
        spec: INPUT_TYPES() of the class, or "input" of its /object_info entry.
        inputs: the node's present inputs; they decide which options of a dynamic combo show.
    """
    found: dict[str, InputSpec] = {}
    _expand(spec, inputs, "", found)
    return found


def _expand(
    spec: Mapping[str, Any], inputs: Mapping[str, Any], prefix: str, found: dict[str, InputSpec]
) -> None:
    for section in ("required", "optional"):
        for name, entry in (spec.get(section) or {}).items():
            read = _read_entry(prefix + name, entry, section == "required")
            found[read.name] = read
            if read.type != DYNAMIC_COMBO:
                continue
            for option in read.options.get("options") or ():
                if option["key"] == inputs.get(read.name):
                    _expand(option["inputs"], inputs, f"{read.name}.", found)


def _read_entry(name: str, entry: Sequence[Any], required: bool) -> InputSpec:
    kind = entry[0]
    options = entry[1] if len(entry) > 1 and isinstance(entry[1], Mapping) else {}
    choices = options.get("options")
    if isinstance(kind, list | tuple):
        kind, choices = COMBO, kind
    if kind == DYNAMIC_COMBO:
        choices = [option["key"] for option in choices or ()]
    # A combo that the browser fills (remote=...) has no choices on this side.
    known = None
    if isinstance(choices, list | tuple) and (choices or "remote" not in options):
        known = tuple(choices)
    return InputSpec(name, str(kind), required, known, options)


def find_spec(specs: Mapping[str, InputSpec], name: str) -> InputSpec | None:
    """Return the spec of an input; None when the node has no such input.

    A name below a growing input ("images.image0" below "images") gets the spec of that input.
    """
    if name in specs:
        return specs[name]
    for spec in specs.values():
        if spec.type in OPEN_TYPES and name.startswith(f"{spec.name}."):
            return spec
    return None


def coerce(spec: InputSpec, value: Any) -> Any:
    """Return a constant as the type that its input declares.

    Raises:
        ValueError: the constant cannot be read as that type.
    """
    if isinstance(value, Mapping) and "__value__" in value:
        value = value["__value__"]
    if spec.type == "STRING":
        return str(value)
    if spec.type == "BOOLEAN":
        if isinstance(value, bool | int) and value in (0, 1):
            return bool(value)
        raise ValueError("true or false")
    if spec.type in ("INT", "FLOAT"):
        return _number(value, whole=spec.type == "INT")
    return value


def _number(value: Any, *, whole: bool) -> int | float:
    accepted = "a whole number" if whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(accepted)
    try:
        number = int(value) if whole and not isinstance(value, float) else float(value)
    except ValueError:
        raise ValueError(accepted) from None
    if whole and number != int(number):
        raise ValueError(accepted)
    return int(number) if whole else number


def check_constants(node: Node, specs: Mapping[str, InputSpec], unchecked: set[str]) -> None:
    """Check that required inputs are there and constants are of their type, list and range.

    Args:
        node: the node, as the graph has it.
        specs: its inputs, from `expand_spec`.
        unchecked: names whose range and list the node's own validation looks after.

    Raises:
        WorkflowError: the first input that is wrong.
    """
    for name, spec in specs.items():
        if name not in node.inputs:
            if spec.required and spec.type not in OPEN_TYPES:
                raise WorkflowError(f"{node}, input {name!r}: missing. {_cure(node, spec)}")
            continue
        value = node.inputs[name]
        if as_link(value):
            continue
        if isinstance(value, list):
            raise WorkflowError(
                f"{node}, input {name!r}: a list has to be a link, [node id, output number], or "
                f'be written as {{"__value__": [...]}}. Found {_short(value)}.'
            )
        try:
            value = coerce(spec, value)
        except ValueError as error:
            raise _refused(node, spec, value, str(error)) from None
        if name not in unchecked:
            _check_range(node, spec, value)


def _check_range(node: Node, spec: InputSpec, value: Any) -> None:
    if spec.choices is not None:
        chosen = value if isinstance(value, list) else [value]
        if any(each not in spec.choices for each in chosen):
            listed = ", ".join(str(each) for each in spec.choices[:MAX_LISTED])
            more = ", ..." if len(spec.choices) > MAX_LISTED else ""
            raise _refused(node, spec, value, f"one of {listed or '(nothing)'}{more}")
    if spec.type in ("INT", "FLOAT"):
        low, high = spec.options.get("min"), spec.options.get("max")
        if (low is not None and value < low) or (high is not None and value > high):
            raise _refused(node, spec, value, f"a number from {low} to {high}")


def _refused(node: Node, spec: InputSpec, value: Any, accepted: str) -> WorkflowError:
    return WorkflowError(
        f"{node}, input {spec.name!r}: found {_short(value)}, accepted is {accepted}. "
        f"{_cure(node, spec)}"
    )


def _cure(node: Node, spec: InputSpec) -> str:
    if spec.takes_value:
        return f'Pass --set "{node.id}.{spec.name}=VALUE" or correct the workflow.'
    return f"Link a {spec.type} output to it and export the workflow again."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
