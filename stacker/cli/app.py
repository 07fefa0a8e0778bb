"""Defines the Typer application and the arguments that several commands share."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from stacker.cli.terminal.help_columns import Group
from stacker.cli.terminal.verbosity import Verbose, show_log
from stacker.errors import SpecError, did_you_mean
from stacker.version import VERSION

START, LOOK, RUN, BUILD, LANGUAGE = "Start", "Look", "Try", "Build and check", "The language"
ORDER = (
    *("recipes", "new"),
    *("inspect", "check", "preview", "config", "plan", "diff", "lineage", "doctor"),
    *("run", "eval", "compare", "probe", "sweep", "search"),
    *("build", "commit", "verify", "push", "extract-lora"),
    *("convert", "schema", "ops", "architectures"),
)
"""The order of commands in the help; commands that are not listed come last."""

FIRST_STEPS = ("recipes", "new solar --donor a=./donor -o stack.yml", "preview stack.yml", "build stack.yml ./out")

app = typer.Typer(
    name="stacker",
    cls=Group,
    help="Compose frankenmerges: a short YAML spec stacks layers of donor language models into a new one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="\n\n".join(f"[dim]$[/dim] stacker {line}" for line in FIRST_STEPS),
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Color(StrEnum):
    """When the output is coloured."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


_COLOUR_VARIABLES: dict[Color, dict[str, str | None]] = {
    Color.AUTO: {},
    Color.ALWAYS: {"FORCE_COLOR": "1", "NO_COLOR": None},
    Color.NEVER: {"NO_COLOR": "1", "FORCE_COLOR": None},
}
"""What --color sets in the environment, where rich looks; None removes a variable."""
Spec = Annotated[
    Path,
    typer.Argument(
        metavar="SPEC",
        help="A spec file, stacker's or mergekit's, a folder that stacker built, or a recipe; - reads standard input.",
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter", "-p", metavar="NAME=VALUE", help="Set a parameter that the spec declares. May be repeated."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output, and nothing else.")]
For = Annotated[
    list[str] | None,
    typer.Option(
        "--for",
        metavar="PROGRAM",
        help="Make it an error if this program does not compute the stack correctly: llama.cpp, vLLM, MLX, exllamav3 "
        "or transformers. May be repeated.",
    ),
]


def format_examples(*lines: str) -> str:
    """Format example calls for the end of a command's help; each of `lines` is a call without the word `stacker`."""
    return "\n\n".join(f"[dim]$[/dim] stacker {line}" for line in lines)


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"stacker {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    *,
    verbose: Verbose = False,
    color: Annotated[
        Color, typer.Option("--color", help="Colour the output: auto colours terminals, unless NO_COLOR is set.")
    ] = Color.AUTO,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=lambda wanted: _version(wanted=wanted),
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Compose frankenmerges: a short YAML spec stacks layers of donor language models into a new one."""
    del version
    if verbose:
        context.with_resource(show_log())
    for name, value in _COLOUR_VARIABLES[color].items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@app.command("help", hidden=True, epilog=format_examples("help", "help preview"))
def show_help(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="COMMAND", help="The command to explain.")] = None,
) -> None:
    """Show the help of stacker, or of one command."""
    top = context.find_root()
    commands: dict[str, Any] = getattr(top.command, "commands", {})
    if name is not None and name not in commands:
        raise SpecError.of(f"there is no command '{name}'", did_you_mean(name, commands))
    command = commands[name] if name else top.command
    shown = type(top)(command, info_name=name, parent=top) if name else top
    typer.echo(command.get_help(shown))
