"""Commands about the spec language: convert, schema, ops, architectures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from stacker.cli.app import LANGUAGE, Json, Parameters, Spec, app, format_examples
from stacker.cli.outputs import check_outputs
from stacker.cli.parameters import parse_assignments
from stacker.cli.terminal.completion import complete_architecture, complete_op
from stacker.cli.terminal.printing import make_console, print_json, print_written
from stacker.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from stacker.spec.language.stack_spec import StackSpec


class Form(StrEnum):
    """The forms in which `convert` writes a spec."""

    NATIVE = "native"
    MERGEKIT = "mergekit"
    PEFT = "peft"
    EXLLAMAV3 = "exllamav3"


_RANGES = (Form.PEFT, Form.EXLLAMAV3)
OpName = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Show only this op, in full.", autocompletion=complete_op)
]
FamilyName = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="Show only this family, in full.", autocompletion=complete_architecture),
]


@app.command(
    rich_help_panel=LANGUAGE, epilog=format_examples("convert theirs.yml > ours.yml", "convert ours.yml --to mergekit")
)
def convert(
    spec: Spec,
    *,
    parameter: Parameters = None,
    to: Annotated[Form, typer.Option("--to", help="The form of the output.")] = Form.NATIVE,
    out: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="The file to write.")] = None,
    json: Json = False,
) -> None:
    """Print or write a spec in another form, or list what that form cannot express.

    peft and exllamav3 get the layers of one donor as ranges: an adapter_config.json, or the value of -layer_map.
    """
    from stacker.cli.conversion import to_layer_ranges
    from stacker.io.files.spec_files import find_spec_file, read_spec_file, write_spec_file
    from stacker.spec.parser import parse_spec

    spec = find_spec_file(spec)
    check_outputs({"-o": out}, (spec,))
    written, given = read_spec_file(spec), parse_assignments(parameter)
    parsed = parse_spec(written, str(spec), given)
    text = to_layer_ranges(written, spec, to, given) if to in _RANGES else _convert(parsed, spec, to)
    if out:
        write_spec_file(out, text)
    if json:
        print_json({"ok": True, "from": str(parsed.dialect), "to": str(to), "text": text})
    elif out:
        print_written(out)
    else:
        typer.echo(text, nl=False)


def _convert(parsed: StackSpec, path: Path, to: Form) -> str:
    from stacker.cli.conversion import to_mergekit_text
    from stacker.spec.native.writer import to_native

    return to_native(parsed) if to is Form.NATIVE else to_mergekit_text(parsed, path)


@app.command(rich_help_panel=LANGUAGE, epilog=format_examples("schema > stacker.schema.json"))
def schema(*, json: Json = False) -> None:
    """Print the JSON Schema of stacker's spec language, for completion and hints in editors; --json changes nothing."""
    del json
    from stacker.spec.native.schema import make_json_schema

    print_json(make_json_schema())


@app.command(rich_help_panel=LANGUAGE, epilog=format_examples("ops", "ops slerp"))
def ops(name: OpName = None, *, json: Json = False) -> None:
    """List the blend ops, or show one op with its formula, parameters and source."""
    from stacker.ops.table import OPS
    from stacker.view.tables.ops import draw_op, draw_ops, op_json

    if name is not None and name not in OPS:
        raise SpecError.of(f"there is no op '{name}'", did_you_mean(name, OPS))
    chosen = [OPS[name]] if name else list(OPS.values())
    if json:
        print_json([op_json(op) for op in chosen])
    else:
        make_console().print(draw_op(OPS[name]) if name else draw_ops(chosen))
    if not json and not name:
        make_console().print(Text("\nstacker ops NAME shows the formula and the parameters of one.", "dim"))


@app.command(rich_help_panel=LANGUAGE, epilog=format_examples("architectures", "architectures qwen3"))
def architectures(name: FamilyName = None, *, json: Json = False) -> None:
    """List the architecture families that stacker knows, or show one with its tensors and config rules."""
    from stacker.arch.families import read_architectures
    from stacker.view.tables.architectures import architecture_json, draw_architecture, draw_architectures

    families = {family.name: family for family in read_architectures()}
    if name is not None and name not in families:
        raise SpecError.of(f"there is no family '{name}'", did_you_mean(name, families))
    chosen = [families[name]] if name else list(families.values())
    if json:
        print_json([architecture_json(family) for family in chosen])
    else:
        make_console().print(draw_architecture(chosen[0]) if name else draw_architectures(chosen))
