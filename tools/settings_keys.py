"""`python -m tools.settings_keys`: write the settings that transformers' classes read to stacker's list of known keys.

The names of tokenizers' settings are read from the source, because some tokenizers cannot be imported without further
packages.
"""

from __future__ import annotations

import ast
import importlib.util
import textwrap
from collections.abc import Iterator
from pathlib import Path

TARGET = Path(__file__).parents[1] / "stacker" / "core" / "side_files" / "known_keys.py"
_SETTINGS = {"__init__": "kwargs", "_from_pretrained": "init_kwargs", "from_pretrained": "tokenizer_config"}
"""The variable that holds what a tokenizer_config.json says, in each function of transformers' source that reads it."""
_HEAD = '''\
"""The settings that transformers {version}'s own classes read, made by `python -m tools.settings_keys`."""

from __future__ import annotations

'''


def main() -> None:
    """Write the list."""
    TARGET.write_text(make_module(), encoding="utf-8")


def make_module() -> str:
    """The text of the module with the lists."""
    import transformers

    tables = {"GENERATION_KEYS": find_generation_keys(), "TOKENIZER_KEYS": find_tokenizer_keys()}
    lists = (f"{name} = frozenset({{\n{_wrap(keys)},\n}})  # fmt: skip\n" for name, keys in tables.items())
    return _HEAD.format(version=transformers.__version__) + "".join(lists)


def _wrap(keys: set[str]) -> str:
    text = ", ".join(f'"{key}"' for key in sorted(keys))
    return textwrap.fill(text, 118, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def find_generation_keys() -> set[str]:
    """The names of all settings of a GenerationConfig."""
    from transformers import GenerationConfig

    return set(vars(GenerationConfig()))


def find_tokenizer_keys() -> set[str]:
    """The names of what transformers' tokenizers take as arguments, and of what they read from their settings."""
    from transformers import PreTrainedTokenizerBase

    found = set(PreTrainedTokenizerBase.SPECIAL_TOKENS_ATTRIBUTES)
    for path in _list_sources():
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and function.name in _SETTINGS:
                found.update(_find_read(function))
                if function.name == "__init__":
                    found.update(_find_given(function))
    return found - {"self", "auto_map"}


def _list_sources() -> Iterator[Path]:
    """Yield the source files with tokenizers."""
    (folder,) = map(Path, importlib.util.find_spec("transformers").submodule_search_locations)  # type: ignore[union-attr,arg-type]
    yield from sorted(folder.glob("tokenization_*.py"))
    yield from sorted(folder.glob("models/*/tokenization_*.py"))


def _find_given(function: ast.FunctionDef) -> Iterator[str]:
    """Yield the names of a constructor's arguments, and of those that it hands on."""
    yield from (argument.arg for argument in (*function.args.args, *function.args.kwonlyargs))
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "__init__":
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)


def _find_read(function: ast.FunctionDef) -> Iterator[str]:
    """Yield the names of the settings that a function gets, pops or sets."""
    for node in ast.walk(function):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id), attr="get" | "pop"), args=[ast.Constant(str(key)), *_]
            ):
                pass
            case ast.Subscript(value=ast.Name(id), slice=ast.Constant(str(key))):
                pass
            case _:
                continue
        if id == _SETTINGS[function.name]:
            yield key


if __name__ == "__main__":
    main()
