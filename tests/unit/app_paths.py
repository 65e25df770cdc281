"""Find the places in root's code that work by name below a directory that the app can write.

The code is followed as text (ast), not run. A path that comes from the site's settings is traced through assignments,
loops, what computes with paths, and calls of functions of the same files. Each call that looks such a path up by name
is a finding. What this cannot see is a path that travels in an object, such as C(wanted["path"]).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: Settings whose directories the app's account can write.
KEYS = frozenset({"data", "cache", "run_directory", "beneath"})

#: What computes with a path and gives one again, as a function or a method.
COMPUTES = frozenset(
    {"str", "Path", "PurePath", "fspath", "fsencode", "join", "normpath", "dirname", "abspath", "absolute", "joinpath"}
    | {"with_name", "with_suffix", "with_stem", "as_posix", "list", "tuple", "set", "sorted", "zip", "enumerate"}
    | {"reversed", "partition", "rpartition", "removesuffix", "replace", "format", "rstrip", "append", "walk", "fwalk"}
    | {"iterdir", "glob", "rglob", "scandir", "resolve", "realpath"}
)

#: What looks a path up by name, or hands it to a program that may.
MODULES = ("os.", "shutil.", "sqlite3.", "tarfile.", "tempfile.", "zipfile.", "glob.", "subprocess.", "gzip.", "lzma.")
BY_DESCRIPTOR = frozenset({"os.fspath", "os.fsencode", "os.close", "os.fstat", "os.fchown", "os.fchmod", "os.fsync"})
COMPUTES_ONLY = frozenset(
    f"os.path.{name}"
    for name in ("join", "relpath", "normpath", "dirname", "basename", "abspath", "split", "commonpath")
)
METHODS = frozenset(
    {"chmod", "exists", "expanduser", "glob", "group", "hardlink_to", "is_dir", "is_fifo", "is_file", "is_mount"}
    | {"is_socket", "is_symlink", "iterdir", "lchmod", "lstat", "mkdir", "open", "owner", "read_bytes", "read_text"}
    | {
        "readlink",
        "rename",
        "replace",
        "resolve",
        "rglob",
        "rmdir",
        "samefile",
        "stat",
        "symlink_to",
        "touch",
        "unlink",
    }
    | {"walk", "write_bytes", "write_text"}
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class _Known:
    """A function of the checked files, and what is known of it."""

    file: str
    node: Function
    tainted: set[str] = field(default_factory=set)
    returns: bool = False


@dataclass
class Code:
    """The checked files.

    :param allowed: functions that may work by name with such a path, by their name, each with the reason.
    """

    sources: dict[str, str]
    allowed: dict[str, str] = field(default_factory=dict)

    def findings(self) -> list[str]:
        """Return each place as C(file:line: function: call)."""
        self.functions: dict[str, list[_Known]] = {}
        for file, text in self.sources.items():
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, Function):
                    self.functions.setdefault(node.name, []).append(_Known(file, node))
        every = [known for same in self.functions.values() for known in same]
        before, now = -1, 0
        found: set[str] = set()
        while before != now:
            found = {
                place
                for known in every
                for place in _Visit(self, known).places()
                if known.node.name not in self.allowed
            }
            before, now = now, sum(len(known.tainted) + known.returns for known in every)
        return sorted(found)


class _Visit:
    """One pass over one function."""

    def __init__(self, code: Code, known: _Known) -> None:
        self.code = code
        self.known = known
        self.names = set(known.tainted)

    def places(self) -> Iterator[str]:
        before = -1
        while before != len(self.names):
            before = len(self.names)
            for node in _own(self.known.node):
                self._follow(node)
        for node in _own(self.known.node):
            if isinstance(node, ast.Call) and self._is_finding(node):
                yield f"{self.known.file}:{node.lineno}: {self.known.node.name}: {ast.unparse(node)}"

    def _follow(self, node: ast.AST) -> None:
        pairs: list[tuple[ast.expr | None, ast.expr | None]] = []
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, (ast.AnnAssign, ast.NamedExpr, ast.AugAssign)):
            pairs = [(node.target, node.value)]
        elif isinstance(node, (ast.For, ast.comprehension)):
            pairs = [(node.target, node.iter)]
        elif isinstance(node, ast.withitem):
            pairs = [(node.optional_vars, node.context_expr)]
        elif isinstance(node, (ast.Return, ast.Yield, ast.YieldFrom)) and self._is_path(node.value):
            self.known.returns = True
        for target, value in pairs:
            if target is not None and self._is_path(value):
                self.names |= set(_assigned(target))

    def _is_path(self, node: ast.AST | None) -> bool:
        """Say whether an expression may be such a path, or hold one."""
        match node:
            case ast.Name(id=name):
                return name in self.names
            case ast.Subscript(value=value, slice=index):
                return (isinstance(index, ast.Constant) and index.value in KEYS) or self._is_path(value)
            case ast.Call():
                return self._gives_path(node)
            case ast.Attribute(value=value, attr=attribute):
                return attribute in ("parent", "parents") and self._is_path(value)
            case ast.ListComp(elt=element) | ast.SetComp(elt=element) | ast.GeneratorExp(elt=element):
                return self._is_path(element)
            case ast.DictComp(value=element):
                return self._is_path(element)
            case ast.IfExp(body=body, orelse=other):
                return self._is_path(body) or self._is_path(other)
            case ast.Compare() | ast.Constant() | ast.Lambda() | ast.Dict() | None:
                return False
        return any(self._is_path(child) for child in ast.iter_child_nodes(node))

    def _gives_path(self, call: ast.Call) -> bool:
        name = _dotted(call.func)
        last = name.rpartition(".")[2]
        first = call.args[0] if call.args else None
        if last in ("path", "get") and isinstance(first, ast.Constant) and first.value in KEYS:
            return True
        if name.startswith("beneath.") or last in self.code.allowed:
            return False
        if called := self._called(call):
            return any(known.returns for known in called)
        return last in COMPUTES and (self._on_path(call) or any(map(self._is_path, call.args)))

    def _on_path(self, call: ast.Call) -> bool:
        return isinstance(call.func, ast.Attribute) and self._is_path(call.func.value)

    def _called(self, call: ast.Call) -> list[_Known]:
        """Return the functions of the checked files that a call may mean."""
        name = _dotted(call.func)
        if self._on_path(call) or name.startswith((*MODULES, "beneath.")):
            return []
        return self.code.functions.get(name.rpartition(".")[2], [])

    def _is_finding(self, call: ast.Call) -> bool:
        name = _dotted(call.func)
        last = name.rpartition(".")[2]
        if last in self.code.allowed or name.startswith("beneath."):
            return False
        if self._on_path(call):
            # str has a method of this name as well, with two arguments.
            return last in METHODS and not (last == "replace" and len(call.args) > 1)
        given = [self._is_path(node) for node in call.args]
        named = {keyword.arg for keyword in call.keywords if self._is_path(keyword.value)}
        if not (any(given) or named):
            return False
        if called := self._called(call):
            for known in called:
                _pass_on(known, call, given, named)
            return False
        if name.startswith(MODULES):
            return name not in BY_DESCRIPTOR | COMPUTES_ONLY
        # The path's own methods take another one, too: Path("/new").replace(path).
        return (
            name == "open"
            or last in METHODS - {"replace", "group", "open", "walk", "glob"}
            or last == "TemporaryDirectory"
        )


def _pass_on(known: _Known, call: ast.Call, given: list[bool], named: set[str | None]) -> None:
    """Let a function know which of its parameters are such paths."""
    parameters = [argument.arg for argument in (*known.node.args.posonlyargs, *known.node.args.args)]
    if parameters[:1] in (["self"], ["cls"]) and isinstance(call.func, ast.Attribute):
        parameters = parameters[1:]
    known.tainted |= {name for name, is_path in zip(parameters, given, strict=False) if is_path}
    known.tainted |= {name for name in named if name}
    if known.node.args.vararg and any(given[len(parameters) :]):
        known.tainted.add(known.node.args.vararg.arg)


def _own(function: Function) -> Iterator[ast.AST]:
    """Yield the nodes of a function, without those of functions in it, which are followed on their own."""
    todo: list[ast.AST] = [*function.body]
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, Function):
            todo += ast.iter_child_nodes(node)


def _assigned(target: ast.expr) -> Iterator[str]:
    """Yield the names that get a value; of C(places[key]) the container alone."""
    match target:
        case ast.Name(id=name):
            yield name
        case ast.Subscript(value=value) | ast.Starred(value=value):
            yield from _assigned(value)
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            for element in elements:
                yield from _assigned(element)


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute):
            return f"{_dotted(value)}.{attribute}"
    return "?"


def read(root: Path, files: Iterable[str], without: Iterable[str] = ()) -> dict[str, str]:
    """Return the text of the files that match some patterns, by their path below C(root); links are read once."""
    left_out = set(without)
    return {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for pattern in files
        for path in sorted(root.glob(pattern))
        if not path.is_symlink() and str(path.relative_to(root)) not in left_out
    }
