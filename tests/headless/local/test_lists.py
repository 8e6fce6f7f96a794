"""Nodes that give and take lists, run as ComfyUI runs them."""

from __future__ import annotations

import pytest
from comfy_api.latest import io

from headless.errors import WorkflowError
from headless.graph import Node, parse_graph
from headless.local.executor import Executor


class Words(io.ComfyNode):
    """A list of the words of a text."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Words",
            inputs=[io.String.Input("text")],
            outputs=[io.String.Output("words", is_output_list=True), io.String.Output("count")],
        )

    @classmethod
    def execute(cls, text):
        return io.NodeOutput(text.split(), str(len(text.split())))


class Join(io.ComfyNode):
    """Two texts, one of its calls each."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Join",
            inputs=[io.String.Input("a"), io.String.Input("b", optional=True)],
            outputs=[io.String.Output("joined")],
        )

    @classmethod
    async def execute(cls, a, b=""):
        return io.NodeOutput(f"{a}{b}", ui={"text": (f"{a}{b}",)})


class Gather(io.ComfyNode):
    """Everything at once; says what its inputs were."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Gather",
            inputs=[io.String.Input("texts"), io.Int.Input("number", default=1)],
            outputs=[io.String.Output("all")],
            is_input_list=True,
        )

    @classmethod
    def validate_inputs(cls, number):
        return True if number == [1] else f"number: found {number}"

    @classmethod
    def fingerprint_inputs(cls, texts, number):
        return [texts, number]

    @classmethod
    def execute(cls, texts, number):
        return io.NodeOutput(f"{texts} {number}", ui={"text": f"{texts} {number}"})


class OldWords:
    """As Words, in the old style; takes lists too."""

    INPUT_IS_LIST = True
    OUTPUT_IS_LIST = (True,)
    RETURN_TYPES = ("STRING",)
    FUNCTION = "split"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {})}, "hidden": {"node": "UNIQUE_ID"}}

    def split(self, text, node):
        return ([f"{node[0]}:{word}" for each in text for word in each.split()],)


class OldCount:
    """In the old style: one of these works through all calls of a node."""

    RETURN_TYPES = ("INT",)
    FUNCTION = "count"

    def __init__(self):
        self.calls = 0

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {})}}

    def count(self, text):
        self.calls += 1
        return {"ui": {"text": [f"{text} {self.calls}"]}, "result": (self.calls,)}


CLASSES = {each.__name__: each for each in (Words, Join, Gather, OldWords, OldCount)}


def _run(nodes: dict[str, tuple], target: str = "target") -> list[str]:
    """What a node shows; nodes: class and inputs by id."""
    api = {
        key: {"class_type": cls.__name__, "inputs": given} for key, (cls, given) in nodes.items()
    }
    graph = parse_graph(api, "test")

    def class_of(node: Node) -> type:
        return CLASSES[node.class_type]

    executor = Executor(class_of)
    executor.check(graph, [target])
    return list(executor.run(graph, [target])[target]["text"])


ONE = (Words, {"text": "x y z"})
TWO = (Words, {"text": "1 2"})


@pytest.mark.parametrize(
    ("inputs", "shown"),
    [
        ({"a": ["one", 0]}, ["x", "y", "z"]),
        ({"a": ["one", 0], "b": "!"}, ["x!", "y!", "z!"]),
        # The longest list decides, and the last entry of the other one serves again.
        ({"a": ["one", 0], "b": ["two", 0]}, ["x1", "y2", "z2"]),
        ({"a": ["two", 0], "b": ["one", 0]}, ["1x", "2y", "2z"]),
        # An output that is no list is one value.
        ({"a": ["two", 0], "b": ["one", 1]}, ["13", "23"]),
    ],
)
def test_a_node_is_called_for_each_place_of_its_longest_list(inputs, shown):
    assert _run({"one": ONE, "two": TWO, "target": (Join, inputs)}) == shown


def test_lists_that_calls_return_become_one():
    nodes = {
        "one": ONE,
        "pairs": (Join, {"a": ["one", 0], "b": " and"}),
        "again": (Words, {"text": ["pairs", 0]}),
        "target": (Gather, {"texts": ["again", 0], "number": 1}),
    }
    assert _run(nodes) == ["['x', 'and', 'y', 'and', 'z', 'and'] [1]"]
    nodes["target"] = (Join, {"a": ["again", 1]})
    assert _run(nodes) == ["2", "2", "2"]


def test_a_node_that_takes_lists_gets_every_input_as_one():
    assert _run({"one": ONE, "target": (Gather, {"texts": ["one", 0], "number": 1})}) == [
        "['x', 'y', 'z'] [1]"
    ]
    with pytest.raises(WorkflowError, match=r"number: found \[2\]"):
        _run({"one": ONE, "target": (Gather, {"texts": ["one", 0], "number": 2})})


def test_nodes_of_the_old_style():
    nodes = {
        "one": ONE,
        "old": (OldWords, {"text": ["one", 0]}),
        "target": (OldCount, {"text": ["old", 0]}),
    }
    assert _run(nodes) == ["old:x 1", "old:y 2", "old:z 3"]


def test_an_empty_list_is_explained_where_one_value_is_wanted():
    nothing = (Words, {"text": " "})
    with pytest.raises(WorkflowError, match="input 'a': found an empty list"):
        _run({"nothing": nothing, "target": (Join, {"a": ["nothing", 0], "b": "!"})})
    gathered = {"nothing": nothing, "target": (Gather, {"texts": ["nothing", 0], "number": 1})}
    assert _run(gathered) == ["[] [1]"]
