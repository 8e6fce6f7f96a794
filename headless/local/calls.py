"""Calling the methods of a node class, old style (V1) or new (V3), as ComfyUI's executor does."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import WorkflowError
from ..graph import Graph, Node, as_link
from ..schema import coerce, expand_spec

Resolve = Callable[[str, int], Any]


@dataclass(frozen=True)
class NodeValues:
    """What one execution returned: a value per output, and what it wants shown."""

    outputs: Sequence[Any]
    ui: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class _Arguments:
    values: dict[str, Any]
    clone: Any


def is_v3(cls: type) -> bool:
    """Return True for a class with a schema."""
    return hasattr(cls, "define_schema")


def override(cls: type, v3_name: str, v1_name: str) -> Callable[..., Any] | None:
    """Return an optional method when the class itself defines it, else None."""
    if not is_v3(cls):
        return getattr(cls, v1_name, None)
    internal = importlib.import_module("comfy_api.internal")
    return internal.first_real_override(cls, v3_name)


def check_values(cls: Any, node: Node, graph: Graph) -> None:
    """Run the node's own validation on its constants.

    Raises:
        WorkflowError: the node refuses them, with the node's reason.
    """
    method = override(cls, "validate_inputs", "VALIDATE_INPUTS")
    if method is None:
        return
    named, takes_all = parameters(method)
    arguments = _arguments(cls, node, graph, _unlinked, None if takes_all else named)
    if is_v3(cls):
        answer = _finish(arguments.clone.validate_inputs(**arguments.values))
    else:
        answer = _finish(cls.VALIDATE_INPUTS(**arguments.values))
    if answer is not True:
        reason = answer if isinstance(answer, str) else "its inputs are refused"
        raise WorkflowError(f"{node}: {reason}")


def checked_by_node(cls: Any, names: Sequence[str]) -> set[str]:
    """Return those inputs whose range the node's own validation checks instead of the host."""
    method = override(cls, "validate_inputs", "VALIDATE_INPUTS")
    if method is None:
        return set()
    named, takes_all = parameters(method)
    return {name for name in names if takes_all or name in named}


def parameters(method: Callable[..., Any]) -> tuple[set[str], bool]:
    """Return the parameter names of a method, and whether it takes any others."""
    spec = inspect.getfullargspec(method)
    return {*spec.args, *spec.kwonlyargs}, spec.varkw is not None


def fingerprint(cls: Any, node: Node, graph: Graph) -> Any:
    """Return what the class gives as its state besides the inputs; None when it has none.

    Raises:
        Exception: whatever the class raises.
    """
    if override(cls, "fingerprint_inputs", "IS_CHANGED") is None:
        return None
    arguments = _arguments(cls, node, graph, _unlinked)
    if is_v3(cls):
        return _finish(arguments.clone.fingerprint_inputs(**arguments.values))
    return _finish(cls.IS_CHANGED(**arguments.values))


def execute(cls: Any, node: Node, graph: Graph, resolve: Resolve) -> NodeValues:
    """Run a node.

    Args:
        cls: its class.
        node: its place in the graph.
        graph: the whole workflow.
        resolve: gives the value of (node id, output number).

    Raises:
        WorkflowError: it asks for something that only a ComfyUI server does.
        Exception: whatever the node raises.
    """
    if cls.INPUT_IS_LIST if is_v3(cls) else getattr(cls, "INPUT_IS_LIST", False):
        raise WorkflowError(f"{node} works on lists, which needs a ComfyUI: use --server URL.")
    arguments = _arguments(cls, node, graph, resolve)
    target = arguments.clone if is_v3(cls) else cls()
    return _values(node, _finish(getattr(target, cls.FUNCTION)(**arguments.values)))


def _unlinked(node_id: str, slot: int) -> None:
    return None


def _finish(result: Any) -> Any:
    async def wait() -> Any:
        return await result

    return asyncio.run(wait()) if inspect.isawaitable(result) else result


def _arguments(
    cls: Any, node: Node, graph: Graph, resolve: Resolve, only: set[str] | None = None
) -> _Arguments:
    types = cls.INPUT_TYPES()
    values = _input_values(cls, types, node, resolve)
    if only is not None:
        # Before the nesting, as ComfyUI does: what lies below a dynamic combo arrives as None.
        values = {name: value for name, value in values.items() if name in only}
    context = {"UNIQUE_ID": node.id, "PROMPT": graph.as_prompt()}
    if not is_v3(cls):
        if only is None:
            hidden = types.get("hidden", {}).items()
            values |= {name: context.get(_hidden_kind(kind)) for name, kind in hidden}
        return _Arguments(values, None)
    io = importlib.import_module("comfy_api.latest").io
    _, hidden, dynamic = io.get_finalized_class_inputs(types, dict(node.inputs))
    kinds = {name: _hidden_kind(kind) for name, kind in (hidden or {}).items()}
    wanted = {io.Hidden[name]: context.get(kind) for name, kind in kinds.items()}
    v3_data = {**dynamic, "hidden_inputs": wanted}
    return _Arguments(io.build_nested_inputs(values, v3_data), cls.PREPARE_CLASS_CLONE(v3_data))


def _hidden_kind(kind: Any) -> str:
    return str(kind[0] if isinstance(kind, tuple | list) else kind)


def _input_values(cls: Any, types: Any, node: Node, resolve: Resolve) -> dict[str, Any]:
    specs = expand_spec(types, node.inputs)
    takes_all = is_v3(cls) and cls.ACCEPT_ALL_INPUTS
    values: dict[str, Any] = {}
    for name, value in node.inputs.items():
        link = as_link(value)
        if name not in specs and not takes_all:
            continue
        if link:
            values[name] = resolve(link.node_id, link.slot)
        else:
            values[name] = coerce(specs[name], value) if name in specs else value
    return values


def _values(node: Node, result: Any) -> NodeValues:
    if getattr(result, "expand", None) or (isinstance(result, dict) and "expand" in result):
        raise WorkflowError(
            f"{node} expands into a graph, which needs a ComfyUI: use --server URL."
        )
    blocked = getattr(result, "block_execution", None)
    if blocked is not None:
        raise WorkflowError(f"{node} stopped the run: {blocked}")
    if isinstance(result, dict):
        outputs, ui = result.get("result", ()), result.get("ui")
    elif hasattr(result, "args") and hasattr(result, "ui"):
        outputs, ui = result.args, result.ui
    else:
        outputs, ui = result, None
    return NodeValues(tuple(outputs or ()), _ui_dict(ui))


def _ui_dict(ui: Any) -> dict[str, Sequence[Any]]:
    shown = ui.as_dict() if hasattr(ui, "as_dict") else ui
    return dict(shown) if isinstance(shown, Mapping) else {}
