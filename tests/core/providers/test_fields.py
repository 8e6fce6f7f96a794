"""A provider's inputs stand in its own file: widgets and checks are made of the same fields."""

from __future__ import annotations

import pytest
from segment_anywhere.core.errors import InputError
from segment_anywhere.core.providers.credentials import FILE_NAME
from segment_anywhere.core.providers.fields import (
    AddressField,
    ChoiceField,
    Field,
    NumberField,
    SwitchField,
    TextField,
    check_fields,
)
from segment_anywhere.core.providers.registry import PROVIDERS
from segment_anywhere.nodes.host import folders
from segment_anywhere.nodes.remote_inputs import provider_input, widget
from segment_anywhere.nodes.remote_segment import RemoteProviderSegment

ALL = [
    pytest.param(field, id=f"{provider.key}.{field.name}")
    for provider in PROVIDERS.values()
    for field in provider.fields
]


@pytest.mark.parametrize("field", ALL)
def test_a_default_passes_and_so_does_what_is_left_out(field):
    check_fields([field], {field.name: field.default})
    check_fields([field], {field.name: None})
    check_fields([field], {})


@pytest.mark.parametrize("field", ALL)
def test_every_field_refuses_something_and_names_itself(field):
    with pytest.raises(InputError, match=f"^{field.name}: found .*; accepted "):
        field.check(object())


@pytest.mark.parametrize("field", ALL)
def test_the_widget_has_the_limits_that_are_checked(field):
    made = widget(field)
    assert (made.id, made.default, made.optional) == (field.name, field.default, field.is_optional)
    assert made.tooltip == field.tooltip and field.tooltip
    if isinstance(field, NumberField):
        assert field.accepts(made.min) and field.accepts(made.max)
        assert not field.accepts(made.min - 1) and not field.accepts(made.max + 1)
    if isinstance(field, ChoiceField):
        assert made.options == list(field.choices)
        assert all(field.accepts(choice) for choice in made.options)
    if isinstance(field, TextField):
        assert made.multiline is field.is_multiline


def test_the_node_shows_every_provider_with_its_fields():
    shown = {option.key: [each.id for each in option.inputs] for option in provider_input().options}
    assert shown == {key: [f.name for f in each.fields] for key, each in PROVIDERS.items()}
    assert next(iter(PROVIDERS)) == "fal"


NO_KEYS = [name for each in PROVIDERS.values() for group in each.key_variables for name in group]


@pytest.mark.parametrize(
    ("environment", "file", "first"),
    [
        ({}, "", "fal"),
        ({"SEGMIND_API_KEY": "sk-1", "GITEE_AI_API_KEY": "sk-2"}, "", "segmind"),
        ({"SEGMIND_API_KEY": "sk-1", "FAL_KEY": "sk-2"}, "", "fal"),
        ({}, '[moark]\nkey = "sk-1"\n', "moark"),
        ({"HF_TOKEN": "hf-1"}, "", "fal"),
        ({"SEGMENT_ANYWHERE_FAL_URL": "https://proxy.example", "AIR_API_KEY": "k"}, "", "airefin"),
        ({}, "no TOML", "fal"),
    ],
)
def test_the_list_begins_with_the_first_provider_whose_key_is_set(
    monkeypatch, tmp_path, environment, file, first
):
    for name in NO_KEYS:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(folders, "user_folder", lambda: tmp_path)
    path = tmp_path / FILE_NAME
    path.write_text(file)
    path.chmod(0o600)
    combo = next(
        each for each in RemoteProviderSegment.GET_SCHEMA().inputs if each.id == "provider"
    )
    keys = [option.key for option in combo.options]
    assert keys[0].startswith(first)
    assert keys[1:] == [key for key in PROVIDERS if key != keys[0]]


@pytest.mark.parametrize("key", PROVIDERS)
def test_names_are_a_providers_own(key):
    names = [field.name for field in PROVIDERS[key].fields]
    assert len(names) == len(set(names))


def test_an_address_is_public_and_https():
    field = AddressField(name="a", tooltip="")
    assert all(map(field.accepts, ("", " ", "https://a.example/b?c=d", "https://8.8.8.8:8443/")))
    assert not any(map(field.accepts, ("http://a.example", "https://fe80--1", "x", 5, None)))
    assert isinstance(widget(field), type(widget(TextField(name="t", tooltip=""))))


def test_a_kind_of_field_without_a_widget_is_named():
    class Odd(Field):
        def accepts(self, value):
            return True

        @property
        def advice(self):
            return "", ""

    with pytest.raises(TypeError, match="odd: no widget is known for Odd"):
        widget(Odd(name="odd", tooltip=""))


def test_whole_numbers_and_switches_are_told_apart():
    number = NumberField(name="n", tooltip="", lowest=0, highest=1, default=0)
    switch = SwitchField(name="s", tooltip="")
    assert number.accepts(1) and not number.accepts(True)
    assert switch.accepts(True) and not switch.accepts(1)
