"""The templates of the remote providers: the same graph around each."""

from __future__ import annotations

from functools import partial

from .cards import halves
from .graph import Card, Graph, Lesson
from .parts import FLOWER, clicks, cut_and_drawn, mask_saved, opened
from .pictures import Picture

WORD = "flower"
# The providers that take clicks and no words.
_CLICKED = ("airefinery",)


def provider_graph(key: str, graph: Graph, picture: Picture) -> None:
    """Remote Provider Segment with what shows its result."""
    image = opened(graph, picture)
    asked = {"provider.prompt": WORD}
    if key in _CLICKED:
        asked = {"provider.points": clicks(picture, FLOWER)}
    found = graph.add("SegmentAnywhereRemote", image=image, provider=key, **asked)
    mask_saved(graph, found["mask"], prefix=f"{key}_mask")
    cut_and_drawn(graph, image, found["mask"], found["segments"], f"{key}_")
    graph.add("PreviewAny", "Info", source=found["info"])


def provider_lesson(key: str, title: str, variable: str, needs: str = "") -> Lesson:
    """The template of a provider. variable: what its key stands in."""
    asked = "the click on it" if key in _CLICKED else "the word in *prompt*"
    return Lesson(
        f"remote_{key}",
        title,
        "dahlia",
        f"The image and {asked} go to the provider when you press **Run**, and not before. "
        "What was paid for is kept: the same again sends nothing.",
        partial(provider_graph, key),
        Card(("Overlay", "Cut-out"), draw=halves),
        words=() if key in _CLICKED else (WORD,),
        needs=needs
        or f"a key in `{variable}` where ComfyUI starts; each run is paid at the provider.",
    )
