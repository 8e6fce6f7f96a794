"""Graphs: loading, addressing, --set, order, and which node gets the image."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headless.assign import apply_assignments
from headless.errors import WorkflowError
from headless.graph import Graph, find_image_node, load_graph, parse_graph
from headless.schema import check_constants, coerce, expand_spec


def node(class_type: str, title: str | None = None, **inputs: object) -> dict:
    made: dict = {"class_type": class_type, "inputs": inputs}
    return made if title is None else {**made, "_meta": {"title": title}}


def graph(**nodes: dict) -> Graph:
    return parse_graph({key.lstrip("n"): value for key, value in nodes.items()}, "test")


POINTS = graph(
    n1=node("LoadImage", "Image", image="x.png"),
    n2=node("Load", "Load SAM", model="grabcut", seed=3),
    n3=node(
        "Point",
        "Point Segment v1.5",
        model=["2", 0],
        image=["1", 0],
        points="[]",
        threshold=0.5,
        count=1,
        soft=True,
        box={"x": 1},
    ),
    n4=node("Save", "Twin", images=["3", 0]),
    n5=node("Save", "Twin", images=["3", 1]),
)
SPEC = {
    "required": {
        "model": ("SEGMENT_MODEL", {}),
        "image": ("IMAGE", {}),
        "points": ("STRING", {}),
        "threshold": ("FLOAT", {"min": 0, "max": 1}),
        "count": ("FLOAT", {}),
        "soft": ("BOOLEAN", {}),
        "box": ("BOUNDING_BOX", {}),
    },
    "optional": {
        "mask": ("MASK", {}),
        "expand": ("INT", {}),
        "note": ("STRING", {}),
        "choice": ("COMBO", {"options": ["best", "all"]}),
        "provider": (
            "COMFY_DYNAMICCOMBO_V3",
            {
                "options": [
                    {"key": "a", "inputs": {"required": {"prompt": ("STRING", {})}}},
                    {"key": "b", "inputs": {"required": {"level": ("INT", {})}}},
                ]
            },
        ),
        "images": ("COMFY_AUTOGROW_V3", {"template": {}}),
    },
}


def lookup(class_type: str) -> dict | None:
    return {"Point": SPEC, "Load": {"required": {"model": (["grabcut"],), "seed": ("INT",)}}}.get(
        class_type
    )


def assigned(text: str, spec: object = lookup, on: Graph = POINTS) -> Graph:
    return apply_assignments(on, [text], spec)


@pytest.mark.parametrize(
    ("text", "where", "value"),
    [
        ("3.points=[[450,300]]", ("3", "points"), "[[450,300]]"),
        ("Point Segment v1.5.points=a=b.c", ("3", "points"), "a=b.c"),
        ("3.points=", ("3", "points"), ""),
        ("3.points=7", ("3", "points"), "7"),
        ("3.threshold=0.25", ("3", "threshold"), 0.25),
        ("3.threshold=1", ("3", "threshold"), 1.0),
        # The browser writes the FLOAT 1.0 as 1: the schema knows better than the old value.
        ("3.count=0.5", ("3", "count"), 0.5),
        ("3.soft=false", ("3", "soft"), False),
        ('3.box={"x": 2}', ("3", "box"), {"x": 2}),
        ("Load SAM.seed=-9", ("2", "seed"), -9),
        ("Load SAM.model=5", ("2", "model"), "5"),
        ("3.expand=4", ("3", "expand"), 4),
        ("3.note=4", ("3", "note"), "4"),
        ("3.choice=all", ("3", "choice"), "all"),
        ("3.images.image0=5", ("3", "images.image0"), 5),
        (" 3.points =x", ("3", "points"), "x"),
    ],
)
def test_set_replaces_one_value(text, where, value):
    changed = assigned(text)
    found = changed.nodes[where[0]].inputs[where[1]]
    assert found == value and type(found) is type(value)
    restored = {**changed.nodes[where[0]].inputs}
    restored.pop(where[1])
    original = {**POINTS.nodes[where[0]].inputs}
    original.pop(where[1], None)
    assert restored == original


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("points=3", ["NODE.INPUT=VALUE", "Load SAM (2)"]),
        ("nonsense", ["NODE.INPUT=VALUE"]),
        ("9.points=3", ["'9'", "Image (1)", "Twin (5)"]),
        ("point segment v1.5.points=3", ["no node", "Point Segment v1.5 (3)"]),
        ("Twin.images=3", ["2 nodes", "4, 5"]),
        ("3.points", ["3.INPUT=VALUE", "points"]),
        ("3.=5", ["3.INPUT=VALUE"]),
        ("3.pionts=x", ["no input 'pionts'", "points", "threshold", "choice"]),
        ("3.image=x.png", ["linked to node 1"]),
        ("3.mask=x.png", ["takes a link (MASK)"]),
        ("3.threshold=high", ["'high'", "a number"]),
        ("3.threshold=true", ["a number"]),
        ("3.threshold=NaN", ["a number"]),
        ("3.threshold=1e999", ["a number"]),
        ("3.soft=1", ["true or false"]),
        ("3.soft=True", ["true or false"]),
        ("2.seed=1.5", ["a whole number"]),
        ("2.seed=true", ["a whole number"]),
        ("2.seed=", ["a whole number"]),
        ("3.box=[1]", ["a JSON object"]),
    ],
)
def test_set_refuses_and_says_why(text, says):
    with pytest.raises(WorkflowError) as caught:
        assigned(text)
    message = str(caught.value)
    assert all(part in message for part in says), message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "value"), [("2", 2), ("0.5", 0.5), ("true", True), ("abc", "abc"), ("[1]", "[1]")]
)
def test_set_without_a_schema_adds_the_input_by_its_looks(text, value):
    changed = assigned(f"3.fresh={text}", lambda _: None)
    assert changed.nodes["3"].inputs["fresh"] == value


def test_set_goes_in_order_and_reaches_below_a_dynamic_combo():
    changed = apply_assignments(POINTS, ["3.provider=b", "3.provider.level=5"], lookup)
    assert changed.nodes["3"].inputs["provider.level"] == 5
    with pytest.raises(WorkflowError, match="no input 'provider.prompt'"):
        apply_assignments(POINTS, ["3.provider=b", "3.provider.prompt=x"], lookup)


def test_the_longest_title_wins_over_its_own_beginning():
    twins = graph(n1=node("A", "mask", **{"x.y": "1"}), n2=node("A", "mask.x", y="2"))
    assert assigned("mask.x.y=new", lambda _: None, twins).nodes["2"].inputs["y"] == "new"
    assert assigned("1.x.y=new", lambda _: None, twins).nodes["1"].inputs["x.y"] == "new"


def test_an_id_wins_over_a_title():
    named = graph(n1=node("A", "2", x="a"), n2=node("A", "b", x="b"))
    assert named.find("2").id == "2"


@given(st.text())
def test_a_string_input_keeps_any_text_as_it_is(text):
    assert assigned(f"3.points={text}").nodes["3"].inputs["points"] == text


@given(st.integers())
def test_whole_numbers_survive(number):
    assert assigned(f"2.seed={number}").nodes["2"].inputs["seed"] == number


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        ("{", "not JSON"),
        ("[]", "no nodes"),
        ("{}", "no nodes"),
        ('{"nodes": [], "links": []}', "File > Export (API)"),
        ('{"last_node_id": 1, "nodes": [{"id": 1}], "version": 0.4}', "UI format"),
        ('{"1": {"inputs": {}}}', "class_type"),
        ('{"1": 5}', "class_type"),
        ('{"1": {"class_type": "A", "inputs": []}}', "class_type"),
    ],
)
def test_files_that_are_no_api_graph(tmp_path, content, says):
    path = tmp_path / "w.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(WorkflowError) as caught:
        load_graph(path)
    assert says in str(caught.value) and str(path) in str(caught.value)


def test_a_graph_survives_loading(tmp_path):
    path = tmp_path / "w.json"
    path.write_text(json.dumps(POINTS.as_prompt()))
    assert load_graph(path) == POINTS


def test_order_runs_sources_first_and_only_what_is_needed():
    order = POINTS.order(["4"])
    assert order[-1] == "4" and set(order) == {"1", "2", "3", "4"}
    assert order.index("3") > max(order.index("1"), order.index("2"))


@given(st.integers(1, 60), st.randoms(use_true_random=False))
def test_order_of_any_acyclic_graph(size, rng: random.Random):
    nodes = {
        str(i): node("A", **{f"in{j}": [str(rng.randrange(i)), 0] for j in range(min(i, 3))})
        for i in range(size)
    }
    made = parse_graph(nodes, "test")
    place = {key: at for at, key in enumerate(made.order(made.nodes))}
    assert len(place) == size
    for each in made.nodes.values():
        assert all(place[link.node_id] < place[each.id] for link in each.links().values())


def test_a_long_chain_is_no_problem():
    chain = {str(i): node("A", x=[str(i - 1), 0]) for i in range(1, 5000)}
    made = parse_graph({"0": node("A"), **chain}, "test")
    assert made.order(["4999"]) == [str(i) for i in range(5000)]


def test_circles_and_loose_links_are_named():
    circle = graph(n1=node("A", "one", x=["2", 0]), n2=node("A", "two", x=["1", 0]))
    with pytest.raises(WorkflowError, match=r"one \(1\).*two \(2\).*one \(1\)"):
        circle.order(["1"])
    with pytest.raises(WorkflowError, match="linked to node 7"):
        graph(n1=node("A", x=["7", 0])).order(["1"])


LOADERS = {
    "one": {"n1": node("LoadImage", "Photo", image="")},
    "titled": {
        "n1": node("LoadImage", "Mask", image=""),
        "n2": node("LoadImage", "Image", image=""),
    },
    "open": {"n1": node("LoadImage", "Mask", image=""), "n2": node("LoadImage", "Photo", image="")},
    "none": {"n1": node("Save")},
}


@pytest.mark.parametrize(
    ("which", "address", "found"),
    [("one", None, "1"), ("titled", None, "2"), ("titled", "Mask", "1"), ("open", "2", "2")],
)
def test_the_node_that_gets_the_image(which, address, found):
    assert find_image_node(graph(**LOADERS[which]), address).id == found


@pytest.mark.parametrize(
    ("which", "address", "says"),
    [
        ("open", None, "Mask (1), Photo (2)"),
        ("none", None, "no LoadImage"),
        ("none", "1", "takes no image file"),
        ("one", "Image", "no node has the id or title"),
    ],
)
def test_no_node_for_the_image(which, address, says):
    with pytest.raises(WorkflowError) as caught:
        find_image_node(graph(**LOADERS[which]), address)
    assert says.lower() in str(caught.value).lower()


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"points": "x"}, "'model': missing"),
        ({"model": ["1", 0], "threshold": 2.0}, "from 0 to 1"),
        ({"model": ["1", 0], "threshold": "x"}, "a number"),
        ({"model": ["1", 0], "soft": "false"}, "true or false"),
        ({"model": ["1", 0], "points": [[1, 2]]}, "__value__"),
        ({"model": ["1", 0], "choice": "worst"}, "best, all"),
        ({"model": ["1", 0], "provider": "c"}, "a, b"),
        ({"model": ["1", 0], "provider": "a"}, "'provider.prompt': missing"),
        ({"model": ["1", 0], "expand": 1.5}, "a whole number"),
    ],
)
def test_constants_are_checked(inputs, says):
    spec = {
        "required": {"model": SPEC["required"]["model"]},
        "optional": {**SPEC["required"], **SPEC["optional"]},
    }
    spec["optional"].pop("model")
    made = graph(n3=node("Point", "P", **inputs)).nodes["3"]
    with pytest.raises(WorkflowError) as caught:
        check_constants(made, expand_spec(spec, made.inputs), set())
    assert says in str(caught.value) and "P (3)" in str(caught.value)


def test_a_node_that_checks_for_itself_is_left_to_it():
    made = graph(n3=node("Point", choice="worst")).nodes["3"]
    specs = expand_spec({"optional": {"choice": (["best"],)}}, made.inputs)
    check_constants(made, specs, {"choice"})


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        ("INT", "7", 7),
        ("INT", 7.0, 7),
        ("FLOAT", 1, 1.0),
        ("STRING", 7, "7"),
        ("STRING", {"__value__": [1]}, "[1]"),
        ("BOOLEAN", 1, True),
        ("MASK", None, None),
    ],
)
def test_constants_take_the_declared_type(kind, value, result):
    spec = expand_spec({"required": {"x": (kind, {})}}, {})["x"]
    assert coerce(spec, value) == result and type(coerce(spec, value)) is type(result)
