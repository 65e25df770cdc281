"""The parts of a file that are not mutated, because no test can notice a change of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

#: A line, counted from 1, and a column in characters, counted from 0; as parso counts.
Place = tuple[int, int]


@dataclass(frozen=True)
class Excluded:
    """The parts of a file's text that are left alone."""

    ranges: tuple[tuple[Place, Place], ...]
    tuning: tuple[tuple[Place, Place], ...]

    @classmethod
    def of(cls, source: str) -> Excluded:
        tree = ast.parse(source)
        lines = source.splitlines()
        return cls(
            tuple(_range(node, lines) for node in _never_noticed(tree)),
            tuple(_range(node, lines) for node in _tuning(tree)),
        )

    def covers(self, start: Place, operator: str) -> bool:
        """Return whether an operator is not applied at a place."""
        ranges = self.ranges + (self.tuning if operator == "NumberReplacer" else ())
        return any(first <= start < end for first, end in ranges)


def _never_noticed(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield annotations (never evaluated), assertions (for mypy), options of dataclasses, and C(if __name__ == ...)."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(annotation=ast.expr() as annotation) | ast.AnnAssign(annotation=annotation):
                yield annotation
            case ast.FunctionDef(returns=ast.expr() as returns) | ast.AsyncFunctionDef(returns=ast.expr() as returns):
                yield returns
            case ast.Assert():
                yield node
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield node
        if isinstance(node, ast.ClassDef):
            yield from (decorator for decorator in node.decorator_list if _is_dataclass(decorator))


def _is_dataclass(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("dataclass")


def _tuning(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the constants of modules and classes: 6 seconds or 1025 bytes instead of 5 or 1024 are as good."""
    holders: list[ast.Module | ast.ClassDef] = [tree, *(one for one in ast.walk(tree) if isinstance(one, ast.ClassDef))]
    for holder in holders:
        yield from (node for node in holder.body if isinstance(node, ast.Assign | ast.AnnAssign))


def _range(node: ast.AST, lines: list[str]) -> tuple[Place, Place]:
    def column(line: int, offset: int) -> int:
        return len(lines[line - 1].encode()[:offset].decode(errors="ignore"))

    first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
    return (
        (first, column(first, getattr(node, "col_offset", 0))),
        (last, column(last, getattr(node, "end_col_offset", 0))),
    )
