"""The texts of the nodes, the settings and the editor, in every language."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from segment_anywhere.nodes import NODES
from segment_anywhere.nodes.host.settings import ASK_BEFORE_DOWNLOADING

from tests.support.paths import ROOT
from tests.support.translations import left_in_english, lost

LOCALES = ROOT / "locales"
LANGUAGES = sorted(path.name for path in LOCALES.iterdir() if path.is_dir())
TRANSLATED = [name for name in LANGUAGES if name != "en"]
SCRIPTS = ROOT / "web" / "js"


def _read(language: str, name: str) -> dict[str, Any]:
    return json.loads((LOCALES / language / name).read_text(encoding="utf-8"))


def _schemas() -> dict[str, Any]:
    """Every text that the schemas have, in the layout of nodeDefs.json."""
    texts = {}
    for node in NODES:
        schema = node.GET_SCHEMA()
        texts[schema.node_id] = {
            "display_name": schema.display_name,
            "description": schema.description,
            "inputs": {each.id: _text(each) for each in schema.inputs},
            "outputs": {str(i): _text(each) for i, each in enumerate(schema.outputs)},
        }
    return texts


def _text(part: Any) -> dict[str, str]:
    return {"name": part.display_name or part.id, "tooltip": part.tooltip}


def _editor_texts() -> dict[str, str]:
    """The texts of web/js/texts.js."""
    script = (SCRIPTS / "texts.js").read_text(encoding="utf-8")
    body = script[script.index("TEXTS = {") : script.index("\n};")]
    found = re.findall(r"^  (\w+):\s+\"(.*)\",$", body, re.MULTILINE)
    assert len(found) > 30
    return dict(found)


def _texts(language: str) -> dict[str, str]:
    """All texts of a language, by their place: file and keys, with slashes between."""
    editor = _editor_texts() if language == "en" else _read(language, "main.json")
    files = {
        "main.json": {"segmentAnywhere": editor} if language == "en" else editor,
        "nodeDefs.json": _read(language, "nodeDefs.json"),
        "settings.json": _read(language, "settings.json"),
    }
    return dict(_leaves(files, ""))


def _leaves(value: Any, place: str) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(place.removeprefix("/"), value)]
    return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{place}/{key}")]


def _options(place: str) -> list[str]:
    """What can be chosen on the node that a text belongs to."""
    return _choices().get(place.split("/")[1], [])


@cache
def _choices() -> dict[str, list[str]]:
    choices = {}
    for node in NODES:
        schema = node.GET_SCHEMA()
        options = [one for each in schema.inputs for one in getattr(each, "options", None) or ()]
        choices[schema.node_id] = [one for one in options if isinstance(one, str)]
    return choices


def test_the_languages():
    assert {"de", "en", "fr", "ja", "ko", "zh"} <= set(LANGUAGES)


def test_the_english_texts_are_the_schemas():
    assert _read("en", "nodeDefs.json") == _schemas()


def test_the_english_settings_are_the_scripts():
    script = (SCRIPTS / "segment_anywhere.js").read_text(encoding="utf-8")
    settings = re.findall(r"`\$\{NAME\}\.(\w+)\.(\w+)`", script)
    assert ASK_BEFORE_DOWNLOADING.split(".")[1:] in [list(names) for names in settings]
    texts = _read("en", "settings.json")
    assert texts.keys() == {"_".join(("SegmentAnywhere", *names)) for names in settings}
    for one in texts.values():
        assert f'name: "{one["name"]}"' in script
        assert re.search(rf'tooltip:\s+"{re.escape(one["tooltip"])}"', script)


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated(language):
    found, wanted = _texts(language), _texts("en")
    assert sorted(wanted.keys() - found.keys()) == [], "missing"
    assert sorted(found.keys() - wanted.keys()) == [], "unknown"
    assert [place for place, text in found.items() if not text.strip()] == [], "empty"


@pytest.mark.parametrize("language", TRANSLATED)
def test_nothing_is_left_in_english(language):
    english = _texts("en")
    left = {
        place: text
        for place, text in _texts(language).items()
        if left_in_english(english[place], text, language, _options(place))
    }
    assert left == {}


@pytest.mark.parametrize("language", TRANSLATED)
def test_numbers_names_options_and_placeholders_are_kept(language):
    english = _texts("en")
    missed = {
        place: missing
        for place, text in _texts(language).items()
        if (missing := lost(english[place], text, _options(place)))
    }
    assert missed == {}


@pytest.mark.parametrize("language", TRANSLATED)
def test_what_has_two_names_in_english_has_two(language):
    texts = _read(language, "nodeDefs.json")
    names = [node["display_name"] for node in texts.values()]
    assert sorted(names) == sorted(set(names))
    for node_id, node in _read("en", "nodeDefs.json").items():
        for side in ("inputs", "outputs"):
            ours = [one["name"] for one in texts[node_id][side].values()]
            theirs = [one["name"] for one in node[side].values()]
            assert len(set(ours)) == len(set(theirs)), f"{node_id}/{side}: {ours}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_breaks_the_frontends_own_formatting(language):
    """Its library takes these for placeholders, plurals and links."""
    for place, text in _texts(language).items():
        if not place.startswith("main.json"):
            assert not set("{}|@") & set(text), place


@pytest.mark.parametrize("language", TRANSLATED)
def test_contributing_says_who_translated(language):
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"`locales/{language}/`" in page
