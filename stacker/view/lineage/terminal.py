"""Draws a family tree, and the origins of tensors, for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from stacker.core.lineage.family_tree import Ancestor, State, find_conflicts, list_licences
from stacker.core.lineage.origins import Origin, TensorOrigins
from stacker.errors import escape_text
from stacker.view.scene.tabular import make_table


def draw_tree(tree: Ancestor) -> RenderableType:
    """The tree, the checkpoint at its root, and a line for each licence and each conflict of licences."""
    conflicts = find_conflicts(tree)
    root = Tree(_label(tree, conflict=False))
    _grow(root, tree, conflicts)
    return Group(root, *(Text(line) for line in describe_licences(tree)))


def _grow(branch: Tree, ancestor: Ancestor, conflicts: Sequence[Ancestor]) -> None:
    for parent in ancestor.parents:
        _grow(branch.add(_label(parent, conflict=parent in conflicts)), parent, conflicts)


def _label(ancestor: Ancestor, *, conflict: bool) -> Text:
    label = Text(f"{ancestor.relation} " if ancestor.relation else "", style="dim")
    label.append(escape_text(ancestor.label), style="bold")
    if ancestor.kind:
        label.append(f"  {escape_text(ancestor.kind)}", style="dim")
    if ancestor.licence:
        label.append(f"  {escape_text(ancestor.licence)}", style="yellow" if conflict else "green")
    if ancestor.state is not State.READ:
        label.append(f"  {ancestor.state}: {escape_text(ancestor.note)}", style="red")
    return label


def describe_licences(tree: Ancestor) -> list[str]:
    """A line for each licence in a tree, with the checkpoints under it, and a line that says whether they conflict."""
    lines = [
        f"{escape_text(licence)}: {', '.join(escape_text(source) for source in sources)}"
        for licence, sources in list_licences(tree).items()
    ]
    names = ", ".join(escape_text(each.source) for each in find_conflicts(tree))
    return [*lines, *([f"another licence than what is made from it: {names}"] if names else [])]


def draw_origins(found: Sequence[TensorOrigins]) -> RenderableType:
    """A table with a row for each donor tensor that a tensor was made from."""
    rows = [
        (each.tensor, each.how, f"{origin.donor}:{origin.tensor}", place_text(origin))
        for each in found
        for origin in each.origins or (Origin("", ""),)
    ]
    return make_table(("tensor", "made by", "from", "bytes"), rows)


def place_text(origin: Origin) -> str:
    """The file and the bytes of a donor tensor, such as `a/model.safetensors [120, 4216)`."""
    return f"{origin.file} [{origin.offset}, {origin.offset + origin.nbytes})" if origin.file else ""
