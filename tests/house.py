"""How the house is checked: what each module imports and how long its functions are, read from the syntax tree.

Nothing is imported or run. Imports inside functions and under TYPE_CHECKING count like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).resolve().parent.parent
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "tensors", "progress", "version", "architectures", "slices"),
    ("text", "formats"),
    ("spec", "arch", "arithmetic"),
    ("ops",),
    ("core",),
    ("io",),
    ("run",),
    ("view",),
    ("compose", "checkpoint"),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {unit: floor for floor, units in enumerate(FLOORS) for unit in units}
_IMPORT_CALLS = ("import_module", "__import__")
HEAVY = {"transformers": "live", "accelerate": "live"}
"""Packages that one unit alone may import; until there is such a unit, nobody may."""
LATE = ("torch", "numpy", "numba", "ml_dtypes")
COMPUTING = "arithmetic"
"""The room whose modules may import those as soon as they are imported."""
IMPURE = frozenset({
    "os", "io", "sys", "pathlib", "shutil", "tempfile", "subprocess", "socket", "time", "datetime", "random", "secrets",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Import:
    """What is imported, where, and whether that happens as soon as the importing module is.

    `owner` is the module it comes from: of `from a import b`, `a`, while `target` is `a.b`, a module or not.
    """

    target: str
    owner: str
    line: int
    eager: bool


@dataclass(frozen=True, slots=True)
class Module:
    """A module by its dotted name; `package` says that it is an `__init__`."""

    name: str
    tree: ast.Module = field(compare=False, repr=False)
    package: bool = False

    @property
    def unit(self) -> str:
        """What has a floor: a package of the house, or a module at its top."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else "__init__"

    def imports(self) -> list[Import]:
        """All that it imports, wherever in it."""
        return list(_imports(self.tree, self, eager=True))


def parse_module(name: str, text: str, package: bool = False) -> Module:
    return Module(name, ast.parse(text), package)


def read_house(root: Path = ROOT / "stacker") -> dict[str, Module]:
    """Every module below `root` by dotted name."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if package else parts)
        found[name] = parse_module(name, path.read_text(encoding="utf-8"), package)
    return found


def edges(house: Mapping[str, Module]) -> Iterator[tuple[Module, Module, int]]:
    """Who imports whom inside the house, and on which line."""
    for module in house.values():
        for one in module.imports():
            target = house.get(one.target) or house.get(one.owner)
            if target is not None and target != module:
                yield module, target, one.line


def climbs(house: Mapping[str, Module]) -> list[str]:
    """Imports that go up, or sideways between two units of a floor; units that have no floor."""
    found = [f"{name}: '{m.unit}' has no floor" for name, m in house.items() if m.unit not in FLOOR_OF]
    for module, target, line in edges(house):
        if module.unit == target.unit:
            continue
        here, there = FLOOR_OF.get(module.unit, -1), FLOOR_OF.get(target.unit, -1)
        if there >= here:
            found.append(f"{module.name}:{line} imports {target.name}: floor {here} from floor {there}")
    return found


def cycles(house: Mapping[str, Module]) -> list[list[str]]:
    """Groups of modules that import each other, in a round or directly."""
    graph = nx.DiGraph((module.name, target.name) for module, target, _ in edges(house))
    return [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]


def room_cycles(house: Mapping[str, Module]) -> list[list[str]]:
    """Groups of rooms of one unit (its packages, and the modules beside them as one) that import each other."""
    inside = ((one, other) for one, other, _ in edges(house) if one.unit == other.unit)
    graph = nx.DiGraph((room_of(one), room_of(other)) for one, other in inside)
    return [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]


def room_of(module: Module) -> str:
    """The package that a module is in; a package's own `__init__` is in it too."""
    return module.name if module.package else module.name.rpartition(".")[0]


def heavy_imports(house: Mapping[str, Module]) -> list[str]:
    """What computes, at import time and out of its room; transformers and accelerate anywhere out of theirs."""
    heavy = _computing(house)
    found = []
    for module in house.values():
        for one in module.imports():
            top = one.target.split(".")[0]
            if (one.eager and _computes(one, heavy) and module.unit != COMPUTING) or module.unit != HEAVY.get(
                top, module.unit
            ):
                found.append(f"{module.name}:{one.line} imports {one.target}")
    return found


def _computing(house: Mapping[str, Module]) -> set[str]:
    """The modules that bring numpy, numba or torch with them."""
    found: set[str] = set()
    while more := {
        module.name
        for module in house.values()
        if module.name not in found and any(one.eager and _computes(one, found) for one in module.imports())
    }:
        found |= more
    return found


def _computes(one: Import, heavy: set[str]) -> bool:
    """safetensors.torch is torch."""
    top, _, rest = one.target.partition(".")
    return top in LATE or (top == "safetensors" and rest.split(".")[0] in LATE) or bool({one.target, one.owner} & heavy)


def talk(house: Mapping[str, Module]) -> list[str]:
    """Printing and exiting outside the command line."""
    return [
        f"{module.name}:{node.lineno} {ast.unparse(node)}"
        for module in house.values()
        if module.unit not in ("cli", "__main__")
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Name) and node.id in ("print", "exit", "quit", "SystemExit", "input"))
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.exit", "os._exit", "sys.stdout"))
    ]


def impurities(house: Mapping[str, Module], unit: str = "core") -> list[str]:
    """Files, clocks, chance and the environment where only values should be."""
    return [
        f"{module.name}:{one.line} imports {one.target}"
        for module in house.values()
        if module.unit == unit
        for one in module.imports()
        if one.target.split(".")[0] in IMPURE
    ] + [
        f"{module.name}:{node.lineno} opens a file"
        for module in house.values()
        if module.unit == unit
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "open"
    ]


def function_lengths(tree: ast.Module) -> list[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Every function, inner ones included, and its lines from `def` to its last."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [(node, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions]


def long_functions(tree: ast.Module, limit: int) -> list[str]:
    """Functions of more than `limit` lines."""
    found = function_lengths(tree)
    return [f"{node.name} (line {node.lineno}): {length} lines" for node, length in found if length > limit]


def _imports(node: ast.AST, module: Module, eager: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names):
                yield from (Import(alias.name, alias.name, child.lineno, eager) for alias in names)
            case ast.ImportFrom(names=names):
                owner = _owner(child, module)
                yield from (Import(f"{owner}.{alias.name}", owner, child.lineno, eager) for alias in names)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from _imports(child, module, eager=False)
            case ast.If(test, body, orelse) if ast.unparse(test).endswith("TYPE_CHECKING"):
                yield from _imports(ast.Module(body, []), module, eager=False)
                yield from _imports(ast.Module(orelse, []), module, eager)
            case _:
                yield from _by_name(child, eager)
                yield from _imports(child, module, eager)


def _owner(node: ast.ImportFrom, module: Module) -> str:
    """The module that names are imported from, dots resolved."""
    package = module.name.split(".")
    kept = package[: len(package) - node.level + module.package] if node.level else []
    return ".".join([*kept, *([node.module] if node.module else [])])


def _by_name(node: ast.AST, eager: bool) -> Iterator[Import]:
    """A module imported by a call, where its name is written out."""
    match node:
        case ast.Call(function, [ast.Constant(str(name)), *_]) if ast.unparse(function).endswith(_IMPORT_CALLS):
            yield Import(name, name, node.lineno, eager)
