"""A template as it is described: nodes, what links them, and what the card shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from .kinds import CORE, Kind, kind_of, our_schemas


@dataclass(frozen=True)
class Output:
    """An output of a node, by its place."""

    node: Node
    place: int

    @property
    def type(self) -> str:
        return self.node.kind.outputs[self.place][1]


@dataclass(eq=False)
class Node:
    """A node: its class, its values by widget, and what its sockets are linked to.

    column: where it stands, None for one column behind the last that it takes something from.
    properties: what the editor keeps beside the values.
    """

    id: int
    type: str
    kind: Kind
    title: str
    values: dict[str, Any]
    links: dict[str, Output]
    column: int | None = None
    properties: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Output:
        """The output of this name."""
        names = [each for each, _ in self.kind.outputs]
        return Output(self, names.index(name))


class Graph:
    """The nodes of a template, in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def add(
        self,
        type: str,
        title: str = "",
        column: int | None = None,
        properties: Mapping[str, Any] | None = None,
        **inputs: Any,
    ) -> Node:
        """Add a node; an input is a value, or an output that goes into it.

        Values that are left out are the node's own. Raises KeyError for an input that it has not.
        """
        links = {name: each for name, each in inputs.items() if isinstance(each, Output)}
        given = {name: each for name, each in inputs.items() if name not in links}
        kind = CORE[type] if type in CORE else kind_of(schemas()[type], given)
        values = {widget.name: widget.default for widget in kind.widgets}
        unknown = (given.keys() - values.keys()) | (
            links.keys() - {socket.name for socket in kind.sockets}
        )
        if unknown:
            raise KeyError(f"{type} has no {sorted(unknown)}")
        name = title or kind.title
        values |= given
        node = Node(len(self.nodes) + 1, type, kind, name, values, links, column)
        node.properties |= properties or {}
        self.nodes.append(node)
        return node


@cache
def schemas() -> dict[str, Any]:
    """The schemas of the pack's nodes by node id."""
    return our_schemas()


@dataclass(frozen=True)
class Card:
    """What the picture in the templates panel shows, and how the template is run for it.

    shows: titles of the nodes whose pictures are on it. made_by: for what cannot run without
    ComfyUI, the tool that draws it. changes: values in place of the template's, for models that
    are not here, as `--set` writes them. draw: puts the pictures together.
    """

    shows: tuple[str, ...] = ()
    made_by: str = ""
    changes: tuple[str, ...] = ()
    draw: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Lesson:
    """A template. name: of its file in workflows/api; title: of its file in workflows, which
    ComfyUI's panel shows.

    picture: what it opens, out of `pictures.PICTURES`. words: what its prompts name, all of which
    must be in the picture. note: two sentences. downloads: names in the catalogue of what its run
    fetches where it is not there. needs: what else; `{SAM 2.1 tiny}` stands for that model's size.
    """

    name: str
    title: str
    picture: str
    note: str
    build: Callable[[Graph, str], None]
    card: Card
    words: tuple[str, ...] = ()
    downloads: tuple[str, ...] = ()
    needs: str = ""
