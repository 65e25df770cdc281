"""Find the mutants of the code, and draw some of them at random."""

from __future__ import annotations

import difflib
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from .excluded import Excluded
from .operators import all_operators


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    :param file: the path below the checkout.
    :param line: where the change begins, counted from 1.
    :param source: the whole changed file.
    """

    file: str
    line: int
    operator: str
    original: str
    source: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def changed_lines(self) -> tuple[list[str], list[str]]:
        """The lines that were changed, before and after, without their indentation."""
        before, after = [], []
        for line in difflib.ndiff(self.original.splitlines(), self.source.splitlines()):
            if line.startswith("- "):
                before.append(line[2:].strip())
            elif line.startswith("+ "):
                after.append(line[2:].strip())
        return before, after

    @property
    def diff(self) -> str:
        lines = difflib.unified_diff(self.original.splitlines(), self.source.splitlines(), lineterm="", n=2)
        return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


@dataclass(frozen=True)
class _Candidate:
    file: str
    line: int
    kind: str
    operator: str
    occurrence: int


def python_files(root: Path, paths: Iterable[str]) -> list[str]:
    """Return the Python files below some paths of the checkout; a file that is linked is mutated in its own place.

    :raises ValueError: for a path that does not exist or has no Python file.
    """
    found: set[str] = set()
    for path in paths:
        start = root / path
        files = [start] if start.is_file() else start.rglob("*.py")
        names = {str(file.relative_to(root)) for file in files if not file.is_symlink() and file.suffix == ".py"}
        if not names:
            raise ValueError(f"{path}: there is no Python file to mutate here")
        found |= names
    return sorted(found)


def sample(root: Path, files: Iterable[str], count: int, seed: int) -> list[Mutant]:
    """Draw mutants: first a line, then a kind of change, then one change of this kind.

    No line is drawn twice before every line was drawn once.
    """
    chance = random.Random(seed)  # noqa: S311  (nothing here is a secret)
    sources = {file: (root / file).read_text(encoding="utf-8") for file in files}
    operators = {name: operator for _, name, operator in all_operators()}
    drawn: list[Mutant] = []
    for candidate in _in_random_order(chance, (one for file in sorted(sources) for one in _find(file, sources[file]))):
        if len(drawn) == count:
            break
        source = sources[candidate.file]
        mutated = mutate_code(source, operators[candidate.operator], candidate.occurrence)
        if mutated is not None and mutated != source and _compiles(mutated):
            drawn.append(Mutant(candidate.file, candidate.line, candidate.operator, source, mutated))
    return drawn


def _find(file: str, source: str) -> Iterator[_Candidate]:
    tree, excluded = get_ast(source), Excluded.of(source)
    nodes = list(ast_nodes(tree))
    for kind, name, operator in all_operators():
        positions = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, start in enumerate(positions):
            if not excluded.covers(start, name):
                yield _Candidate(file, start[0], kind, name, occurrence)


def _in_random_order(chance: random.Random, candidates: Iterable[_Candidate]) -> Iterator[_Candidate]:
    by_line: dict[tuple[str, int], dict[str, list[_Candidate]]] = defaultdict(lambda: defaultdict(list))
    for candidate in candidates:
        by_line[candidate.file, candidate.line][candidate.kind].append(candidate)
    lines = sorted(by_line)
    while lines:
        chance.shuffle(lines)
        for line in lines:
            kinds = by_line[line]
            kind = chance.choice(sorted(kinds))
            yield kinds[kind].pop(chance.randrange(len(kinds[kind])))
            if not kinds[kind]:
                del kinds[kind]
        lines = [line for line in sorted(lines) if by_line[line]]


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True
