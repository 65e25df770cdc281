"""The changes that are made to the code: a choice of cosmic-ray's operators, and those that it lacks.

Left out are changes that fail at once in any test (C(/) between paths), and those that only replace one good value by
another. cosmic-ray makes up to ten mutants of one comparison; two of them say all there is to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import parso
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator

Position = tuple[tuple[int, int], tuple[int, int]]

#: By kind, so that a line's mutants of one kind do not outnumber the others when one of them is drawn.
OF_COSMIC_RAY = {
    "comparison": [
        f"ReplaceComparisonOperator_{pair}"
        for pair in (
            *("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is"),
            *("Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt"),
        )
    ],
    "condition": ["AddNot", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceUnaryOperator_Delete_Not"],
    "constant": ["ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "NumberReplacer"],
    "loop": ["ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"],
    "exception": ["ExceptionReplacer"],
    "decorator": ["RemoveDecorator"],
    "arithmetic": [
        f"ReplaceBinaryOperator_{pair}"
        for pair in ("Add_Sub", "Sub_Add", "Mul_FloorDiv", "FloorDiv_Mul", "BitOr_BitAnd", "BitAnd_BitOr")
    ],
}


class RemoveStatement(Operator):
    """Replace a call whose result is not used, a C(raise), or an assignment to an attribute or an item by C(pass)."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if node.type == "simple_stmt" and _has_effect(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[0] = parso.parse(f"{node.get_first_leaf().prefix}pass")
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("f(x)\n", "pass\n"),
            Example("raise ValueError\n", "pass\n"),
            Example("a.b = 1\n", "pass\n"),
        )


class ReturnNone(Operator):
    """Return C(None) instead of a value; of C(False) it differs for nobody."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        if node.type == "return_stmt" and node.children[1].get_code().strip() not in ("None", "False"):
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[1] = parso.parse(" None")
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("def f():\n    return 1\n", "def f():\n    return None\n"),)


class NegateMembership(Operator):
    """Exchange C(in) and C(not in)."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        for operator in self._operators(node):
            yield operator.start_pos, operator.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        operator = self._operators(node)[index]
        opposite = "in" if operator.get_code().strip() != "in" else "not in"
        node.children[node.children.index(operator)] = parso.parse(f" {opposite}")
        return node

    @staticmethod
    def _operators(node: Any) -> list[Any]:
        children = node.children[1::2] if node.type == "comparison" else []
        return [child for child in children if child.get_code().split() in (["in"], ["not", "in"])]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("x in y\n", "x not in y\n"), Example("x not in y\n", "x in y\n"))


def all_operators() -> Iterator[tuple[str, str, Operator]]:
    """Yield the operators as C((kind, name, operator))."""
    for kind, names in OF_COSMIC_RAY.items():
        for name in names:
            yield kind, name, get_operator(f"core/{name}")()
    yield "statement", RemoveStatement.__name__, RemoveStatement()
    yield "return", ReturnNone.__name__, ReturnNone()
    yield "comparison", NegateMembership.__name__, NegateMembership()


def _has_effect(statement: Any) -> bool:
    if statement.type == "raise_stmt" or (statement.type == "keyword" and statement.value == "raise"):
        return True
    if statement.type == "expr_stmt":
        return statement.children[0].type in ("atom_expr", "power")
    if statement.type not in ("atom_expr", "power"):
        return False
    last = statement.children[-1]
    return bool(last.type == "trailer" and last.children[0].value == "(")
