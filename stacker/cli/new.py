"""The command new: writes a commented spec from a recipe or a generator, for the donors that the user names."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from stacker.cli.app import START, Json, app, format_examples
from stacker.cli.outputs import check_outputs
from stacker.cli.terminal.completion import complete_named_donor, complete_recipe, complete_reference
from stacker.cli.terminal.printing import print_json, print_problems
from stacker.errors import Mark, Problem, SpecError, StorageError
from stacker.io.files.paths import exists, is_folder

Recipe = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE", help="A recipe or generator; `stacker recipes` lists them.", autocompletion=complete_recipe
    ),
]
Donors = Annotated[
    list[str] | None,
    typer.Option(
        "--donor",
        "-d",
        metavar="NAME=SOURCE",
        help="A donor: its name in the spec, and its folder or hub id. May be repeated.",
        autocompletion=complete_named_donor,
    ),
]
Numbers = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter",
        "-p",
        metavar="NAME=NUMBER",
        help="A number of the generator, or depth=N for donors that cannot be read. May be repeated.",
    ),
]
Like = Annotated[
    str | None,
    typer.Option(
        metavar="CONFIG",
        help="A reference config that stands in for donors that cannot be read.",
        autocompletion=complete_reference,
    ),
]
File = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write; standard output by default.")
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
    """Write a spec from a recipe or a generator for the given donors; without arguments on a terminal, it asks."""
    from stacker.cli.new_prompts import ask_request
    from stacker.cli.new_specs import Request, make_specs

    if recipe is None and not (sys.stdin.isatty() and not json):
        raise SpecError.of("say which recipe", f"for instance: stacker {EXAMPLE}\nstacker recipes lists all of them")
    numbers, donors = _parse_numbers(number or []), _parse_pairs(donor or [], "--donor")
    request = Request(recipe, donors, numbers, like, out) if recipe else ask_request()
    if request.file and not is_folder(request.file.parent):
        raise StorageError.of("there is no such folder", f"mkdir -p {request.file.parent}", Mark(str(request.file)))
    check_outputs({"-o": request.file}, ())
    texts, notes = make_specs(request)
    print_problems(notes)
    if json:
        print_json({"ok": True, "file": str(request.file) if request.file else None, "specs": _group_by_file(texts)})
    if request.file:
        _write_specs(texts, force=force)
        typer.echo(f"{request.file}: written; look at it with: stacker preview {request.file}", err=True)
    elif not json:
        typer.echo(next(iter(texts.values())), nl=False)


def _group_by_file(texts: Mapping[Path, str]) -> dict[str, str]:
    return {path.name: text for path, text in texts.items()}


def _parse_pairs(words: list[str], option: str) -> dict[str, str]:
    """Parse the `name=value` arguments of `option`, such as `--donor`, into a mapping from name to value.

    Raises SpecError with a list of the arguments that lack the name, the equals sign or the value.
    """
    split = {word: word.partition("=") for word in words}
    wrong = [word for word, (name, _, value) in split.items() if not name or not value]
    if wrong:
        form = "a=./folder or a=org/name" if option == "--donor" else "width=8"
        raise SpecError(*(Problem(f"'{word}' is not NAME=…", f"for instance: {option} {form}") for word in wrong))
    return {name: value for name, _, value in split.values()}


def _parse_numbers(words: list[str]) -> dict[str, int]:
    pairs = _parse_pairs(words, "-p")
    wrong = [f"-p {name}={value}" for name, value in pairs.items() if not value.isdecimal() or len(value) > 6]
    if wrong:
        raise SpecError(*(Problem("this must be a whole number, 0 or more", "", Mark(word)) for word in wrong))
    return {name: int(value) for name, value in pairs.items()}


def _write_specs(texts: Mapping[Path, str], *, force: bool) -> None:
    """Write each text to the path that is its key.

    Without `force`, raises SpecError before any file is written if some of the files exist with other content.
    """
    from stacker.io.files.spec_files import write_spec_file

    existing = [path for path, text in texts.items() if exists(path) and not (force or _has_text(path, text))]
    if existing:
        problems = (Problem("this file exists", "--force replaces it", Mark(str(path))) for path in existing)
        raise SpecError(*problems)
    for path, text in texts.items():
        write_spec_file(path, text)


def _has_text(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False
