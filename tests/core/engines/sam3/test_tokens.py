"""The tokenizer against the official one, and vocabularies that are missing or damaged."""

from __future__ import annotations

import json
import shutil

import pytest
from segment_anywhere.core.engines.sam3.tokens import load_tokenizer
from segment_anywhere.core.errors import CheckpointError, InputError

from tests.support.paths import FIXTURES

FOLDER = FIXTURES / "sam3_parity"
OFFICIAL = json.loads((FOLDER / "config.json").read_text())["tokens"]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer([FOLDER])


@pytest.mark.parametrize("phrase", OFFICIAL)
def test_equals_the_official_tokenizer(phrase, tokenizer):
    """Stored are the ids that sam3 0.1.4 gave, filled up with 0 to the model's length."""
    official = OFFICIAL[phrase]
    ids = tokenizer.encode(phrase, limit=len(official))
    assert ids + [0] * (len(official) - len(ids)) == official


def test_tokenizer_json_gives_the_same(tokenizer, tmp_path):
    tokenizer._pairs.save(str(tmp_path / "tokenizer.json"))
    other = load_tokenizer([tmp_path / "gone", tmp_path])
    assert len(other) == len(tokenizer)
    for phrase in OFFICIAL:
        assert other.encode(phrase, 32) == tokenizer.encode(phrase, 32)


@pytest.mark.parametrize("phrase", ["", " \n "])
def test_an_empty_phrase(phrase, tokenizer):
    with pytest.raises(InputError, match="empty phrase; write what to look for"):
        tokenizer.encode(phrase, 32)


def test_a_long_phrase_names_the_limit(tokenizer):
    assert len(tokenizer.encode("dog " * 30, 32)) == 32
    with pytest.raises(
        InputError, match=r"31 tokens.*accepted are 30.*split it into phrases by commas"
    ):
        tokenizer.encode("dog " * 31, 32)


def test_any_script_can_be_written(tokenizer):
    assert len(tokenizer.encode("犬", 32)) == 5
    assert tokenizer.encode("DOG", 32) == tokenizer.encode("  dog\t", 32)


def test_the_first_folder_that_has_one_is_taken(tokenizer, tmp_path):
    (tmp_path / "vocab.json").write_text("{}")
    assert len(load_tokenizer([tmp_path, FOLDER])) == len(tokenizer)


@pytest.mark.parametrize("folders", [[], ["one", "two"]])
def test_no_vocabulary(folders, tmp_path):
    with pytest.raises(CheckpointError, match="no tokenizer.*vocab.json and merges.txt") as caught:
        load_tokenizer([tmp_path / name for name in folders])
    assert all(name in str(caught.value) for name in folders)


@pytest.mark.parametrize("damaged", ["vocab.json", "merges.txt", "tokenizer.json"])
def test_a_damaged_vocabulary(damaged, tmp_path):
    if damaged != "tokenizer.json":
        for name in ("vocab.json", "merges.txt"):
            shutil.copy(FOLDER / name, tmp_path)
    (tmp_path / damaged).write_text("<html>")
    with pytest.raises(CheckpointError, match="tokenizer cannot be read.*again"):
        load_tokenizer([tmp_path])


def test_a_vocabulary_of_another_kind(tmp_path):
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(CheckpointError, match="no <|startoftext|>".replace("|", r"\|")):
        load_tokenizer([tmp_path])


@pytest.mark.parametrize("mark", ["<|startoftext|>", "<|endoftext|>"])
def test_a_vocabulary_with_one_of_the_two_marks(mark, tmp_path):
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, mark: 1}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(CheckpointError, match="no <.startoftext.> and <.endoftext.>"):
        load_tokenizer([tmp_path])
