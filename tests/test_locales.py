"""The texts of the nodes, the settings and the editor, in every language."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from segment_anywhere.nodes import NODES

from tests.support.paths import ROOT

LOCALES = ROOT / "locales"
LANGUAGES = sorted(path.name for path in LOCALES.iterdir() if path.is_dir())
SCRIPTS = ROOT / "web" / "js"


def _read(language: str, name: str) -> dict[str, Any]:
    return json.loads((LOCALES / language / name).read_text(encoding="utf-8"))


def _keys(value: Any) -> Any:
    is_object = isinstance(value, dict)
    return {key: _keys(inner) for key, inner in value.items()} if is_object else type(value)


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
    """The keys of web/js/texts.js with their placeholders."""
    script = (SCRIPTS / "texts.js").read_text(encoding="utf-8")
    body = script[script.index("TEXTS = {") : script.index("\n};")]
    found = re.findall(r"^  (\w+):\s+\"(.*)\",$", body, re.MULTILINE)
    assert len(found) > 30
    return dict(found)


def test_there_is_english_and_chinese():
    assert {"en", "zh"} <= set(LANGUAGES)


def test_the_english_texts_are_the_schemas():
    assert _read("en", "nodeDefs.json") == _schemas()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_node_is_translated(language):
    found, wanted = _keys(_read(language, "nodeDefs.json")), _keys(_schemas())
    assert found == wanted


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_setting_is_translated(language):
    script = (SCRIPTS / "segment_anywhere.js").read_text(encoding="utf-8")
    settings = re.findall(r"`\$\{NAME\}\.Editor\.(\w+)`", script)
    texts = _read(language, "settings.json")
    assert texts.keys() == {f"SegmentAnywhere_Editor_{name}" for name in settings}
    if language == "en":
        for one in texts.values():
            assert f'name: "{one["name"]}"' in script
            assert f'tooltip: "{one["tooltip"]}"' in script


@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "en"])
def test_every_text_of_the_editor_is_translated(language):
    texts, english = _read(language, "main.json")["segmentAnywhere"], _editor_texts()
    assert texts.keys() == english.keys()
    for key, text in texts.items():
        places = [re.findall(r"\{\d\}", one) for one in (text, english[key])]
        assert sorted(places[0]) == sorted(places[1]), key


def _leaves(value: Any) -> list[str]:
    inner = value.values() if isinstance(value, dict) else ()
    return [value] if isinstance(value, str) else [text for one in inner for text in _leaves(one)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["nodeDefs.json", "settings.json"])
def test_no_text_breaks_the_frontends_own_formatting(language, name):
    """Its library takes these for placeholders, plurals and links."""
    for text in _leaves(_read(language, name)):
        assert not set("{}|@") & set(text), text
