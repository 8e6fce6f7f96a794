"""Takes a profile's secrets out of what others wrote, in whatever spelling they wrote them.

A service that refuses a key likes to repeat it: as it is, escaped for JSON, HTML or an address, in
Base64, or its last letters. What it says ends up in messages, logs, the history and the `info`
output. So bodies are cleaned as they arrive, and every text once more when it has been decoded.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from html.entities import html5
from typing import Any, TypeVar, cast

from .contract import Profile
from .wire import Answer, Ticket, Url, picture_format

HIDDEN = "[hidden]"

_T = TypeVar("_T")
# Shorter ones would only garble the texts.
_SHORTEST = 6
# From here on no picture's Base64 and no run lengths hold a secret by chance, and its last letters
# are few enough of it to be shown by services.
_LONG = 12
_SHORTEST_BASE64 = 10
_SECRET_NAME = re.compile(
    r"auth|cookie|credential|key|pass|secret|session|signature|token", re.IGNORECASE
)
_SCHEME = re.compile(r"(?:basic|bearer|key|token)\s+", re.IGNORECASE)
_ORDINARY_WORD = re.compile(r"[A-Za-z]?[a-z]{0,19}")

# Where a long word is broken over two lines, also within a JSON text.
_WRAP = r"(?:\r?\n[ \t]*|\\(?:\\)*[rn])*"
_ESCAPES = (b"\\", b"%", b"&", b"\n")
_PART = re.compile(r"[A-Za-z0-9_+=/-]{3,}")
_MASK = r"(?:\.{2,}|…|\*{2,}|[•·●∙]{2,}|\[hidden\])"
_BEFORE_LAST = re.compile(
    rf"(?:{_MASK}\s?|\b(?:end(?:s|ing) (?:in|with)|last \w+(?: \w+)?:?) ['\"]?)$", re.IGNORECASE
)
_AFTER_FIRST = re.compile(_MASK)
_CROSSED_OUT = re.compile(r"[xX]{4,}")
# Of the last letters that no mark shows to be the last ones of anything.
_FEWEST_BARE = 8

_ADDRESS = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_AUTHORITY = re.compile(r"(?P<scheme>[^/]*//)?(?:.*@)?(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>.*))?")
_WORD = re.compile(r"[A-Za-z0-9]+")
_RANDOM = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{12,}|[A-Za-z0-9]{24,}")


@dataclass(frozen=True)
class _Spellings:
    """All ways to write a secret, or a part of its Base64.

    needle: what is in a text, in lower case where any_case, that holds it without escapes.
    is_long: of a secret that stands in no text by chance.
    """

    source: str
    needle: bytes
    any_case: bool
    is_long: bool

    def hidden_in(self, text: str) -> str:
        # Compiled but once for each key: Python keeps the last hundreds of patterns.
        return re.sub(self.source, HIDDEN, text)

    def hidden_in_body(self, body: bytes, lower: bytes, has_escapes: bool) -> bytes:
        if not has_escapes and self.needle not in (lower if self.any_case else body):
            return body
        text = body.decode("utf-8", "surrogateescape")
        return self.hidden_in(text).encode("utf-8", "surrogateescape")


class Redactor:
    """Hides the key of one profile, and what else in it nobody may see."""

    def __init__(self, profile: Profile):
        secrets = sorted(set(_secrets(profile)), key=len, reverse=True)
        self._long = [secret.lower() for secret in secrets if len(secret) >= _LONG]
        self._spellings = [each for secret in secrets for each in _spellings(secret)]

    def answer(self, answer: Answer) -> Answer:
        """The same answer with a clean body and clean headers, of which addresses stay usable.

        Pictures are left as they are, and short secrets stay in good answers: there they may stand
        by chance, in a picture's Base64. Texts that are taken from it are cleaned by `told`.
        """
        headers = {name: self._hide(value) for name, value in answer.headers.items()}
        body, is_good = answer.body, 200 <= answer.status < 300
        if picture_format(body) is None:
            lower, inner = body.lower(), body.strip()
            has_escapes = any(mark in inner for mark in _ESCAPES)
            for each in self._spellings:
                if each.is_long or not is_good:
                    body = each.hidden_in_body(body, lower, has_escapes)
        return replace(answer, headers=headers, body=body)

    def tell(self, text: str) -> str:
        """A text for people: one that can be printed, with neither secrets nor their last letters.

        Addresses in it lose what may be one, see `shown_address`.
        """
        text = _ADDRESS.sub(lambda found: shown_address(found[0]), self._hide(text))
        text = "".join(letter if _can_be_printed(letter) else " " for letter in text)
        return _PART.sub(self._without_part, text) if self._long else text

    def told(self, value: _T) -> _T:
        """`tell` for every text in a value: data classes, mappings and lists, whatever is in them.

        Where something is to be fetched from stays as it is.
        """
        return cast(_T, self._told(value))

    def _told(self, value: Any) -> Any:
        if type(value) is str:
            return self.tell(value)
        if isinstance(value, Mapping):
            return {self._told(name): self._told(each) for name, each in value.items()}
        if type(value) in (list, tuple):
            return type(value)(map(self._told, value))
        if not is_dataclass(value) or isinstance(value, Url | Ticket | type):
            return value
        names = [each.name for each in fields(value)]
        return replace(value, **{name: self._told(getattr(value, name)) for name in names})

    def _hide(self, text: str) -> str:
        for each in self._spellings:
            text = each.hidden_in(text)
        return text

    def _without_part(self, found: re.Match[str]) -> str:
        """The first or last letters of a secret, where they are shown as such."""
        text, part = found.string, found[0]
        crossed_out = _CROSSED_OUT.match(part)
        part = part[crossed_out.end() :] if crossed_out else part
        before = text[max(0, found.start() - 40) : found.start()]
        is_last = bool(crossed_out or _BEFORE_LAST.search(before))
        is_last |= len(part) >= _FEWEST_BARE and any(map(str.isdigit, part))
        is_first = _AFTER_FIRST.match(text, found.end()) is not None
        for secret in self._long:
            if is_last and len(part) >= 3 and secret.endswith(part.lower()):
                return HIDDEN
            if is_first and len(part) > 3 and secret.startswith(part.lower()):
                return HIDDEN
        return found[0]


def _can_be_printed(letter: str) -> bool:
    """Line breaks cannot, nor marks that turn the direction; those that only join letters can."""
    return letter.isprintable() or letter in "\u200c\u200d"


def shown_address(text: str) -> str:
    """An address, or what should be one, without user, password, query and parts like tokens."""
    address, mark, _ = text.partition("#")
    address, question, _ = address.partition("?")
    start = address.find("//") + 2 if "//" in address else 0
    end = address.find("/", start)
    end = len(address) if end < 0 else end
    authority = _AUTHORITY.fullmatch(address[:end])
    if authority is None:
        return HIDDEN
    port = authority["port"]
    shown = f"{authority['scheme'] or ''}{authority['host']}"
    if port and not port.isdecimal():
        # What follows could be the rest of a password with a slash in it.
        return f"{shown}:{HIDDEN}"
    shown += f":{port}" if port else ""
    parts = address[end:].split("/")
    shown += "/".join(HIDDEN if is_token(part) else part for part in parts)
    return f"{shown}{question or mark}{HIDDEN}" if question or mark else shown


def is_token(text: str) -> bool:
    """Whether a name, such as a part of an address, looks drawn at random."""
    return any(map(_RANDOM.fullmatch, _WORD.findall(text)))


def _secrets(profile: Profile) -> Iterator[str]:
    """What must not be shown: the key and its parts, and what in the settings is like one."""
    candidates = [profile.key, *profile.key.split(":")]
    for name, value in profile.extra_headers.items():
        is_named = _SECRET_NAME.search(name) is not None
        value = _SCHEME.sub("", value)
        words = [value, *re.split(r"[\s:;,=]+", value)]
        candidates += [word for word in words if is_named or not _ORDINARY_WORD.fullmatch(word)]
    candidates += [
        value
        for name, value in profile.extra_body.items()
        if isinstance(value, str) and _SECRET_NAME.search(name)
    ]
    path = profile.url.partition("//")[2].split("/")[1:]
    candidates += [part for part in path if is_token(part)]
    return (secret for secret in candidates if len(secret) >= _SHORTEST)


def _spellings(secret: str) -> Iterator[_Spellings]:
    """As itself in either case, and in Base64 together with whatever stands around it."""
    is_long = len(secret) >= _LONG
    # The second letter is looked at before all its spellings are tried.
    following = re.escape("".join(sorted({secret[1].lower(), secret[1].upper()})))
    first = rf"{_letter(secret[0])}(?=[{following}\\%&\r\n])"
    source = _WRAP.join([first, *(_letter(letter) for letter in secret[1:])])
    yield _Spellings(source, secret.encode().lower(), True, is_long)
    for shift in range(3):
        # What comes before it, such as a user's name, moves it within the Base64. The letters at
        # its ends carry bits of its neighbours and are left out.
        encoded = base64.b64encode(b"\0" * shift + secret.encode()).decode("ascii")
        core = encoded[-(-4 * shift // 3) : 4 * (shift + len(secret.encode())) // 3]
        if len(core) >= _SHORTEST_BASE64:
            needle = max(re.split("[+/]", core), key=len).encode()
            yield _Spellings(_WRAP.join(map(_base64_letter, core)), needle, False, is_long)


def _letter(letter: str) -> str:
    """One letter in either case: itself, or escaped for JSON, HTML or an address, even twice."""
    forms = sorted({letter, letter.lower(), letter.upper()})
    # Beyond Latin-1 nothing but the letter itself.
    codes = [ord(form) for form in forms if len(form) == 1 and ord(form) <= 0xFF]
    literals = [re.escape(form) for form in forms]
    if not codes:
        return f"(?:{'|'.join(literals)})"
    digits = "|".join(f"{code:02x}" for code in codes)
    entities = [f"#0*{code};?" for code in codes] + [f"#x0*(?:{digits});?"]
    entities += [name for form in forms for name in _entity_names(form)]
    entity = f"(?:amp;)*(?:{'|'.join(entities)})"
    percent = f"(?:25)*(?:{digits})"
    numbers = [f"[ux](?:00)?(?:{digits})", f"u0026{entity}", f"u0025{percent}"]
    escapes = "|".join([*numbers, *literals])
    after_escape = rf"(?=[ux\\{''.join(literals)}])(?:\\)*"
    # Each begins with one certain letter, so that the search knows where to look; the letter
    # itself comes last, for it may be what the others begin with.
    spelt = [rf"\\{after_escape}(?i:{escapes})", f"&(?i:{entity})", f"%(?i:{percent})"]
    return f"(?:{'|'.join([*spelt, *literals])})"


@functools.cache
def _entity_names(letter: str) -> list[str]:
    """HTML's names for a letter, which few of a key's have."""
    return [name for name, stands_for in html5.items() if stands_for == letter]


def _base64_letter(letter: str) -> str:
    """A letter of the standard alphabet, or of the one for addresses."""
    if letter in "+-":
        return r"(?:\+|-|%2[bB])"
    return r"(?:/|_|\\/|%2[fF])" if letter in "/_" else letter
