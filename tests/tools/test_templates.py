"""The templates: the files are what the script makes, they fit their pictures and lie tidily."""

from __future__ import annotations

import itertools
import re

import pytest
from PIL import Image
from segment_anywhere.core.engines.files.catalogue import CATALOGUE, DETECTORS, MATTING

from tests.support.paths import ROOT
from tools.templates.graph import Graph
from tools.templates.layout import TITLE, columns_of, links_of, place, route
from tools.templates.lessons import LESSONS
from tools.templates.pictures import PICTURES
from tools.templates.writing import (
    LIST,
    WORKFLOWS,
    all_lessons,
    api_path,
    build,
    card_path,
    editor_path,
    list_text,
    note_of,
    texts,
)

ALL = pytest.mark.parametrize("lesson", all_lessons(), ids=lambda each: each.name)
# What file systems and addresses read as something else.
FORBIDDEN = re.compile(r'[<>:"/\\|?*#%&+]|^\.|[. ]$|^$')


@ALL
def test_the_files_are_what_the_script_makes(lesson):
    """`make templates` writes them."""
    for path, text in texts(lesson).items():
        assert path.read_text(encoding="utf-8") == text


def test_there_are_no_other_files():
    lessons = all_lessons()
    assert sorted(WORKFLOWS.glob("*.json")) == sorted(map(editor_path, lessons))
    assert sorted(WORKFLOWS.glob("*.jpg")) == sorted(card_path(each.name) for each in lessons)
    assert sorted((WORKFLOWS / "api").iterdir()) == sorted(map(api_path, lessons))
    assert LIST.read_text(encoding="utf-8") == list_text()


@ALL
def test_a_card_has_the_panels_size(lesson):
    with Image.open(card_path(lesson.name)) as card:
        assert (card.size, card.format) == ((600, 400), "JPEG")


@ALL
def test_a_title_is_a_file_name_everywhere(lesson):
    assert not FORBIDDEN.search(lesson.title)
    assert lesson.title.isascii()
    assert len(lesson.title) <= 40


def test_the_course_is_numbered_and_comes_first():
    numbers = [int(lesson.title.split()[0]) for lesson in LESSONS]
    assert numbers == list(range(1, len(LESSONS) + 1))
    # In plain order of the names, too: no number has two digits.
    titles = [lesson.title for lesson in all_lessons()]
    assert sorted(titles)[: len(LESSONS)] == [lesson.title for lesson in LESSONS]


def test_the_first_has_few_nodes():
    assert len(build(LESSONS[0]).nodes) <= 6


@ALL
def test_words_are_in_the_picture(lesson):
    """Each prompt names what the picture of the template shows."""
    prompts = [
        phrase.strip()
        for node in build(lesson).nodes
        for name, value in node.values.items()
        if name in ("prompt", "provider.prompt", "labels") and isinstance(value, str)
        # ComfyUI's own prompts have other names, and are for a picture that is to be made.
        for phrase in value.split(",")
        if phrase.strip() and node.type != "SegmentAnywhereDraw"
    ]
    assert set(prompts) == set(lesson.words)
    assert set(prompts) <= set(PICTURES[lesson.picture].words)


@ALL
def test_a_template_opens_a_picture_of_the_pack(lesson):
    picture = PICTURES[lesson.picture]
    (load,) = [node for node in build(lesson).nodes if node.type == "LoadImage"]
    assert load.values["image"] == picture.input_name
    with Image.open(picture.path) as opened:
        assert opened.size == picture.size
    assert picture.path.stat().st_size < 200_000


@ALL
def test_a_note_has_two_sentences_and_the_size_of_the_download(lesson):
    assert len(re.findall(r"[.!?](?= |$)", lesson.note)) == 2
    note = note_of(lesson)
    sizes = {entry.name: entry.size_text for entry in (*CATALOGUE, *DETECTORS, *MATTING)}
    for name in lesson.downloads:
        assert f"{name} ({sizes[name]})" in note
    assert ("**Download:** none" in note) == (not lesson.downloads)


@ALL
def test_nodes_do_not_overlap(lesson):
    boxes = place(build(lesson).nodes).values()
    for one, other in itertools.combinations(boxes, 2):
        apart = (
            one.x + one.width < other.x
            or other.x + other.width < one.x
            or one.y + one.height < other.y - TITLE
            or other.y + other.height < one.y - TITLE
        )
        assert apart, (one, other)


@ALL
def test_links_run_between_columns_or_above_all_nodes(lesson):
    graph = build(lesson)
    boxes, columns = place(graph.nodes), columns_of(graph.nodes)
    bends, last = route(graph, boxes)
    for link in links_of(graph):
        is_far = columns[link.target.id] - columns[link.source.id] > 1
        assert columns[link.target.id] > columns[link.source.id]
        assert (link.id in last) == is_far
    tops = [box.y - TITLE for box in boxes.values()]
    for bend in bends:
        # It rises to a lane above all nodes first, and falls beside them.
        assert bend.parent is not None or bend.pos[1] <= min(tops)
        assert not any(box.x <= bend.pos[0] <= box.x + box.width for box in boxes.values())


@ALL
def test_no_two_bends_lie_on_each_other(lesson):
    graph = build(lesson)
    places = [bend.pos for bend in route(graph, place(graph.nodes))[0]]
    assert len(set(places)) == len(places)


def test_a_value_that_a_node_has_not_is_refused():
    graph = Graph()
    with pytest.raises(KeyError, match="preset"):
        graph.add("SegmentAnywhereDraw", preset="fill")
    assert graph.nodes == []


def test_the_readme_names_templates_that_are_there():
    """Names in italics behind the word template."""
    titles = {lesson.title for lesson in all_lessons()}
    for path in (ROOT / "README.md", *(ROOT / "web" / "docs").glob("*.md")):
        text = " ".join(path.read_text(encoding="utf-8").split())
        for name in re.findall(r"[Tt]emplates? (?:is )?\*([^*]+)\*", text):
            assert name in titles, (path.name, name)
