"""The files of a template: what the editor opens, and the same graph for the API."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from .graph import Graph, Lesson, Node
from .kinds import OPTIONAL, Socket, Widget
from .layout import Box, Link, links_of, place, route

# A note's colours, as the editor's menu has them.
_NOTE_COLOURS = {"color": "#432", "bgcolor": "#653"}
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "segment-anywhere/workflows")


def editor_text(lesson: Lesson, graph: Graph) -> str:
    """What ComfyUI saves of the workflow, with the sizes and places that it is opened with."""
    boxes = place(graph.nodes)
    links = links_of(graph)
    bends, last = route(graph, boxes)
    extra: dict[str, Any] = {}
    if bends:
        extra["linkExtensions"] = [
            {"id": link, "parentId": bend} for link, bend in sorted(last.items())
        ]
        extra["reroutes"] = [
            {"id": bend.id}
            | ({"parentId": bend.parent} if bend.parent is not None else {})
            | {"pos": list(bend.pos), "linkIds": bend.links}
            for bend in bends
        ]
    workflow = {
        "id": str(uuid.uuid5(_NAMESPACE, lesson.name)),
        "revision": 0,
        "last_node_id": len(graph.nodes),
        "last_link_id": len(links),
        "nodes": [_editor_node(node, boxes[node.id], links) for node in graph.nodes],
        "links": [
            [link.id, link.source.id, link.output, link.target.id, link.goal, link.type]
            for link in links
        ],
        "groups": [],
        "config": {},
        "extra": extra,
        "version": 0.4,
    }
    return json.dumps(workflow, indent=1, ensure_ascii=False) + "\n"


def _editor_node(node: Node, box: Box, links: list[Link]) -> dict[str, Any]:
    into = {link.goal: link.id for link in links if link.target is node}
    inputs = [_socket(each, into.get(place)) for place, each in enumerate(node.kind.sockets)]
    is_note = node.type == "MarkdownNote"
    # The editor has no socket for the text of a note.
    inputs += [] if is_note else [_widget(each) for each in node.kind.widgets]
    values = []
    for widget in node.kind.widgets:
        values += [node.values[widget.name], *widget.after]
    return {
        "id": node.id,
        "type": node.type,
        "pos": [box.x, box.y],
        "size": [box.width, box.height],
        "flags": {},
        "order": node.id - 1,
        "mode": 0,
        "inputs": inputs,
        "outputs": [_output(node, place, links) for place in range(len(node.kind.outputs))],
        "title": node.title,
        "properties": ({} if is_note else {"Node name for S&R": node.type}) | node.properties,
        "widgets_values": values,
    } | (_NOTE_COLOURS if is_note else {})


def _socket(socket: Socket, link: int | None) -> dict[str, Any]:
    shape = {"shape": OPTIONAL} if socket.optional else {}
    return {"name": socket.name, "type": socket.type, "link": link} | shape


def _widget(widget: Widget) -> dict[str, Any]:
    shape = {"shape": OPTIONAL} if widget.optional else {}
    own = {"name": widget.name, "type": widget.type, "link": None}
    return own | shape | {"widget": {"name": widget.name}}


def _output(node: Node, place: int, links: list[Link]) -> dict[str, Any]:
    name, kind = node.kind.outputs[place]
    out = [link.id for link in links if link.source is node and link.output == place]
    return {"name": name, "type": kind, "links": out or None}


def api_graph(graph: Graph) -> dict[str, Any]:
    """What "Export (API)" makes of the workflow."""
    return {str(node.id): _api_node(node) for node in graph.nodes if node.type != "MarkdownNote"}


def _api_node(node: Node) -> dict[str, Any]:
    inputs: dict[str, Any] = {
        widget.name: node.values[widget.name]
        for widget in node.kind.widgets
        if not widget.editor_only
    }
    for name, output in node.links.items():
        inputs[name] = [str(output.node.id), output.place]
    return {"class_type": node.type, "inputs": inputs, "_meta": {"title": node.title}}


def api_text(graph: Mapping[str, Any]) -> str:
    return json.dumps(graph, indent=2, ensure_ascii=False) + "\n"
