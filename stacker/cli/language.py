"""Commands about the language: convert, schema, ops, architectures."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from stacker.cli.app import LANGUAGE, Json, Spec, app, examples
from stacker.cli.completion import complete_architecture, complete_op
from stacker.cli.problems import print_json
from stacker.errors import SpecError, did_you_mean
from stacker.spec.language.stack_spec import Dialect

OpName = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Only this one, in full.", autocompletion=complete_op)
]
FamilyName = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Only this one, in full.", autocompletion=complete_architecture)
]


@app.command(
    rich_help_panel=LANGUAGE, epilog=examples("convert theirs.yml > ours.yml", "convert ours.yml --to mergekit")
)
def convert(
    spec: Spec,
    *,
    to: Annotated[Dialect, typer.Option("--to", help="The dialect to write.")] = Dialect.NATIVE,
    json: Json = False,
) -> None:
    """Write a spec in the other dialect on standard output, or say exactly why it cannot be said there."""
    from stacker.cli.conversion import to_mergekit_text
    from stacker.io.files.spec_files import read_spec_file
    from stacker.spec.native.writer import to_native
    from stacker.spec.parser import parse_spec

    parsed = parse_spec(read_spec_file(spec), str(spec))
    text = to_native(parsed) if to is Dialect.NATIVE else to_mergekit_text(parsed, spec)
    if json:
        print_json({"ok": True, "from": str(parsed.dialect), "to": str(to), "text": text})
    else:
        typer.echo(text, nl=False)


@app.command(rich_help_panel=LANGUAGE, epilog=examples("schema > stacker.schema.json"))
def schema() -> None:
    """Print the JSON Schema of the native language, for editors."""
    from stacker.spec.native.shape import make_json_schema

    print_json(make_json_schema())


@app.command(rich_help_panel=LANGUAGE, epilog=examples("ops", "ops slerp"))
def ops(name: OpName = None, *, json: Json = False) -> None:
    """List the blend ops, or show one with its formula, parameters and source."""
    from stacker.ops.table import OPS
    from stacker.view.tables.ops import op_details, op_json, ops_table

    if name is not None and name not in OPS:
        raise SpecError.of(f"there is no op '{name}'", did_you_mean(name, OPS))
    chosen = [OPS[name]] if name else list(OPS.values())
    if json:
        print_json([op_json(op) for op in chosen])
    else:
        Console(highlight=False).print(op_details(OPS[name]) if name else ops_table(chosen))


@app.command(rich_help_panel=LANGUAGE, epilog=examples("architectures", "architectures qwen3"))
def architectures(name: FamilyName = None, *, json: Json = False) -> None:
    """List the families that are known as data, or show one with its tensors and rules."""
    from stacker.arch.families import architectures as known
    from stacker.view.tables.architectures import architecture_details, architecture_json, architectures_table

    families = {family.name: family for family in known()}
    if name is not None and name not in families:
        raise SpecError.of(f"there is no family '{name}'", did_you_mean(name, families))
    chosen = [families[name]] if name else list(families.values())
    if json:
        print_json([architecture_json(family) for family in chosen])
    else:
        Console(highlight=False).print(architecture_details(chosen[0]) if name else architectures_table(chosen))
