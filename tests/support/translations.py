"""What a translation keeps of the English text, and how one that was forgotten shows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

# Words that French and German do not have: with one of them a sentence was left in English.
_ENGLISH = frozenset(
    "and are by every for from is its not of that the their this to what where which with without"
    " you".split()
)
# Texts that are no words, and names that are the same everywhere.
_NAMES = frozenset({"{ }", "iou", "json", "segs"})
# Short texts that are the same words in a language as in English.
SHARED = {
    "de": "frame, info, label, labels, name a, name b, prompt".split(", "),
    "fr": (
        "classes, direction, format, frame, image, images, points, segments, segments a,"
        " segments b, style"
    ).split(", "),
}
_PLACEHOLDER, _NUMBER = r"\{\d\}", r"\d+(?:\.\d+)*"
_ORDINAL = re.compile(rf"{_NUMBER}(?:st|nd|rd|th)?")
_QUOTED = re.compile(r'"[^"]*"')
_CODE = re.compile(r"[A-Za-z0-9#+./-]*[A-Za-z0-9+]")
_LATIN = re.compile(r"[a-zÀ-ɏ]+")
# IoU, fp16 and ComfyUI; models/sams and config.json; #00ff00.
_IS_CODE = re.compile(r".+[A-Z0-9]|.*[./#]|.+\+$")


def lost(english: str, text: str, options: Iterable[str] = ()) -> list[str]:
    """What `text` has to have as the English text has it, and lacks.

    That is: numbers, placeholders, quoted words, names written like code (JSON, ComfyUI, fp16,
    models/sams), and those of `options` that the English text explains.
    """
    counted = _counted(english) - _counted(text)
    words = [word for word in _CODE.findall(english) if _is_code(word)]
    words += _QUOTED.findall(english)
    words += [option for option in options if _explains(english, option)]
    return [*counted, *(word for word in dict.fromkeys(words) if word not in text)]


def _counted(text: str) -> Counter[str]:
    """How often the numbers and placeholders of a text are in it."""
    return Counter(re.findall(rf"{_PLACEHOLDER}|{_NUMBER}", text))


def left_in_english(english: str, text: str, language: str, options: Iterable[str] = ()) -> bool:
    """Whether `text` is the English one, or has words, but for options, that are English only."""
    plain = _plain(text)
    if plain in _NAMES or plain in SHARED.get(language, ()):
        return False
    for option in options:
        text = text.replace(option, "")
    words = _LATIN.findall(text.casefold())
    return plain == _plain(english) or not _ENGLISH.isdisjoint(words)


def _plain(text: str) -> str:
    return text.replace("_", " ").casefold()


def _is_code(word: str) -> bool:
    return not _ORDINAL.fullmatch(word) and _IS_CODE.match(word) is not None


def _explains(english: str, option: str) -> bool:
    """Whether a sentence begins with the option, or it stands before a colon or after `=`."""
    name = re.escape(option)
    return re.search(rf"(?:^|[.;=] ){name}\b|\b{name}:", english) is not None
