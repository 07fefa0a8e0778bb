"""Checks stacker's source tree by its syntax trees: what each module imports, and how long functions are.

No module is imported or run. Imports inside functions and under TYPE_CHECKING count as well.
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
    ("live",),
    ("measure",),
    ("search",),
    ("view",),
    ("checked",),
    ("compose", "checkpoint", "distances", "extraction"),
    ("searching", "parts", "calibration"),
    ("upload",),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
FLOOR_OF = {unit: floor for floor, units in enumerate(FLOORS) for unit in units}
_IMPORT_CALLS = ("import_module", "__import__")
HEAVY = {"transformers": "live", "accelerate": "live"}
"""Packages that only one unit may import: from the package to the unit."""
LATE = ("torch", "numpy", "numba", "ml_dtypes")
COMPUTING = ("arithmetic", "live", "measure", "search", "searching")
"""The only units whose modules may import the packages in LATE, or each other's modules, at import time."""
IMPURE = frozenset({
    "os", "io", "sys", "pathlib", "shutil", "tempfile", "subprocess", "socket", "time", "datetime", "random", "secrets",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Import:
    """An import in a module; `eager` means that it runs when the module itself is imported.

    For `from a import b`, `owner` is `a` and `target` is `a.b`, whether or not `a.b` is a module.
    """

    target: str
    owner: str
    line: int
    eager: bool


@dataclass(frozen=True, slots=True)
class Module:
    """A module with its dotted name and syntax tree; `package` is True for an `__init__.py`."""

    name: str
    tree: ast.Module = field(compare=False, repr=False)
    package: bool = False

    @property
    def unit(self) -> str:
        """The package or module directly below `stacker` that this module belongs to; each unit has a floor."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else "__init__"

    def imports(self) -> list[Import]:
        """All imports anywhere in the module."""
        return list(_imports(self.tree, self, eager=True))


def parse_module(name: str, text: str, package: bool = False) -> Module:
    return Module(name, ast.parse(text), package)


def read_house(root: Path = ROOT / "stacker") -> dict[str, Module]:
    """Parse every module below `root`; returns the modules by dotted name."""
    modules = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if package else parts)
        modules[name] = parse_module(name, path.read_text(encoding="utf-8"), package)
    return modules


def find_edges(house: Mapping[str, Module]) -> Iterator[tuple[Module, Module, int]]:
    """Imports between modules of the house: the importing module, the imported one, and the line."""
    for module in house.values():
        for one in module.imports():
            target = house.get(one.target) or house.get(one.owner)
            if target is not None and target != module:
                yield module, target, one.line


def find_climbs(house: Mapping[str, Module]) -> list[str]:
    """Imports from a higher floor or from another unit on the same floor, and units that have no floor."""
    climbs = [f"{name}: '{m.unit}' has no floor" for name, m in house.items() if m.unit not in FLOOR_OF]
    for module, target, line in find_edges(house):
        if module.unit == target.unit:
            continue
        own, other = FLOOR_OF.get(module.unit, -1), FLOOR_OF.get(target.unit, -1)
        if other >= own:
            climbs.append(f"{module.name}:{line} imports {target.name}: floor {own} from floor {other}")
    return climbs


def find_cycles(house: Mapping[str, Module]) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    graph = nx.DiGraph((module.name, target.name) for module, target, _ in find_edges(house))
    return [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]


def find_room_cycles(house: Mapping[str, Module]) -> list[list[str]]:
    """Groups of rooms (packages in one unit) that import each other.

    The modules directly in the unit count as one room.
    """
    inside = ((one, other) for one, other, _ in find_edges(house) if one.unit == other.unit)
    graph = nx.DiGraph((room_of(one), room_of(other)) for one, other in inside)
    return [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]


def room_of(module: Module) -> str:
    """The package of a module; an `__init__.py` belongs to its own package."""
    return module.name if module.package else module.name.rpartition(".")[0]


def find_heavy_imports(house: Mapping[str, Module]) -> list[str]:
    """Imports of packages in LATE at import time outside COMPUTING, and of HEAVY packages outside their unit.

    Importing a module that imports a package in LATE counts as well.
    """
    heavy = _numeric_modules(house)
    found = []
    for module in house.values():
        for one in module.imports():
            top = one.target.split(".")[0]
            if (one.eager and _is_numeric(one, heavy) and module.unit not in COMPUTING) or module.unit != HEAVY.get(
                top, module.unit
            ):
                found.append(f"{module.name}:{one.line} imports {one.target}")
    return found


def _numeric_modules(house: Mapping[str, Module]) -> set[str]:
    """Modules that import a package in LATE at import time, directly or through other modules."""
    found: set[str] = set()
    while more := {
        module.name
        for module in house.values()
        if module.name not in found and any(one.eager and _is_numeric(one, found) for one in module.imports())
    }:
        found |= more
    return found


def _is_numeric(one: Import, heavy: set[str]) -> bool:
    """Whether an import loads a package in LATE or a module in `heavy`; safetensors.torch counts as torch."""
    top, _, rest = one.target.partition(".")
    return top in LATE or (top == "safetensors" and rest.split(".")[0] in LATE) or bool({one.target, one.owner} & heavy)


def find_talk(house: Mapping[str, Module]) -> list[str]:
    """Calls that print or exit outside of `cli`."""
    return [
        f"{module.name}:{node.lineno} {ast.unparse(node)}"
        for module in house.values()
        if module.unit not in ("cli", "__main__")
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Name) and node.id in ("print", "exit", "quit", "SystemExit", "input"))
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in ("sys.exit", "os._exit", "sys.stdout"))
    ]


PATH_QUESTIONS = frozenset({
    "exists", "is_file", "is_dir", "is_symlink", "is_mount", "is_fifo", "resolve", "expanduser", "iterdir", "glob",
    "rglob", "samefile", "readlink", "lexists", "isfile", "isdir", "islink", "realpath", "listdir", "scandir",
})  # fmt: skip
"""Names of functions and methods that raise OSError or ValueError for some paths."""
PATHS = "stacker.io.files.paths"
_HANDLERS = ("OSError", "explain_errors", "explain_open_errors", "explain_path")


def find_path_questions(house: Mapping[str, Module]) -> list[str]:
    """Calls that ask the system about a path outside of stacker.io.files.paths, where no OSError is handled."""
    return [
        f"{module.name}:{call.lineno} {ast.unparse(call.func)}"
        for module in house.values()
        if module.name != PATHS and module.unit != "spec"
        for call in _unhandled_calls(module.tree)
        if isinstance(call.func, ast.Attribute) and call.func.attr in PATH_QUESTIONS and not _is_resource(call.func)
    ]


def _is_resource(question: ast.Attribute) -> bool:
    """Whether the path belongs to the files that are installed with stacker."""
    return ast.unparse(question.value).startswith("files(")


def _unhandled_calls(node: ast.AST) -> Iterator[ast.Call]:
    """Calls below a node that stand neither in a `try` that catches OSError nor in a `with` that translates it."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Try(handlers=handlers) if any(_mentions(each.type) for each in handlers if each.type):
                continue
            case ast.With(items=items) if any(_mentions(each.context_expr) for each in items):
                continue
            case ast.Call():
                yield child
        yield from _unhandled_calls(child)


def _mentions(expression: ast.AST) -> bool:
    return any(name in ast.unparse(expression) for name in _HANDLERS)


def find_impurities(house: Mapping[str, Module], unit: str = "core") -> list[str]:
    """Imports of modules for files, clocks, random numbers or the system, and calls of `open`, in a pure unit."""
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
    """Every function, including inner ones, with its number of lines from `def` to the end."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [(node, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions]


def find_long_functions(tree: ast.Module, limit: int) -> list[str]:
    """Functions with more than `limit` lines, each with its name, first line and length."""
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
    """The absolute name of the module that a `from … import` statement imports from."""
    package = module.name.split(".")
    kept = package[: len(package) - node.level + module.package] if node.level else []
    return ".".join([*kept, *([node.module] if node.module else [])])


def _by_name(node: ast.AST, eager: bool) -> Iterator[Import]:
    """The module that a call such as `import_module("name")` imports; nothing for any other syntax node."""
    match node:
        case ast.Call(function, [ast.Constant(str(name)), *_]) if ast.unparse(function).endswith(_IMPORT_CALLS):
            yield Import(name, name, node.lineno, eager)
