"""Calling the methods of a node class, old style (V1) or new (V3), as ComfyUI's executor does.

Between nodes every value travels in a list, most often of one. A node that does not work on lists
is called once for each place of its longest one, with the last entry of every shorter list again.
"""

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

# Gives the list of values of (node id, output number).
Resolve = Callable[[str, int], Sequence[Any]]
# A list of values for each input.
Lists = dict[str, Sequence[Any]]


@dataclass(frozen=True)
class NodeValues:
    """What one execution returned: a list of values per output, and what it wants shown."""

    outputs: Sequence[Sequence[Any]]
    ui: Mapping[str, Sequence[Any]]


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
    name = "validate_inputs" if is_v3(cls) else "VALIDATE_INPUTS"
    for answer in _answers(cls, name, node, graph, _unlinked, None if takes_all else named):
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
    name = "fingerprint_inputs" if is_v3(cls) else "IS_CHANGED"
    return _answers(cls, name, node, graph, _unlinked)


def execute(cls: Any, node: Node, graph: Graph, resolve: Resolve) -> NodeValues:
    """Run a node.

    Args:
        cls: its class.
        node: its place in the graph.
        graph: the whole workflow.
        resolve: gives the list of values of (node id, output number).

    Raises:
        WorkflowError: it is given an empty list, or asks for something that only a ComfyUI server
            does.
        Exception: whatever the node raises.
    """
    results = [_result(node, each) for each in _answers(cls, cls.FUNCTION, node, graph, resolve)]
    shown = [ui for _, ui in results if ui]
    return NodeValues(_joined_outputs(cls, [values for values, _ in results]), _joined_ui(shown))


def _unlinked(node_id: str, slot: int) -> Sequence[None]:
    return (None,)


def _finish(result: Any) -> Any:
    async def wait() -> Any:
        return await result

    return asyncio.run(wait()) if inspect.isawaitable(result) else result


def _answers(
    cls: Any, method: str, node: Node, graph: Graph, resolve: Resolve, only: set[str] | None = None
) -> list[Any]:
    """What a method returns for its inputs, one answer per call; only: the inputs it is given."""
    types = cls.INPUT_TYPES()
    lists = _input_lists(cls, types, node, resolve)
    if only is not None:
        # Before the nesting, as ComfyUI does: what lies below a dynamic combo arrives as None.
        lists = {name: values for name, values in lists.items() if name in only}
    context = {"UNIQUE_ID": node.id, "PROMPT": graph.as_prompt()}
    if not is_v3(cls):
        if only is None:
            hidden = types.get("hidden", {}).items()
            lists |= {name: [context.get(_hidden_kind(kind))] for name, kind in hidden}
        target = cls() if method == cls.FUNCTION else cls
        calls = _calls(getattr(cls, "INPUT_IS_LIST", False), node, lists)
        return [_finish(getattr(target, method)(**values)) for values in calls]
    io = importlib.import_module("comfy_api.latest").io
    _, hidden, dynamic = io.get_finalized_class_inputs(types, dict(node.inputs))
    kinds = {name: _hidden_kind(kind) for name, kind in (hidden or {}).items()}
    wanted = {io.Hidden[name]: context.get(kind) for name, kind in kinds.items()}
    v3_data = {**dynamic, "hidden_inputs": wanted}
    answers = []
    for values in _calls(cls.INPUT_IS_LIST, node, lists):
        bound = getattr(cls.PREPARE_CLASS_CLONE(v3_data), method)
        answers.append(_finish(bound(**io.build_nested_inputs(values, v3_data))))
    return answers


def _calls(takes_lists: bool, node: Node, lists: Lists) -> list[dict[str, Any]]:
    """The arguments of every call."""
    if takes_lists:
        return [lists]
    for name, values in lists.items():
        if not values:
            raise WorkflowError(
                f"{node}, input {name!r}: found an empty list, accepted is at least one value. "
                "The node before it has found nothing to work on."
            )
    longest = max(map(len, lists.values()), default=1)
    return [
        {name: values[min(place, len(values) - 1)] for name, values in lists.items()}
        for place in range(longest)
    ]


def _joined_outputs(cls: Any, results: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The list of each output from what the calls returned."""
    is_list = getattr(cls, "OUTPUT_IS_LIST", None) or [False] * len(cls.RETURN_TYPES)
    return [
        [value for each in values for value in each] if joins else list(values)
        for joins, *values in zip(is_list, *results, strict=False)
    ]


def _joined_ui(shown: Sequence[Mapping[str, Sequence[Any]]]) -> dict[str, list[Any]]:
    """What all calls want shown, in their order."""
    names = shown[0] if shown else ()
    return {name: [each for ui in shown for each in ui.get(name, ())] for name in names}


def _hidden_kind(kind: Any) -> str:
    return str(kind[0] if isinstance(kind, tuple | list) else kind)


def _input_lists(cls: Any, types: Any, node: Node, resolve: Resolve) -> Lists:
    specs = expand_spec(types, node.inputs)
    takes_all = is_v3(cls) and cls.ACCEPT_ALL_INPUTS
    lists: Lists = {}
    for name, value in node.inputs.items():
        link = as_link(value)
        if name not in specs and not takes_all:
            continue
        if link:
            lists[name] = resolve(link.node_id, link.slot)
        else:
            lists[name] = [coerce(specs[name], value) if name in specs else value]
    return lists


def _result(node: Node, result: Any) -> tuple[Sequence[Any], Mapping[str, Sequence[Any]]]:
    """The outputs and the `ui` value of what one call returned."""
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
    return tuple(outputs or ()), _ui_dict(ui)


def _ui_dict(ui: Any) -> dict[str, Sequence[Any]]:
    shown = ui.as_dict() if hasattr(ui, "as_dict") else ui
    if not isinstance(shown, Mapping):
        return {}
    # A text of its own is no list of letters.
    return {name: [each] if isinstance(each, str) else each for name, each in shown.items()}
