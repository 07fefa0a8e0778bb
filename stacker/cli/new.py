"""The command `new`: a commented spec from a recipe or a generator, for donors that the user names."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from stacker.cli.app import START, Json, app, format_examples
from stacker.cli.terminal.completion import complete_named_donor, complete_recipe, complete_reference
from stacker.cli.terminal.printing import print_json, print_problems
from stacker.errors import Mark, Problem, SpecError, StorageError

Recipe = Annotated[
    str | None, typer.Argument(metavar="RECIPE", help="See `stacker recipes`.", autocompletion=complete_recipe)
]
Donors = Annotated[
    list[str] | None,
    typer.Option(
        "--donor",
        "-d",
        metavar="NAME=SOURCE",
        help="A donor and where it is: a folder or a hub id. May be repeated.",
        autocompletion=complete_named_donor,
    ),
]
Numbers = Annotated[
    list[str] | None,
    typer.Option("-p", metavar="NAME=NUMBER", help="A number of a generator, or depth. May be repeated."),
]
Like = Annotated[
    str | None,
    typer.Option(
        metavar="CONFIG", help="A reference config, where the donors are away.", autocompletion=complete_reference
    ),
]
File = Annotated[
    Path | None, typer.Option("-o", metavar="FILE", help="The spec to write; without it, standard output.")
]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace files that exist.")]
EXAMPLE = "new passes --donor a=./donor -p width=8 -o stack.yml"


@app.command(rich_help_panel=START, epilog=format_examples(EXAMPLE, "new goliath-120b -o goliath.yml", "new"))
def new(
    recipe: Recipe = None,
    *,
    donor: Donors = None,
    number: Numbers = None,
    like: Like = None,
    out: File = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a spec from a recipe or a generator, fitted to the donors given; alone on a terminal, it asks."""
    from stacker.cli.new_prompts import ask_request
    from stacker.cli.new_specs import Request, make_specs

    if recipe is None and not (sys.stdin.isatty() and not json):
        raise SpecError.of("say which recipe", f"for instance: stacker {EXAMPLE}\nstacker recipes lists all of them")
    numbers, donors = _counts(number or []), _pairs(donor or [], "--donor")
    order = Request(recipe, donors, numbers, like, out) if recipe else ask_request()
    if order.file and not order.file.parent.is_dir():
        raise StorageError.of("there is no such folder", f"mkdir -p {order.file.parent}", Mark(str(order.file)))
    texts, notes = make_specs(order)
    print_problems(notes)
    if json:
        print_json({"ok": True, "file": str(order.file) if order.file else None, "specs": _by_name(texts)})
    if order.file:
        _write(texts, force=force)
        typer.echo(f"{order.file}: written; look at it with: stacker preview {order.file}", err=True)
    elif not json:
        typer.echo(next(iter(texts.values())), nl=False)


def _by_name(texts: Mapping[Path, str]) -> dict[str, str]:
    return {path.name: text for path, text in texts.items()}


def _pairs(words: list[str], option: str) -> dict[str, str]:
    """`name=value` words as a mapping; all that are none are reported together."""
    split = {word: word.partition("=") for word in words}
    wrong = [word for word, (name, _, value) in split.items() if not name or not value]
    if wrong:
        form = "a=./folder or a=org/name" if option == "--donor" else "width=8"
        raise SpecError(*(Problem(f"'{word}' is not NAME=…", f"for instance: {option} {form}") for word in wrong))
    return {name: value for name, _, value in split.values()}


def _counts(words: list[str]) -> dict[str, int]:
    pairs = _pairs(words, "-p")
    wrong = [f"-p {name}={value}" for name, value in pairs.items() if not value.isdecimal() or len(value) > 6]
    if wrong:
        raise SpecError(*(Problem("this must be a whole number, 0 or more", "", Mark(word)) for word in wrong))
    return {name: int(value) for name, value in pairs.items()}


def _write(texts: Mapping[Path, str], *, force: bool) -> None:
    """All files or none: what stands in the way is told before the first is written."""
    from stacker.io.files.spec_files import write_spec_file

    there = [path for path, text in texts.items() if path.exists() and not (force or _same(path, text))]
    if there:
        problems = (Problem("this file exists", "--force replaces it", Mark(str(path))) for path in there)
        raise SpecError(*problems)
    for path, text in texts.items():
        write_spec_file(path, text)


def _same(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False
