"""The program that changes code to see whether the tests notice."""

from __future__ import annotations

import ast

import pytest

from tests.support.paths import ROOT
from tools import mutants

SOURCE = '''"""Text, which no mutant changes: 1 < 2."""

LIMIT: int | None = 3


def found(values: list[int] | None, *, best: bool = True) -> int:
    for value in values:
        if not value or (value < LIMIT and best):
            continue
        total = min(value - 1, 9) + sum(values, start=2.5)
        raise ValueError(f"{value + 1}")
'''
# All that may become of the line, by the line.
EXPECTED = {
    3: {"4", "(2)"},
    6: {"False"},
    8: {
        "(not value and (value < LIMIT and best))",
        "(value)",
        "(not value)",
        "True",
        "False",
        "(value < LIMIT and best)",
        "(value < LIMIT or best)",
        "(value < LIMIT)",
        "(value <= LIMIT)",
        "(best)",
    },
    9: {"pass"},
    10: {
        "(min(value - 1, 9) - sum(values, start=2.5))",
        "max",
        "(value + 1)",
        "2",
        "(0)",
        "10",
        "(8)",
        "",
        "3.5",
        "5.0",
    },
    11: {"pass"},
}


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    path = tmp_path / "core" / "found.py"
    path.parent.mkdir()
    path.write_text(SOURCE)
    return path


def test_what_a_mutant_may_be(file):
    made: dict[int, set[str]] = {}
    for each in mutants.mutants_of(file):
        line = file.read_bytes()[: each.start].count(b"\n") + 1
        made.setdefault(line, set()).add(each.text)
    assert made == EXPECTED


def test_every_mutant_is_another_program(file):
    for each in mutants.mutants_of(file):
        changed = each.applied(file.read_bytes())
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(SOURCE))
        assert each.diff().count("\n-") == 1


def test_a_file_is_restored_whatever_happens(file):
    (mutant, *_) = mutants.mutants_of(file)
    with pytest.raises(KeyboardInterrupt), mutants.written(mutant):
        assert file.read_text() != SOURCE
        raise KeyboardInterrupt
    assert file.read_text() == SOURCE


def test_a_seed_names_its_mutants(file):
    drawn = [mutants.sample("core", 5, seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 5
    assert len(mutants.sample("core", 10**6, 1)) == len(mutants.mutants_of(file))


def test_what_the_tests_let_pass_is_shown_and_counted(file, monkeypatch, capsys):
    outcomes = iter(["killed", "survived", "killed by time-out"])
    asked = []

    def run_tests(files):
        asked.append((files, file.read_text() != SOURCE))
        return next(outcomes)

    monkeypatch.setattr(mutants, "run_tests", run_tests)
    monkeypatch.setattr(mutants, "tests_for", lambda folder, name: [f"{folder}: {name}"])
    chosen = mutants.sample("core", 3, 1)
    mutants.ask("core", enumerate(chosen, 1))
    assert asked == [(["core: core/found.py"], True)] * 3
    told = capsys.readouterr().out
    assert told.endswith("core: 2 of 3 killed\n")
    assert chosen[1].diff() in told and chosen[0].diff() not in told


@pytest.mark.parametrize(
    ("folder", "name", "first"),
    [
        ("core/masks", "core/masks/refine.py", "tests/core/masks/test_refine.py"),
        ("core/providers", "core/providers/fields.py", "tests/core/providers/test_fields.py"),
        ("nodes", "nodes/combine.py", "tests/nodes/test_combine.py"),
    ],
)
def test_the_tests_that_name_a_module_come_first(folder, name, first):
    files = mutants.tests_for(folder, name)
    assert len(files) == len(set(files))
    assert all((ROOT / each).is_file() for each in files)
    assert set(files) >= set(mutants.tests_for(folder, folder))
    assert files[0] == first
