"""Phrases among a model's own classes: which label they name, and what is said of others."""

from __future__ import annotations

import pytest
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.prompts.labels import all_labels, choose_labels
from segment_anywhere.core.prompts.phrases import read_query

LABELS = ("Background", "person", "traffic light", "Upper-clothes", "l_eye", "bus", "door, gate")
MANY = ("person", *(f"thing {number}" for number in range(100)), "persimmon")


@pytest.mark.parametrize(
    ("phrase", "label"),
    [
        ("person", "person"),
        (" Person ", "person"),
        ("PERSONS", "person"),
        ("traffic-light", "traffic light"),
        ("Traffic  Lights", "traffic light"),
        ("upper clothes", "Upper-clothes"),
        ("upper_clothe", "Upper-clothes"),
        ("L eye", "l_eye"),
        ("l eyes", "l_eye"),
        ("buses", "bus"),
        ("bus", "bus"),
        ("gate", "door, gate"),
        ("doors", "door, gate"),
        ("background", "Background"),
    ],
)
def test_the_label_that_a_phrase_names(phrase, label):
    assert choose_labels([phrase], LABELS) == (label,)


def test_a_whole_name_goes_before_a_part_of_another():
    assert choose_labels(["gate"], ("door, gate", "gate")) == ("gate",)


def test_a_label_comes_once_in_the_order_of_the_phrases():
    assert choose_labels(["bus", "persons", "Bus", "person"], LABELS) == ("bus", "person")


def test_another_word_is_an_error_that_lists_the_labels():
    listed = "accepted: person, Background, traffic light, Upper-clothes, l_eye, bus, door, gate. "
    with pytest.raises(InputError, match='^negative_prompt: "preson" is none of the 7 ') as error:
        choose_labels(["bus", "preson"], LABELS, "negative_prompt")
    assert listed in str(error.value)


def test_of_many_labels_the_nearest_are_listed():
    with pytest.raises(InputError) as error:
        choose_labels(["persin"], MANY)
    text = str(error.value)
    assert "of the 102 classes" in text and "accepted: person, persimmon, thing 0, " in text
    assert "and 78 more" in text and len(text) < 500


def test_no_prompt_is_every_class_that_names_something():
    assert all_labels(("background", "N/A", "cat", "dog"), ["dog"]) == ("cat",)
    query = read_query(" ,", "bus", 0.5, 2, labels=LABELS)
    assert query.phrases == ("person", "traffic light", "Upper-clothes", "l_eye", "door, gate")
    assert query.unwanted == ("bus",) and query.is_all
    assert (query.threshold, query.max_objects) == (0.5, 2)


def test_the_query_holds_the_models_own_names():
    query = read_query("PERSONS, upper clothes", "gates", 0.5, 0, labels=LABELS)
    assert query.phrases == ("person", "Upper-clothes") and query.unwanted == ("door, gate",)
    assert not query.is_all


@pytest.mark.parametrize(
    ("prompt", "negative", "message"),
    [
        ("cat", "", '^prompt: "cat" is none'),
        ("", "cat", '^negative_prompt: "cat" is none'),
        ("person", "Persons", '"person" is in prompt too'),
    ],
)
def test_queries_that_are_refused(prompt, negative, message):
    with pytest.raises(InputError, match=message):
        read_query(prompt, negative, 0.5, 0, labels=LABELS)
