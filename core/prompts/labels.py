"""Phrases among the names that a model has for its own classes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from ..errors import InputError

# Names are written with any of these between their words.
_BETWEEN_WORDS = re.compile(r"[\s_-]+")
# Some data sets give a class several names.
_BETWEEN_NAMES = re.compile(r"[,;]")
# Classes that stand for nothing.
_NOTHING = {"background", "n/a", "unlabeled", "void"}
_MOST_LISTED, _NEAREST, _SHORTENED = 79, 5, 24


def choose_labels(
    phrases: Sequence[str], labels: Sequence[str], name: str = "prompt"
) -> tuple[str, ...]:
    """The labels that phrases name, each once, in the order of the phrases.

    Case, plural and what stands between words do not count; of a label with several names
    ("door, gate") each one will do. name: the input that holds the phrases. Raises InputError for a
    phrase that names no label; it lists them, the most similar first.
    """
    known = _by_name(labels)
    return tuple(dict.fromkeys(_label_of(phrase, known, labels, name) for phrase in phrases))


def all_labels(labels: Sequence[str], but: Sequence[str] = ()) -> tuple[str, ...]:
    """The labels that name something, but for some of them."""
    return tuple(label for label in labels if _plain(label) not in _NOTHING and label not in but)


def _label_of(phrase: str, known: dict[str, str], labels: Sequence[str], name: str) -> str:
    plain = _plain(phrase)
    forms = (plain, f"{plain}s", f"{plain}es", plain.removesuffix("s"), plain.removesuffix("es"))
    for form in forms:
        if form in known:
            return known[form]
    raise InputError(
        f'{name}: "{phrase[:60]}" is none of the {len(labels)} classes that the detector knows; '
        f"accepted: {_listed(plain, known, labels)}. Choose among them, or another detector, which "
        "understands any words."
    )


def _listed(plain: str, known: dict[str, str], labels: Sequence[str]) -> str:
    """The labels for a message, those most like a phrase first; not all where there are many."""
    near = difflib.get_close_matches(plain, known, n=_NEAREST, cutoff=0.5)
    ordered = list(dict.fromkeys([*(known[each] for each in near), *labels]))
    if len(ordered) <= _MOST_LISTED:
        return ", ".join(ordered)
    return f"{', '.join(ordered[:_SHORTENED])} and {len(ordered) - _SHORTENED} more"


def _by_name(labels: Sequence[str]) -> dict[str, str]:
    """Labels by how they may be called; a whole label goes before a part of another."""
    known: dict[str, str] = {}
    for label in labels:
        known.setdefault(_plain(label), label)
    for label in labels:
        for part in _BETWEEN_NAMES.split(label):
            known.setdefault(_plain(part), label)
    return known


def _plain(name: str) -> str:
    return _BETWEEN_WORDS.sub(" ", name).strip().casefold()
