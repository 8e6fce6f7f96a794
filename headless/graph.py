"""API-format workflow graphs: loading, looking up nodes, order of execution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .decode import read_json
from .errors import WorkflowError

IMAGE_CLASS = "LoadImage"
IMAGE_TITLE = "Image"
IMAGE_INPUT = "image"
VIDEO_CLASS = "LoadVideo"
COMPONENTS_CLASS = "GetVideoComponents"
# How nodes that open a file call its name: LoadImage, LoadVideo, and those of other packs.
FILE_INPUTS = (IMAGE_INPUT, "file", "video")
# Stands for the name of a file that a run gives to the node that gets the images.
GIVEN = "(from --image)"
# What follows objects from frame to frame, and so needs all of a clip at once.
TRACKERS = frozenset({"SegmentAnywhereTrack", "SAM3_VideoTrack"})
# What saves datasets, and what it is told of the picture's name.
SAVE_CLASS = "SegmentAnywhereSave"
NAME_INPUT = "image_name"
# What calls a provider.
REMOTE_CLASS = "SegmentAnywhereRemote"


@dataclass(frozen=True)
class Link:
    """An input that takes output number `slot` of another node."""

    node_id: str
    slot: int


def as_link(value: object) -> Link | None:
    """Return the link that an API-format input value stands for, or None for a constant."""
    if (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    ):
        return Link(value[0], value[1])
    return None


@dataclass(frozen=True)
class Node:
    """One node of a graph, as the API format writes it."""

    id: str
    class_type: str
    title: str
    inputs: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.title} ({self.id})"

    def links(self) -> dict[str, Link]:
        """Return the linked inputs by name."""
        found = ((name, as_link(value)) for name, value in self.inputs.items())
        return {name: link for name, link in found if link is not None}


@dataclass(frozen=True)
class Graph:
    """A whole workflow; changed by making a new one."""

    nodes: Mapping[str, Node]

    def find(self, address: str) -> Node:
        """Return the node with this id or, failing that, this title.

        Raises:
            WorkflowError: no node, or more than one, answers to the address.
        """
        if address in self.nodes:
            return self.nodes[address]
        titled = [node for node in self.nodes.values() if node.title == address]
        if len(titled) == 1:
            return titled[0]
        if titled:
            ids = ", ".join(node.id for node in titled)
            raise WorkflowError(
                f"The title {address!r} belongs to {len(titled)} nodes: {ids}. Use the node's id."
            )
        raise WorkflowError(
            f"No node has the id or title {address!r}. The workflow has: {describe(self.nodes)}."
        )

    def with_input(self, node_id: str, name: str, value: object) -> Graph:
        """Return a copy in which one input of one node has another value."""
        node = self.nodes[node_id]
        changed = replace(node, inputs={**node.inputs, name: value})
        return Graph({**self.nodes, node_id: changed})

    def as_prompt(self) -> dict[str, dict[str, Any]]:
        """Return the graph in API format, ready for JSON."""
        return {
            node.id: {
                "class_type": node.class_type,
                "inputs": dict(node.inputs),
                "_meta": {"title": node.title},
            }
            for node in self.nodes.values()
        }

    def order(self, targets: Iterable[str]) -> list[str]:
        """Return the ids that the targets need, every node after the nodes it depends on.

        Raises:
            WorkflowError: a link leads to a node that does not exist, or in a circle.
        """
        done: dict[str, None] = {}
        for target in targets:
            self._visit(target, done)
        return list(done)

    def _visit(self, target: str, done: dict[str, None]) -> None:
        # An explicit stack: a long chain of nodes must not meet Python's recursion limit.
        path: dict[str, None] = {}
        stack = [(target, False)]
        while stack:
            node_id, left = stack.pop()
            if left:
                del path[node_id]
                done[node_id] = None
                continue
            if node_id in done:
                continue
            if node_id in path:
                circle = [*list(path)[list(path).index(node_id) :], node_id]
                names = " -> ".join(str(self.nodes[each]) for each in circle)
                raise WorkflowError(f"The workflow runs in a circle: {names}. Remove a link.")
            path[node_id] = None
            stack.append((node_id, True))
            stack.extend((link.node_id, False) for link in self._sources(node_id))

    def _sources(self, node_id: str) -> list[Link]:
        node = self.nodes[node_id]
        for name, link in node.links().items():
            if link.node_id not in self.nodes:
                raise WorkflowError(
                    f"{node}, input {name!r}: linked to node {link.node_id}, which the workflow "
                    "does not contain. Export the workflow again."
                )
        return list(node.links().values())


def describe(nodes: Mapping[str, Node] | Iterable[Node]) -> str:
    """Return "title (id), title (id), ..." for a message."""
    values = nodes.values() if isinstance(nodes, Mapping) else nodes
    return ", ".join(str(node) for node in values)


def load_graph(path: Path) -> Graph:
    """Read a workflow file in API format.

    Raises:
        WorkflowError: the file is missing, is no JSON, too deep, or no API-format graph.
    """
    try:
        data = read_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WorkflowError(f"Workflow {path}: no such file.") from None
    except OSError as error:
        raise WorkflowError(f"Workflow {path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise WorkflowError(
            f"Workflow {path}: not JSON, or not to be run ({error}). Export it in ComfyUI with "
            "File > Export (API)."
        ) from error
    return parse_graph(data, str(path))


def parse_graph(data: object, source: str) -> Graph:
    """Turn decoded API-format JSON into a graph.

    Args:
        data: the decoded JSON.
        source: what to call it in messages.

    Raises:
        WorkflowError: the data is in UI format, empty, or not a graph.
    """
    if isinstance(data, dict) and isinstance(data.get("nodes"), list):
        raise WorkflowError(
            f"Workflow {source}: this is the UI format, which only the browser can run. "
            "Open it in ComfyUI, choose File > Export (API), and run that file."
        )
    if not isinstance(data, dict) or not data:
        raise WorkflowError(
            f"Workflow {source}: no nodes in it. Expected an API-format graph, an object of "
            "node id to class_type and inputs (in ComfyUI: File > Export (API))."
        )
    return Graph({str(key): _parse_node(str(key), value, source) for key, value in data.items()})


def _parse_node(node_id: str, value: object, source: str) -> Node:
    known = value if isinstance(value, dict) else {}
    class_type, inputs = known.get("class_type"), known.get("inputs", {})
    if not isinstance(class_type, str) or not isinstance(inputs, dict):
        raise WorkflowError(
            f"Workflow {source}: node {node_id!r} has no class_type and inputs. Expected the API "
            "format (in ComfyUI: File > Export (API))."
        )
    meta = known.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return Node(node_id, class_type, str(title or class_type), inputs)


def find_image_node(graph: Graph, address: str | None = None, *, only_clips: bool = False) -> Node:
    """Return the node that gets the images.

    Args:
        graph: the workflow.
        address: id or title that the user gave; None to choose: the only LoadImage, or the only
            one with the title "Image".
        only_clips: no picture is among what it gets; then the only LoadVideo comes first.

    Raises:
        WorkflowError: there is none, the choice is open, or the node takes no file.
    """
    if address is not None:
        node = graph.find(address)
        if file_input(node) is None:
            raise WorkflowError(
                f"--image-node {address}: {node} is a {node.class_type}, which takes no image "
                f"file. Name a LoadImage node: {_loaders_text(graph)}."
            )
        return node
    videos = _of_class(graph, VIDEO_CLASS) if only_clips else []
    loaders = _of_class(graph, IMAGE_CLASS)
    titled = [node for node in loaders if node.title == IMAGE_TITLE]
    for choice in (videos, loaders, titled):
        if len(choice) == 1:
            return choice[0]
    if not loaders:
        raise WorkflowError(
            "The workflow has no LoadImage node for --image. Add one, or leave --image out."
        )
    raise WorkflowError(
        f"The workflow has {len(loaders)} LoadImage nodes: {describe(loaders)}. Choose one with "
        f'--image-node ID_OR_TITLE, or give it the title "{IMAGE_TITLE}".'
    )


def file_input(node: Node) -> str | None:
    """Return under which name a node takes a file, None where it takes none."""
    found = (name for name in FILE_INPUTS if isinstance(node.inputs.get(name), str))
    return next(found, None)


def given_file(graph: Graph, node_id: str, name: str, *, is_clip: bool) -> Graph:
    """Return the graph in which a node opens a file.

    A LoadImage that gets a clip becomes the two nodes that ComfyUI reads videos with.

    Args:
        graph: the workflow.
        node_id: from `find_image_node`.
        name: what the node is told.
        is_clip: it is a video.

    Raises:
        WorkflowError: the node takes no such file.
    """
    node = graph.nodes[node_id]
    field = file_input(node) or IMAGE_INPUT
    if is_clip and node.class_type == IMAGE_CLASS:
        return _reading_clip(graph, node, name)
    if is_clip is (field == IMAGE_INPUT):
        kind, other = ("a clip", "images") if is_clip else ("an image", "clips")
        raise WorkflowError(
            f"--image: found {kind} for {node}, a {node.class_type}, which takes {other}. Run it "
            "by itself, with another --image-node."
        )
    return graph.with_input(node_id, field, name)


def _reading_clip(graph: Graph, node: Node, name: str) -> Graph:
    for each in graph.nodes.values():
        for field, link in each.links().items():
            if link == Link(node.id, 1):
                raise WorkflowError(
                    f"{each}, input {field!r}: takes the mask of {node}, and a clip has none. "
                    "Unlink it, or run the workflow on images."
                )
    loader = Node(f"{node.id}_clip", VIDEO_CLASS, f"{node.title}: clip", {"file": name})
    reader = replace(node, class_type=COMPONENTS_CLASS, inputs={"video": [loader.id, 0]})
    return Graph({**graph.nodes, node.id: reader, loader.id: loader})


def follows(graph: Graph) -> bool:
    """Whether a clip goes through the graph as a whole, because a node follows objects."""
    return any(node.class_type in TRACKERS for node in graph.nodes.values())


def _of_class(graph: Graph, class_type: str) -> list[Node]:
    return [node for node in graph.nodes.values() if node.class_type == class_type]


def _loaders_text(graph: Graph) -> str:
    return describe(_of_class(graph, IMAGE_CLASS)) or "the workflow has none"
