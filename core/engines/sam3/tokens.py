"""CLIP's tokenizer: words to the numbers that a text encoder reads.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision"
(2021); lower-cased byte-pair encoding, equal to the official SAM 3 tokenizer, see tests/parity.
The vocabulary comes with the weights, or with ComfyUI, which has it for its own text encoders.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import CheckpointError, InputError

_START, _END = "<|startoftext|>", "<|endoftext|>"
# Contractions, words, single digits, and what is left between spaces.
_PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class ClipTokenizer:
    """Byte pairs, with a mark for the start and one for the end."""

    def __init__(self, pairs: Any):
        """pairs: a `tokenizers.Tokenizer`."""
        pairs.no_padding()
        pairs.no_truncation()
        self._pairs = pairs
        self._start, self._end = pairs.token_to_id(_START), pairs.token_to_id(_END)
        if self._start is None or self._end is None:
            raise ValueError(f"no {_START} and {_END} in the vocabulary")

    def __len__(self) -> int:
        return self._pairs.get_vocab_size()

    def encode(self, phrase: str, limit: int) -> list[int]:
        """The numbers of a phrase, those of the two marks among them.

        Raises InputError for a phrase of nothing but spaces, and for one of more than `limit`.
        """
        pieces = self._pairs.encode(phrase, add_special_tokens=False).ids
        if not pieces:
            raise InputError("prompt: an empty phrase; write what to look for, such as dog.")
        if len(pieces) + 2 > limit:
            raise InputError(
                f"prompt: {phrase[:60]!r}... is {len(pieces)} tokens long (a word has one to "
                f"four); accepted are {limit - 2}. Shorten it, or split it into phrases by commas."
            )
        return [self._start, *pieces, self._end]


def load_tokenizer(folders: Sequence[Path]) -> ClipTokenizer:
    """The tokenizer of the first folder that has one: vocab.json and merges.txt, or tokenizer.json.

    Raises CheckpointError, naming the folders, where none has, and for files that are none.
    """
    for folder in folders:
        try:
            if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
                return ClipTokenizer(_read_pairs(folder))
            if (folder / "tokenizer.json").is_file():
                from tokenizers import Tokenizer

                return ClipTokenizer(Tokenizer.from_file(str(folder / "tokenizer.json")))
        except Exception as error:
            # The library raises plain exceptions for damaged files.
            reason = str(error).partition("\n")[0]
            raise CheckpointError(
                f"{folder}: its tokenizer cannot be read ({reason}). Download vocab.json and "
                "merges.txt of its repository again."
            ) from error
    raise CheckpointError(
        "SAM 3: no tokenizer, without which words cannot be read. Looked for vocab.json and "
        f"merges.txt, or tokenizer.json, in {', '.join(map(str, folders)) or 'no folder'}. Put "
        "those of the repository facebook/sam3, or of any CLIP model, beside the weights."
    )


def _pair(line: str) -> tuple[str, str]:
    left, right = line.split()
    return left, right


def _read_pairs(folder: Path) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [_pair(line) for line in lines if line and not line.startswith("#version")]
    pairs = Tokenizer(
        models.BPE(vocabulary, merges, unk_token=_END, end_of_word_suffix="</w>", fuse_unk=False)
    )
    pairs.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Lowercase(),
        ]
    )
    pairs.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return pairs
