"""Where the nodes of a template stand, and which way its links take.

Nodes stand in columns from left to right, with a gap between two of them that is wide enough for
the bend of any link. A link to the next column runs through that gap; one that goes further rises
in it to a lane above all nodes and comes down in the gap before its goal. So none runs behind a
node.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .graph import Graph, Node

# Between columns; between two nodes of a column, whose title is above its place.
GAP, ROOM, TITLE = 110, 60, 30
# From lane to lane; from a column to the first link that rises beside it, and to the next.
LANE, MARGIN, STEP = 24, 24, 12
# Width and height that leave room for what a run shows in the node, in both renderers.
SIZES: dict[str, tuple[int, int]] = {
    "LoadImage": (315, 340),
    "SaveImage": (315, 330),
    "PreviewAny": (315, 210),
    "MaskToImage": (210, 50),
    "ImageFromBatch": (270, 115),
    "ImageBlur": (270, 115),
    "LoadBackgroundRemovalModel": (315, 115),
    "RemoveBackground": (300, 80),
    "CheckpointLoaderSimple": (315, 160),
    "CLIPTextEncode": (330, 170),
    "VAEEncode": (240, 75),
    "SetLatentNoiseMask": (260, 75),
    "KSampler": (300, 320),
    "VAEDecode": (240, 75),
    "SegmentAnywhereLoadSAM": (315, 165),
    "SegmentAnywherePoint": (420, 680),
    "SegmentAnywhereText": (420, 920),
    "SegmentAnywhereEverything": (400, 680),
    "SegmentAnywhereTrack": (420, 980),
    "SegmentAnywhereSelect": (330, 750),
    "SegmentAnywhereMaskRefine": (330, 775),
    "SegmentAnywhereDraw": (330, 520),
    "SegmentAnywhereCutOut": (330, 545),
    "SegmentAnywhereCompare": (330, 620),
    "SegmentAnywhereCrop": (330, 610),
    "SegmentAnywhereStitch": (330, 435),
    "SegmentAnywhereSave": (340, 605),
}
# Remote Provider Segment is as high as its provider has inputs, a note as its text has lines.
_REMOTE, _INPUT = (420, 480), 30
_NOTE, _LINE, _LETTERS = (315, 60), 22, 38
# A link that falls further than this goes straight down first: its bend would be too wide.
_FALL = 500


@dataclass(frozen=True)
class Box:
    """A node's place on the canvas without its title: left, top, width and height."""

    x: int
    y: int
    width: int
    height: int


@dataclass
class Bend:
    """A reroute. parent: the one before it, None for the first after the output."""

    id: int
    parent: int | None
    pos: tuple[int, int]
    links: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Link:
    """A link. goal: the place of the socket among the inputs of its node."""

    id: int
    source: Node
    output: int
    target: Node
    goal: int

    @property
    def type(self) -> str:
        return self.source.kind.outputs[self.output][1]


def links_of(graph: Graph) -> list[Link]:
    """All links, in the order of the nodes and of their sockets."""
    links = []
    for node in graph.nodes:
        for goal, socket in enumerate(node.kind.sockets):
            if (output := node.links.get(socket.name)) is not None:
                links.append(Link(len(links) + 1, output.node, output.place, node, goal))
    return links


def columns_of(nodes: Sequence[Node]) -> dict[int, int]:
    """The column of each node by its id: one behind all that it takes something from."""
    columns: dict[int, int] = {}
    for node in nodes:
        before = [columns[each.node.id] for each in node.links.values()]
        placed = 1 + max(before) if before else 0
        columns[node.id] = placed if node.column is None else node.column
    return columns


def place(nodes: Sequence[Node]) -> dict[int, Box]:
    """The box of each node by its id; those of a column stand one below the other."""
    rows: dict[int, list[Node]] = defaultdict(list)
    for node, column in zip(nodes, columns_of(nodes).values(), strict=True):
        rows[column].append(node)
    boxes, left = {}, 0
    for column in sorted(rows):
        top = 0
        # All of one width: a link out of a narrow node would pass below a wide one.
        width = max(size_of(node)[0] for node in rows[column])
        # What explains the rest comes first.
        for node in sorted(rows[column], key=lambda each: each.type != "MarkdownNote"):
            height = size_of(node)[1]
            boxes[node.id] = Box(left, top, width, height)
            top += height + ROOM
        left += width + GAP
    return boxes


def size_of(node: Node) -> tuple[int, int]:
    """Width and height of a node."""
    if node.type == "SegmentAnywhereRemote":
        return (_REMOTE[0], _REMOTE[1] + _INPUT * len(node.kind.widgets))
    if node.type == "MarkdownNote":
        lines = sum(len(part) // _LETTERS + 1 for part in node.values["text"].split("\n"))
        return (_NOTE[0], _NOTE[1] + _LINE * lines)
    return SIZES[node.type]


def route(graph: Graph, boxes: dict[int, Box]) -> tuple[list[Bend], dict[int, int]]:
    """The reroutes, and by link the id of the last one on its way."""
    columns = columns_of(graph.nodes)
    bends: list[Bend] = []
    last: dict[int, int] = {}
    for lane, far in enumerate(_far_links(graph, columns)):
        height = -TITLE - LANE * (lane + 1)
        aside = MARGIN + STEP * lane
        source = columns[far[0].source.id]
        end = _bend(bends, None, _right(source, columns, boxes) + aside, height)
        for column in sorted({columns[link.target.id] for link in far}):
            fall = _left(column, columns, boxes) - aside
            end = _bend(bends, end, fall, height)
            for link in far:
                if columns[link.target.id] == column:
                    low = boxes[link.target.id].y
                    is_deep = low - height > _FALL
                    last[link.id] = _bend(bends, end, fall, low) if is_deep else end
        _note_links(bends, last, far)
    return bends, last


def _bend(bends: list[Bend], parent: int | None, x: int, y: int) -> int:
    """Add a reroute behind another; its id."""
    bends.append(Bend(len(bends) + 1, parent, (x, y)))
    return bends[-1].id


def _far_links(graph: Graph, columns: dict[int, int]) -> Iterator[list[Link]]:
    """The links of each output that go further than to the next column."""
    bundles: dict[tuple[int, int], list[Link]] = defaultdict(list)
    for link in links_of(graph):
        if columns[link.target.id] > columns[link.source.id] + 1:
            bundles[link.source.id, link.output].append(link)
    yield from bundles.values()


def _note_links(bends: list[Bend], last: dict[int, int], links: list[Link]) -> None:
    """Write each link into all reroutes on its way."""
    by_id = {bend.id: bend for bend in bends}
    for link in links:
        bend: Bend | None = by_id[last[link.id]]
        while bend is not None:
            bend.links.append(link.id)
            bend = by_id[bend.parent] if bend.parent is not None else None


def _right(column: int, columns: dict[int, int], boxes: dict[int, Box]) -> int:
    return max(boxes[key].x + boxes[key].width for key, each in columns.items() if each == column)


def _left(column: int, columns: dict[int, int], boxes: dict[int, Box]) -> int:
    return min(boxes[key].x for key, each in columns.items() if each == column)
