"""The import law, the bans and the size limit of the design, as functions from source text to problems.

A set is recognised where it is written (a literal, `set()`, a comprehension, an operation on those) and where a name or
an attribute of `self` was bound or annotated as one in the same scope or class; whatever else turns out to be a set at
run time is for the determinism gate of the simulator to find.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass

LINES_MAX = 500
PACKAGES = ("crdt", "core", "datapath", "adapters", "sim", "bench")
PURE = ("crdt", "core")
PROJECT = frozenset((*PACKAGES, "tests"))

MAY_IMPORT: dict[str, frozenset[str]] = {
    "crdt": frozenset({"crdt", "sortedcontainers"}),
    "core": frozenset({"core", "crdt", "msgpack"}),
    "datapath": frozenset({"datapath", "core", "msgpack", "nacl", "pyroute2"}),
    "adapters": frozenset(
        {"adapters", "core", "crdt", "aiohttp", "dnslib", "msgpack", "nacl", "prometheus_client", "spake2"}
    ),
    "sim": frozenset({"sim", "core", "crdt"}),
    # Nothing imports bench, so it may measure all there is.
    "bench": frozenset({"bench", "crdt", "core", "datapath", "adapters", "sim"}),
}
"""Beyond the standard library. Source: design §3."""
CLUSTER_ENGINE = "sim/campaign/shards.py"
"""Campaigns may run on a Dask cluster, which is an optional extra: imported only when one is asked for."""
COMPOSITION_ROOT = "adapters/agent.py"
"""The one adapter that sees the datapath."""
ENTRY_POINTS = ("adapters/control/cli.py", "adapters/control/words.py")
"""Must start in milliseconds: at module level only the standard library, and each other."""

# fmt: off
BANNED_MODULES = frozenset((
    "asyncio", "concurrent", "datetime", "fcntl", "http", "importlib", "io", "logging", "multiprocessing", "os",
    "pathlib", "queue", "sched", "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver",
    "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
))
# fmt: on
"""Clock, randomness, input and output have no place in `crdt` and `core`."""
BANNED_CALLS = frozenset({"hash", "id", "input", "open", "print", "__import__", "breakpoint"})
"""Answers that differ between runs, or input and output."""
ORDER_BLIND = frozenset({"all", "any", "frozenset", "len", "max", "min", "set", "sorted", "sum"})
"""What may consume a set: the order of its elements cannot be seen in the result."""
SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference"})
SET_NAMES = frozenset({"set", "frozenset"})
KEY_VIEWS = frozenset({"keys", "items"})


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module."""

    line: int
    """Where, 1-based."""
    module: str
    """Dotted name; empty for a relative import."""
    is_lazy: bool
    """Inside a function, so not carried out when the file is imported."""


def problems_of(path: str, source: str) -> list[str]:
    """Return what is wrong with a file, named relative to the repository; each with path and line."""
    tree = ast.parse(source, path)
    package = path.split("/", 1)[0]
    found = [*_import_problems(path, package, tree), *_size_problems(source)]
    if path in ENTRY_POINTS:
        found.extend(_entry_point_problems(tree))
    if package in PURE:
        found.extend(_purity_problems(tree))
    return [f"{path}:{line}: {what}" for line, what in sorted(found)]


def imports_of(tree: ast.AST, *, is_lazy: bool = False) -> Iterator[Import]:
    """Yield every import of a file."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name, is_lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield Import(node.lineno, "" if node.level else node.module or "", is_lazy)
        else:
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports_of(node, is_lazy=is_lazy or is_function)


Problem = tuple[int, str]
"""Line, 1-based, and what is wrong there."""


def _import_problems(path: str, package: str, tree: ast.AST) -> Iterator[Problem]:
    allowed = MAY_IMPORT.get(package)
    for item in imports_of(tree):
        top = item.module.split(".", 1)[0]
        if not top:
            yield item.line, "relative import; name the package"
        elif allowed is None or top in allowed or _is_exception(path, top, item):
            continue
        elif top in PROJECT or top not in sys.stdlib_module_names:
            yield item.line, f"{package} must not import {item.module}"


def _is_exception(path: str, top: str, item: Import) -> bool:
    if path == COMPOSITION_ROOT:
        return top == "datapath"
    if path == CLUSTER_ENGINE:
        return top == "distributed" and item.is_lazy
    return path in ENTRY_POINTS and top == "sim" and item.is_lazy


def _entry_point_problems(tree: ast.AST) -> Iterator[Problem]:
    for item in imports_of(tree):
        is_quick = item.module.replace(".", "/") + ".py" in ENTRY_POINTS
        if not item.is_lazy and not is_quick and item.module.split(".", 1)[0] not in sys.stdlib_module_names:
            yield item.line, f"{item.module} is imported at module level; this file must start in milliseconds"


def _size_problems(source: str) -> Iterator[Problem]:
    lines = len(source.splitlines())
    if lines > LINES_MAX:
        yield lines, f"{lines} lines, more than {LINES_MAX}; split it by responsibility"


def _purity_problems(tree: ast.AST) -> Iterator[Problem]:
    for item in imports_of(tree):
        if item.module.split(".", 1)[0] in BANNED_MODULES:
            yield item.line, f"{item.module} is banned here: it reaches outside"
    for node in ast.walk(tree):
        yield from _randomness(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
            yield node.lineno, f"{node.func.id}() is banned here: its answer or effect lies outside"
    yield from _SetSearch().search(tree)


def _randomness(node: ast.AST) -> Iterator[Problem]:
    """Let `random.Random` pass as a type, and nothing else of that module."""
    if isinstance(node, ast.ImportFrom) and node.module == "random":
        yield node.lineno, "from random import …; write `import random` and use random.Random as a type"
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name == "random" and alias.asname:
                yield node.lineno, "random must keep its name"
    elif isinstance(node, ast.Attribute) and _is_name(node.value, "random") and node.attr != "Random":
        yield node.lineno, f"random.{node.attr} is banned here; draw from the context's entropy"
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "random.Random":
        yield node.lineno, "random.Random() is made by the shell and handed in"


class _SetSearch(ast.NodeVisitor):
    """Finds places where the order of a set would show."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self._scopes: list[frozenset[str]] = []

    def search(self, tree: ast.AST) -> list[Problem]:
        """Return all of them."""
        self._enter(tree)
        return self._problems

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._enter(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._enter(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._enter(node)

    def visit_For(self, node: ast.For) -> None:
        self._consume(node.iter, "a loop")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._consume(node.iter, "a comprehension")
        self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> None:
        if isinstance(node.ctx, ast.Load):
            self._consume(node.value, "unpacking")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if isinstance(node.func, ast.Attribute):
            if node.func.attr == "join":
                name = "join"
            elif node.func.attr == "pop" and not node.args:
                self._consume(node.func.value, "pop()")
        if name in ("dict", "enumerate", "filter", "iter", "join", "list", "map", "next", "reversed", "tuple", "zip"):
            for argument in node.args:
                self._consume(argument, f"{name}()")
        if name in ORDER_BLIND:
            # The comprehension that feeds it may itself draw from a set.
            for argument in node.args:
                if isinstance(argument, ast.GeneratorExp):
                    for generator in argument.generators:
                        for condition in (argument.elt, *generator.ifs):
                            self.visit(condition)
                else:
                    self.visit(argument)
            for keyword in node.keywords:
                self.visit(keyword.value)
            return
        self.generic_visit(node)

    def _enter(self, node: ast.AST) -> None:
        self._scopes.append(_set_names(node, whole=isinstance(node, ast.ClassDef)))
        self.generic_visit(node)
        self._scopes.pop()

    def _consume(self, node: ast.AST, where: str) -> None:
        if self._is_set(node):
            self._problems.append((node.lineno, f"{where} draws from a set, whose order differs between runs"))  # type: ignore[attr-defined]  # every expression has a line

    def _is_set(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Set | ast.SetComp):
            return True
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                return node.func.attr in SET_METHODS
            return isinstance(node.func, ast.Name) and node.func.id in SET_NAMES
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.BitXor | ast.Sub):
            return any(self._is_set(side) or _is_key_view(side) for side in (node.left, node.right))
        if isinstance(node, ast.IfExp):
            return self._is_set(node.body) or self._is_set(node.orelse)
        name = _bound_name(node)
        return name is not None and any(name in scope for scope in self._scopes)


def _set_names(scope: ast.AST, *, whole: bool) -> frozenset[str]:
    """Return the names bound to a set directly in a scope; of a class also `self.…` in its methods."""
    names: dict[str, None] = {}
    for node in _nodes_of(scope, whole=whole):
        pairs: list[tuple[ast.AST, bool]] = []
        if isinstance(node, ast.AnnAssign):
            pairs = [(node.target, _is_set_type(node.annotation))]
        elif isinstance(node, ast.Assign):
            is_set = isinstance(node.value, ast.Set | ast.SetComp) or (
                isinstance(node.value, ast.Call)
                and isinstance(node.value.func, ast.Name)
                and node.value.func.id in SET_NAMES
            )
            pairs = [(target, is_set) for target in node.targets]
        elif isinstance(node, ast.arg) and node.annotation is not None:
            pairs = [(ast.Name(node.arg), _is_set_type(node.annotation))]
        for target, is_set in pairs:
            name = _bound_name(target)
            if is_set and name is not None and (not whole or name.startswith("self.")):
                names[name] = None
    return frozenset(names)


def _nodes_of(scope: ast.AST, *, whole: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(scope):
        yield node
        if whole or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _nodes_of(node, whole=whole)


def _bound_name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and _is_name(node.value, "self"):
        return f"self.{node.attr}"
    return None


def _is_set_type(annotation: ast.AST) -> bool:
    base = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return isinstance(base, ast.Name) and base.id in {*SET_NAMES, "AbstractSet", "MutableSet", "Set"}


def _is_key_view(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in KEY_VIEWS
        and not node.args
    )


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
