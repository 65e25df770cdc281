"""Imports point downwards only, in the collection's plugins and in blogctl (docs/architecture.md).

Only imports at the level of a module count: it is read from the source (ast), so nothing is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

COLLECTION = "ansible_collections.flaskblog.hosting."

#: The layers of blogctl, the lowest first: a module imports from its own and from lower ones. Names in one line are
#: layers beside each other, which do not import each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("shared", "errors"),
    ("site",),
    ("host",),
    ("data",),
    ("release", "backup"),
    ("restore",),
    ("proof", "certificate", "notify"),
    ("doctor",),
    ("commands",),
    ("cli",),
)

Graph = dict[str, set[str]]


def modules_below(folder: Path, name: str) -> dict[str, Path]:
    """Return the modules in a folder by their full name; a package has the name of its folder."""
    found = {}
    for path in folder.rglob("*.py"):
        parts = [name, *path.relative_to(folder).with_suffix("").parts]
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imports_of(text: str, module: str, *, is_package: bool) -> Iterator[str]:
    """Yield the full names that a module imports at its top level, those for type checkers alone left out."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")
            above = above[: len(above) - node.level + is_package] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}".lstrip(".") for alias in node.names)


def graph_of(modules: Mapping[str, Path]) -> Graph:
    """Return which module imports which, among those that are given."""
    graph: Graph = {}
    for module, path in modules.items():
        found = imports_of(path.read_text(encoding="utf-8"), module, is_package=path.name == "__init__.py")
        names = {name.removeprefix(COLLECTION) for name in found}
        # "from a.b import c" means the module a.b.c, or a name in the module a.b.
        graph[module] = {name if name in modules else name.rpartition(".")[0] for name in names} & {*modules}
    return graph


def cycle_in(graph: Graph) -> list[str]:
    """Return the modules of one cycle in their order; an empty list if there is none."""
    done: set[str] = set()

    def follow(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module not in done:
            for other in sorted(graph[module]):
                if other != module and (found := follow(other, [*path, module])):
                    return found
            done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := follow(module, []))), [])


def upwards_in(graph: Graph) -> list[str]:
    """Return the imports of blogctl that do not point to the same or to a lower layer."""
    rank = {name: number for number, layer in enumerate(LAYERS) for name in layer}

    def is_allowed(importer: str, imported: str) -> bool:
        return importer == imported or rank[importer] > rank[imported]

    pairs = [(one, other) for one, others in graph.items() for other in others if "." in one and "." in other]
    return sorted(
        f"{one} imports {other}" for one, other in pairs if not is_allowed(one.split(".")[1], other.split(".")[1])
    )


@pytest.fixture
def blogctl(role: Path) -> Graph:
    return graph_of(modules_below(role / "files" / "blogctl", "blogctl"))


def test_the_plugins_import_each_other_without_a_cycle(root: Path) -> None:
    graph = graph_of(modules_below(root / "plugins", "plugins"))
    assert graph["plugins.modules.apply"], "the imports are found"
    assert cycle_in(graph) == []


def test_blogctl_imports_without_a_cycle(blogctl: Graph) -> None:
    assert "blogctl.host.systemd" in blogctl["blogctl.release.switch"], "the imports are found"
    assert "blogctl.shared.contract" in blogctl["blogctl.site"]
    assert cycle_in(blogctl) == []


def test_each_layer_of_blogctl_imports_lower_ones_alone(blogctl: Graph) -> None:
    assert {module.split(".")[1] for module in blogctl if "." in module} == {name for one in LAYERS for name in one}
    assert upwards_in(blogctl) == []


# -- the check itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import blogctl.site", ["blogctl.site"]),
        ("from blogctl import site", ["blogctl.site"]),
        ("from ..host import locks, units", ["blogctl.host.locks", "blogctl.host.units"]),
        ("from . import tree", ["blogctl.data.tree"]),
        ("from .inside.read import scan", ["blogctl.data.inside.read.scan"]),
        ("from ... import x", ["x"]),
        ("def f():\n import blogctl.site", []),
        ("if TYPE_CHECKING:\n import blogctl.site", []),
    ],
)
def test_imports_are_read_with_their_full_names(text: str, found: list[str]) -> None:
    assert list(imports_of(text, "blogctl.data.folder", is_package=False)) == found


def test_imports_of_a_package_are_relative_to_the_package() -> None:
    assert list(imports_of("from .read import scan", "blogctl.data", is_package=True)) == ["blogctl.data.read.scan"]


def test_a_cycle_is_named() -> None:
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert cycle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_an_import_that_points_upwards_is_named() -> None:
    graph = {"blogctl.host.locks": {"blogctl.data.tree"}, "blogctl.data.tree": {"blogctl.host.locks"}}
    assert upwards_in(graph) == ["blogctl.host.locks imports blogctl.data.tree"]
    beside = {"blogctl.backup.create": {"blogctl.release.history"}, "blogctl.release.history": set[str]()}
    assert upwards_in(beside) == ["blogctl.backup.create imports blogctl.release.history"]
