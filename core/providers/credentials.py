"""Keys and addresses of providers, from the environment and from providers.toml.

providers.toml has a table for each provider, all entries of which are optional, and one below
`custom` for each server of your own. `journal`, above all tables, says whether what is paid for is
kept on disk:

    journal = true

    [segmind]
    key = "SG_..."
    url = "https://gateway.example.com"

    [custom.gpu-box]
    dialect = "roboflow"
    url = "http://192.168.1.20:9001"
    local = true

No message shows a value of it, nor a name that this module does not know: it may be a key that was
written in the wrong place.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .addresses import is_loopback, parse_url
from .contract import Profile, Provider, ProviderError
from .failures import key_names
from .journal import FILE_NAME as JOURNAL_FILE
from .redaction import HIDDEN, is_token, shown_address
from .registry import PROVIDERS
from .wire import CallFailed

FILE_NAME = "providers.toml"
CUSTOM = "custom"
JOURNAL = "journal"
_URL_VARIABLE = "SEGMENT_ANYWHERE_{}_URL"
# Tables that are merged under a custom profile of the same name, so that each dialect works with no
# file at all.
BUILT_IN_PROFILES: Mapping[str, Mapping[str, str]] = {
    # Its address is the provider's own, which a variable may move.
    "openai": {"dialect": "openai"},
    "huggingface": {
        "dialect": "huggingface",
        "url": "https://router.huggingface.co/hf-inference",
        "model": "facebook/mask2former-swin-large-coco-panoptic",
        "key_variable": "HF_TOKEN",
    },
    "roboflow": {
        "dialect": "roboflow",
        "url": "http://127.0.0.1:9001",
        "key_variable": "ROBOFLOW_API_KEY",
    },
}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# All of a parser's message that is not from the file.
_PLACE = re.compile(r"at (line \d+, column \d+|end of document)")
# What each entry of a table is; text where nothing else is said.
_KINDS: Mapping[str, type] = {"local": bool, "proxy": bool, "headers": dict, "body": dict}
_ENTRIES = {"key", "url", "auth", "account", "model", "dialect", "key_variable", *_KINDS}


def load_profile(
    provider: Provider, name: str, folder: Path, environment: Mapping[str, str] = os.environ
) -> Profile:
    """The address and the key of a provider.

    name: the profile of a custom server, "" for the others. folder: where providers.toml may lie.
    The environment goes before the file, the file before the vendor's own address; within the
    environment our variable goes before the vendor's. A profile of a custom server with an address
    of its own keeps that: its key is for that address alone. Raises ProviderError where a key is
    missing, the file is unreadable or readable by others, or an address is no https (http is for
    this machine, and for profiles with local = true).
    """
    path = folder / FILE_NAME
    settings = _table(provider, name, _read_file(path), path)
    moved = _url_from(environment, provider)
    own = settings.pop("url", "").strip()
    url = own or moved if provider.key == CUSTOM else moved or own
    url = (url or provider.url).rstrip("/")
    own_key = settings.pop("key", "")
    variable = settings.pop("key_variable", "")
    groups = ((variable,),) if variable else provider.key_variables
    key = _key_from(environment, groups) or own_key.strip()
    profile = Profile(provider.key, name, url, key, settings)
    _check_url(profile, provider)
    _check_key(profile, provider)
    return profile


def journal_path(folder: Path) -> Path | None:
    """Where what is paid for is kept; None where providers.toml says that it is not to be.

    folder: where providers.toml may lie. Raises ProviderError as `load_profile` for the file, and
    for an entry that is neither true nor false.
    """
    path = folder / FILE_NAME
    is_kept = _read_file(path).get(JOURNAL, True)
    if not isinstance(is_kept, bool):
        raise ProviderError(
            f"{path}: the entry {JOURNAL} is neither true nor false. Write {JOURNAL} = false to "
            "keep what is paid for in memory alone."
        )
    return folder / JOURNAL_FILE if is_kept else None


def has_key(provider: Provider, folder: Path, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a key is set with which the provider can be called; raises nothing."""
    try:
        return bool(load_profile(provider, "", folder, environment).key)
    except ProviderError:
        return False


def settings_state(folder: Path, environment: Mapping[str, str] = os.environ) -> tuple:
    """Changes when calls may go elsewhere or ask for something else: addresses, and the file.

    No key is in it, nor anything made from one. The host shows it, so that addresses, which may
    hold a password, are in it as their SHA-256.
    """
    prefix, suffix = _URL_VARIABLE.split("{}")
    vendors = {name for provider in PROVIDERS.values() for name in provider.url_variables}
    urls = sorted(
        (name, hashlib.sha256(value.encode("utf-8", "replace")).hexdigest())
        for name, value in environment.items()
        if name in vendors or (name.startswith(prefix) and name.endswith(suffix))
    )
    try:
        status = (folder / FILE_NAME).stat()
    except OSError:
        return (urls, None)
    return (urls, (status.st_mtime_ns, status.st_size))


def custom_dialects(folder: Path) -> dict[str, str]:
    """The dialect of each server of your own by its profile's name; nothing else of the file.

    Of a file that cannot be read, or that others can read, none are known but the built-in ones.
    """
    try:
        own = _read_file(folder / FILE_NAME).get(CUSTOM, {})
    except ProviderError:
        own = {}
    tables: dict[str, Any] = dict(BUILT_IN_PROFILES)
    for name, table in own.items() if isinstance(own, dict) else ():
        tables[name] = {**tables.get(name, {}), **(table if isinstance(table, dict) else {})}
    return {name: str(table.get("dialect", "")) for name, table in tables.items()}


def _read_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    mode = stat.S_IMODE(path.stat().st_mode)
    # Windows keeps other people's hands off the user's folder by other means.
    if os.name != "nt" and mode & 0o077:
        raise ProviderError(
            f"{path}: found mode {mode:04o}, so that others on this machine can read the keys in "
            f"it; accepted is 0600. Run `chmod 600 '{path}'`."
        )
    try:
        content = _parse_toml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        place = _PLACE.search(str(error))
        where = f" ({place[0]})" if place else ""
        raise ProviderError(f"{path}: cannot be read as TOML{where}. Correct it.") from None
    return content


def _parse_toml(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def _table(provider: Provider, name: str, content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    table = content.get(provider.key, {})
    place = provider.key
    if provider.key == CUSTOM:
        own = table if isinstance(table, dict) else {}
        if name not in {*BUILT_IN_PROFILES, *own}:
            tables = {each for each, value in own.items() if isinstance(value, dict)}
            names = sorted(each for each in {*BUILT_IN_PROFILES, *tables} if not is_token(each))
            found = HIDDEN if is_token(name) else repr(name)
            raise ProviderError(
                f"profile: found {found}; accepted are {', '.join(names)}. A server of your own "
                f"gets a table [custom.NAME] with url and dialect in {path}."
            )
        table = own.get(name, {})
        place = f"custom.{HIDDEN if is_token(name) else name}"
    _check_table(table, place, path)
    built_in = BUILT_IN_PROFILES.get(name, {}) if provider.key == CUSTOM else {}
    return {**built_in, **table}


def _check_table(table: Any, place: str, path: Path) -> None:
    if not isinstance(table, dict):
        raise ProviderError(f"{path}: [{place}] is no table. Write entries below [{place}].")
    for number, (entry, value) in enumerate(table.items(), 1):
        is_known = entry in _ENTRIES
        if not is_known or not isinstance(value, _KINDS.get(entry, str)):
            shown = f"entry {entry}" if is_known else f"entry number {number}"
            what = "of the wrong type" if is_known else "not known"
            raise ProviderError(
                f"{path}: the {shown} of [{place}] is {what}; accepted are "
                f"{', '.join(sorted(_ENTRIES))}, of which headers and body are tables, and local "
                "and proxy are true or false. Correct it."
            )
    _check_headers(table.get("headers", {}), place, path)


def _check_headers(headers: Mapping[str, Any], place: str, path: Path) -> None:
    for number, (name, value) in enumerate(headers.items(), 1):
        is_text = isinstance(value, str | int | float) and str(value).isprintable()
        if not is_text or not _HEADER_NAME.fullmatch(name):
            raise ProviderError(
                f"{path}: header number {number} of [{place}] cannot be sent; accepted are names "
                "of letters, digits and hyphens, and a line of text each. Correct it."
            )


def _url_from(environment: Mapping[str, str], provider: Provider) -> str:
    """The address that the environment gives a provider, "" for none."""
    values = (environment.get(name, "").strip() for name in _url_variables(provider))
    return next(filter(None, values), "")


def _url_variables(provider: Provider) -> tuple[str, ...]:
    return (_URL_VARIABLE.format(provider.key.upper()), *provider.url_variables)


def _key_from(environment: Mapping[str, str], groups: tuple[tuple[str, ...], ...]) -> str:
    for group in groups:
        values = [environment.get(name, "").strip() for name in group]
        if all(values):
            return ":".join(values)
    return ""


def _is_allowed(profile: Profile) -> bool:
    try:
        url = parse_url(profile.url)
    except CallFailed:
        return False
    # Paths are put behind it.
    is_complete = not url.query_string and not url.fragment
    return is_complete and (url.scheme == "https" or is_loopback(url) or profile.is_local)


def _check_url(profile: Profile, provider: Provider) -> None:
    if not _is_allowed(profile):
        raise ProviderError(
            f"{provider.title}: found the URL {shown_address(profile.url)!r}; accepted is "
            "https://..., without a user and without parameters, and http for this machine or with "
            "local = true in the profile. Correct "
            f"{' or '.join(_url_variables(provider))} or providers.toml."
        )


def _check_key(profile: Profile, provider: Provider) -> None:
    is_proxied = provider.is_proxied and profile.url != provider.url
    if not profile.key and provider.needs_key and not is_proxied:
        raise ProviderError(
            f"{provider.title}: no key. Set {key_names(provider)} where ComfyUI starts, and "
            "restart it; a key in a workflow would go to everybody who gets the workflow."
        )
    if not profile.key.isascii() or not profile.key.isprintable() or " " in profile.key:
        raise ProviderError(
            f"{provider.title}: the key has spaces, line breaks or letters that no key has. Copy "
            "it again, without what stands around it."
        )
