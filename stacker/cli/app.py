"""Defines the Typer application and the arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stacker.version import VERSION

START, LOOK, RUN, BUILD, LANGUAGE = "Start", "Look", "Try", "Build and check", "The language"
ORDER = (
    *("recipes", "new"),
    *("inspect", "check", "preview", "config", "plan", "diff", "doctor"),
    *("run", "eval", "compare", "probe"),
    *("build", "verify"),
    *("convert", "schema", "ops", "architectures"),
)
"""The order of commands in the help; commands that are not listed come last."""

FIRST_STEPS = ("recipes", "new solar --donor a=./donor -o stack.yml", "preview stack.yml", "build stack.yml ./out")

app = typer.Typer(
    name="stacker",
    help="Compose frankenmerges: a short YAML spec stacks layers of donor language models into a new one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="\n\n".join(f"[dim]$[/dim] stacker {line}" for line in FIRST_STEPS),
    context_settings={"help_option_names": ["-h", "--help"]},
)

Spec = Annotated[
    Path, typer.Argument(metavar="SPEC", help="A spec file, stacker's or mergekit's; - reads standard input.")
]
Parameters = Annotated[
    list[str] | None,
    typer.Option("-p", metavar="NAME=VALUE", help="Set a parameter that the spec declares. May be repeated."),
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
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda wanted: _version(wanted=wanted),
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Compose frankenmerges: a short YAML spec stacks layers of donor language models into a new one."""
