"""The command preview: draws a stack on the terminal or into a file, or draws two stacks side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stacker.cli.app import LOOK, For, Json, Parameters, app, format_examples
from stacker.cli.junctions import read_turns
from stacker.cli.outputs import check_outputs
from stacker.cli.parameters import share_assignments
from stacker.cli.terminal.printing import (
    find_exit_code,
    make_console,
    print_json,
    print_warnings,
    print_written,
    problems_json,
)
from stacker.errors import SpecError, raise_problems, select_errors

if TYPE_CHECKING:
    from stacker.compose import Stack
    from stacker.view.scene.scene import Scene

Specs = Annotated[
    list[Path], typer.Argument(metavar="SPEC", help="A spec file, or two to compare; - reads standard input.")
]
Svg = Annotated[
    Path | None,
    typer.Option("--svg", metavar="FILE", help="Write the depth map as an SVG drawing; - is standard output."),
]
Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write an interactive HTML page, in one file; - is standard output."),
]
Mermaid = Annotated[bool, typer.Option("--mermaid", help="Print the stack as a Mermaid flowchart.")]
Dot = Annotated[bool, typer.Option("--dot", help="Print the stack as a Graphviz digraph.")]


@app.command(
    rich_help_panel=LOOK,
    epilog=format_examples(
        "preview stack.yml", "preview stack.yml --html stack.html", "preview one.yml other.yml --html both.html"
    ),
)
def preview(
    specs: Specs,
    *,
    parameter: Parameters = None,
    svg: Svg = None,
    html: Html = None,
    mermaid: Mermaid = False,
    dot: Dot = False,
    clients: For = None,
    json: Json = False,
) -> None:
    """Draw a stack with its size, cost and weak points, or compare two stacks; no weights are needed."""
    from stacker.compose import load
    from stacker.io.donors.reader import read_avoiding_hub

    check_outputs({"--svg": svg, "--html": html}, specs)
    given = share_assignments([*map(str, specs)], parameter)
    loaded = (load(spec, read_avoiding_hub, values) for spec, values in zip(specs, given, strict=True))
    stacks = [stack.for_clients(clients or ()) for stack in loaded]
    asked = {name: path for name, path in (("svg", svg), ("html", html)) if path}
    files = {name: path for name, path in asked.items() if str(path) != "-"}
    printed = [name for name, wanted in (("mermaid", mermaid), ("dot", dot)) if wanted]
    printed += asked.keys() - files.keys()
    if len(stacks) > 2 or (len(stacks) == 2 and {*asked, *printed} - {"html"}):
        hint = "give one, or two to compare on the terminal, as --html or as --json"
        raise SpecError.of(f"there are {len(specs)} specs", hint)
    if len(printed) + json > 1:
        raise SpecError.of(
            "standard output holds only one result", "use one of --mermaid, --dot, --json, --svg - and --html -"
        )
    if len(stacks) == 2:
        left, right = stacks
        _compare(left, right, files, printed, as_json=json)
    else:
        _show(stacks[0], files, printed, as_json=json)
    problems = tuple(problem for stack in stacks for problem in stack.problems)
    if not json:
        print_warnings(problems)
        raise_problems(problems)
    raise typer.Exit(find_exit_code(select_errors(problems)))


def _show(stack: Stack, files: Mapping[str, Path], printed: list[str], *, as_json: bool) -> None:
    """Print the stack as JSON if `as_json`, write the views in `files` to their paths, and print those in `printed`.

    Without any of these, the stack is drawn on the terminal.
    """
    scene = _make_scene(stack)
    if as_json:
        print_json(_preview_json(stack, scene))
    elif not files and not printed:
        from stacker.view.stack.preview import draw_preview

        make_console().print(draw_preview(scene))
    if files or printed:
        from stacker.view.files.file_views import FILE_VIEWS

        _write_views({name: partial(FILE_VIEWS[name], scene) for name in (*files, *printed)}, files)


def _make_scene(stack: Stack) -> Scene:
    return replace(stack.scene(), turns=read_turns(stack))


def _write_views(views: Mapping[str, Callable[[], str]], files: Mapping[str, Path]) -> None:
    """Write each view to its path in `files`, and print those that have none; the keys are names such as `svg`."""
    from stacker.io.disk.storage import explain_errors

    for name, make in views.items():
        if name not in files:
            typer.echo(make(), nl=False)
            continue
        with explain_errors(files[name]):
            files[name].write_text(make(), encoding="utf-8")
        print_written(files[name])


def _preview_json(stack: Stack, scene: Scene) -> dict[str, Any]:
    from stacker.view.stack.preview import preview_json
    from stacker.view.tables.side_files import side_files_json

    problems = {"lints": problems_json(scene.lints), "problems": problems_json(stack.problems)}
    files = {"files": side_files_json(stack.side_files)}
    return {"ok": not select_errors(stack.problems)} | preview_json(scene) | files | problems


def _compare(left: Stack, right: Stack, files: Mapping[str, Path], printed: list[str], *, as_json: bool) -> None:
    """Show two stacks as `_show` shows one; HTML is the only kind of file that shows both."""
    from stacker.view.stack.comparison import comparison_json, draw_comparison

    one, other = _make_scene(left), _make_scene(right)
    if as_json:
        ok = not select_errors((*left.problems, *right.problems))
        print_json({"ok": ok} | comparison_json(one, other))
    elif not files and not printed:
        make_console().print(draw_comparison(one, other))
    if files or printed:
        from stacker.view.files.page import comparison_html_text

        _write_views({"html": partial(comparison_html_text, one, other)}, files)
