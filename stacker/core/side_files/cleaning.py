"""Removes from a side file's settings what makes a program run code from the checkpoint or read other files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stacker.core.config.keys import REPORTED_KEYS, UNSAFE_KEYS
from stacker.core.side_files.kinds import MODULES, Content, Kind
from stacker.core.side_files.known_keys import GENERATION_KEYS, TOKENIZER_KEYS
from stacker.core.side_files.selection import CarriedFile
from stacker.errors import Blame, DonorError, Mark, Problem, Severity, escape_text
from stacker.formats.json_object import Json, format_json, parse_json

_FILE_KEYS = ("_file", "_files", "_path", "_dir", "init_inputs")
"""Ends of keys whose values a tokenizer opens as files."""
_KNOWN = {
    "generation_config.json": GENERATION_KEYS,
    "tokenizer_config.json": TOKENIZER_KEYS,
    "special_tokens_map.json": TOKENIZER_KEYS,
}
"""The settings of a file that transformers' own classes read; other settings of these files must be plain."""
_REFERENCE = re.compile(r"^[.~]*/\w|^[A-Za-z]:\\|\w[/\\]\w|[A-Za-z_]\w*\.[A-Za-z_]|::|--|://")
"""A part of a text that can name code, a file or a place on the net."""
_LAYER_NUMBER = re.compile(r"\.\d+(\.|$)")
_KNOWN_MODULES = "sentence_transformers."
_FOLDER = re.compile(r"(\w[\w.-]*)?")


def clean_side_file(carried: CarriedFile, data: bytes) -> tuple[bytes | None, tuple[Problem, ...]]:
    """The bytes to write for a side file with the content `data`, and problems that name what is left out.

    Settings are parsed, and the result has the donor's own bytes if nothing is removed. The bytes are None if the whole
    file is left out; DonorError if the settings are not JSON.
    """
    if carried.rule.content is Content.DATA:
        return data, ()
    where = f"{carried.file.name} of '{carried.donor}'"
    settings = parse_json(data, where)
    try:
        return _clean_settings(carried, data, settings)
    except RecursionError as error:  # such depths can be parsed, but not walked
        raise DonorError.of("this JSON is nested too deeply", "", Mark(where)) from error


def _clean_settings(carried: CarriedFile, data: bytes, settings: Json) -> tuple[bytes | None, tuple[Problem, ...]]:
    problem = _refuse_file(carried, settings)
    if problem:
        return None, (problem,)
    removed = tuple(sorted(set(_find_unsafe(settings))))
    kept = _without_unsafe(settings)
    unknown = tuple(sorted(_find_unknown(carried.file.name, kept)))
    if isinstance(kept, dict):
        kept = {key: value for key, value in kept.items() if key not in unknown}
    problems = [_name_removed(carried, removed)] if removed else []
    problems += [_name_unknown(carried, unknown)] if unknown else []
    return format_json(kept) if problems else data, tuple(problems)


def _refuse_file(carried: CarriedFile, settings: Json) -> Problem | None:
    """A warning if the whole file must be left out, because removing some of its entries would change its meaning.

    This holds for lists with modules whose code or place is outside of sentence-transformers and the donor's folder,
    and for quantization settings that name layers by number.
    """
    name = f"{carried.file.name} of '{carried.donor}'"
    unsafe = next(_find_unsafe_modules(settings), None) if carried.file.name == MODULES else None
    if unsafe is not None:
        message = (
            f"{name} has the module '{escape_text(unsafe)}', which is code or outside the donor; the file is left out"
        )
        hint = "without it, sentence-transformers pools hidden states by its default; add the file if you trust it"
        return Problem(message, hint, severity=Severity.WARNING, blame=Blame.UNSAFE)
    if carried.rule.kind is Kind.QUANTIZATION and any(map(_LAYER_NUMBER.search, _list_texts(settings))):
        message = f"{name} names layers by their numbers in the donor; the file is left out"
        hint = "programs read the quantization from config.json, where the layers are renumbered"
        return Problem(message, hint, severity=Severity.WARNING, blame=Blame.DONOR)
    return None


def _find_unsafe_modules(modules: Json) -> Iterator[str]:
    """Yield the type of each module in modules.json that is not the library's own, and each path outside the donor."""
    for module in _items(modules):
        entry = module if isinstance(module, dict) else {}
        kind, path = entry.get("type"), entry.get("path", "")
        if not (isinstance(kind, str) and kind.startswith(_KNOWN_MODULES)):
            yield str(kind)
        if not (isinstance(path, str) and _FOLDER.fullmatch(path)):
            yield str(path)


def _list_texts(value: Json) -> Iterator[str]:
    """Yield every key and every string in a JSON value, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
    for item in _items(value):
        yield from _list_texts(item)


def _items(value: Json) -> list[Json]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _name_removed(carried: CarriedFile, keys: tuple[str, ...]) -> Problem:
    """Make the problem that names the removed settings: a warning if loading the file may need them, else a note."""
    listed = ", ".join(f"'{escape_text(key)}'" for key in keys)
    what = f"{carried.file.name} of '{carried.donor}' has {listed}"
    end = "it is left out" if len(keys) == 1 else "they are left out"
    harmless = UNSAFE_KEYS - REPORTED_KEYS
    if not any(key in REPORTED_KEYS or (key.endswith(_FILE_KEYS) and key not in harmless) for key in keys):
        message = f"{what}, which the result does not need; {end}"
        return Problem(message, severity=Severity.NOTE, blame=Blame.DONOR)
    hint = f"programs that have the classes of the {carried.rule.kind} themselves still load it"
    message = f"{what}, which can run code or read other files; {end}"
    return Problem(message, hint, severity=Severity.WARNING, blame=Blame.UNSAFE)


def _find_unsafe(value: Json) -> Iterator[str]:
    """Yield the unsafe keys at any depth of a JSON value."""
    if isinstance(value, dict):
        yield from (key for key, item in value.items() if _is_unsafe(key, item))
    for item in _items(value):
        yield from _find_unsafe(item)


def _without_unsafe(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _without_unsafe(item) for key, item in value.items() if not _is_unsafe(key, item)}
    return [_without_unsafe(item) for item in value] if isinstance(value, list) else value


def _find_unknown(name: str, settings: Json) -> Iterator[str]:
    """Yield the settings of a file that transformers' own classes do not read and that could name code or files."""
    if name in _KNOWN and isinstance(settings, dict):
        yield from (key for key, value in settings.items() if key not in _KNOWN[name] and not _is_plain(value))


def _is_plain(value: Json) -> bool:
    """Whether nothing in a value can name code or files: numbers, tokens and words are plain."""
    return not any(map(_REFERENCE.search, _list_texts(value)))


def _name_unknown(carried: CarriedFile, keys: Sequence[str]) -> Problem:
    listed = ", ".join(f"'{escape_text(key)}'" for key in keys)
    message = (
        f"{carried.file.name} of '{carried.donor}' has {listed}, which transformers' own classes do not read and which "
        f"could name code or files; {'it is' if len(keys) == 1 else 'they are'} left out"
    )
    hint = "add it to the file that is written if a program needs it and you trust it"
    return Problem(message, hint, severity=Severity.WARNING, blame=Blame.UNSAFE)


def _is_unsafe(key: str, value: Json) -> bool:
    """Whether a setting can make a program run code or read files outside the checkpoint."""
    bare = key.lstrip("_")
    if bare in UNSAFE_KEYS or bare.startswith(("attn_implementation", "experts_implementation")):
        return True
    return key.endswith(_FILE_KEYS) and any("/" in text or "\\" in text for text in _list_texts(value))
