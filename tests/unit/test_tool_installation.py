"""Installing another version of blogctl: at each point at which a run may end, the host has one whole version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry, versions
from ansible_collections.flaskblog.hosting.plugins.modules import apply
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role as role_files
from role_variables import role_variables

LIBRARY, PROGRAM = "usr/local/lib/flask-blog-hosting", "usr/local/sbin/blogctl"
MODULES = ("__init__.py", "cli.py", "commands/__init__.py", "commands/status.py", "data/__init__.py", "data/one.py")
#: Each module brings its version, and one is imported late; main prints all of them.
CLI = """
from .commands import status
from .data import one
def main():
    import blogctl
    print(MARK, status.MARK, one.MARK, blogctl.MARK)
"""

Objects = list[dict[str, Any]]
Version = Callable[[str], Objects]


@pytest.fixture
def version(role: Path, tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch) -> Version:
    """Render the objects of the tool for a version with small modules, for a host in a temporary folder."""
    monkeypatch.setattr(versions, "is_running", lambda _: False)
    (tmp_path / "root" / "usr" / "local" / "sbin").mkdir(parents=True)

    def render(mark: str, modules: tuple[str, ...] = MODULES) -> Objects:
        copy = tmp_path / mark
        shutil.copytree(role / "templates", copy / "templates")
        shutil.copytree(role / "files", copy / "files", ignore=shutil.ignore_patterns("blogctl", "__pycache__"))
        (copy / "files" / "bin").mkdir(exist_ok=True)
        shutil.copy(role / "files" / "bin" / "blogctl", copy / "files" / "bin" / "blogctl")
        for name in modules:
            (copy / "files" / "blogctl" / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / "files" / "blogctl" / name).write_text(f"MARK = {mark!r}\n" + CLI * (name == "cli.py"))
        loader = DataLoader()
        variables: dict[str, Any] = {"role_path": str(copy), **role_variables(loader, role)}
        templar = Templar(loader=loader, variables=variables)
        objects = templar.template(variables["__flask_blog_tool_objects"])
        found = role_files.rendered(SimpleNamespace(_loader=loader, _templar=templar), variables, objects)
        return [on_the_host(item) for item in found if item["path"].startswith("/usr/local/")]

    def on_the_host(item: dict[str, Any]) -> dict[str, Any]:
        root = str(tmp_path / "root")
        text = {"content": item["content"].replace('"/usr/local/', f'"{root}/usr/local/')} if "content" in item else {}
        owner = {"owner": me.user, "group": me.group} if "owner" in item else {}
        return {**item, **text, **owner, "path": f"{root}{item['path']}"}

    return render


def install(objects: Objects) -> None:
    for item, _ in apply.changed_objects(objects):
        registry.apply(item)


def started(tmp_path: Path) -> str:
    """Start the installed program and return what it prints, or its error."""
    command = [sys.executable, "-B", str(tmp_path / "root" / PROGRAM)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return result.stdout.strip() or result.stderr


def folder(objects: Objects) -> str:
    """The name of a version's folder."""
    (found,) = [item["names"][0] for item in objects if item["kind"] == "versions"]
    return str(found)


def lay_out_flat(tmp_path: Path, mark: str = "flat") -> None:
    """Install the tool as the versions before did: the modules without a folder of their version."""
    root = tmp_path / "root"
    for name in MODULES:
        path = root / LIBRARY / "blogctl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"MARK = {mark!r}\n" + CLI * (name == "cli.py"))
    lines = ("import sys", f"sys.path.insert(0, {str(root / LIBRARY)!r})", "from blogctl.cli import main", "main()")
    (root / PROGRAM).write_text("\n".join(lines))


def entries(tmp_path: Path) -> set[str]:
    return set(os.listdir(tmp_path / "root" / LIBRARY))


@pytest.mark.parametrize("before", ["one", "flat"])
def test_a_run_that_ends_after_any_change_leaves_one_whole_version(
    version: Version, tmp_path: Path, before: str
) -> None:
    new = version("two")
    if before == "flat":
        lay_out_flat(tmp_path)
    else:
        install(version("one"))
    assert started(tmp_path) == " ".join([before] * 4)
    seen = []
    # Each change is a point at which the run may end; the next run continues from there.
    while changes := apply.changed_objects(new):
        registry.apply(changes[0][0])
        seen.append(started(tmp_path))
    assert set(seen) == {" ".join([before] * 4), "two two two two"}
    switched = seen.index("two two two two")
    assert switched > len(MODULES)
    assert seen == sorted(seen, key=lambda line: line.startswith("two")), "it does not go back"
    assert switched < len(seen) - 1, "the folder of the version before is removed after the program"
    assert entries(tmp_path) == {folder(new), "version.json"}


def test_what_is_half_written_is_completed_by_a_run_of_any_version(version: Version, tmp_path: Path) -> None:
    one, two, three = (version(mark) for mark in ("one", "two", "three"))
    install(one)
    changes = [item for item, _ in apply.changed_objects(two)]
    for item in changes[: len(changes) // 2]:
        registry.apply(item)
    assert started(tmp_path) == "one one one one"
    assert entries(tmp_path) == {folder(one), folder(two), "version.json"}
    install(three)
    assert started(tmp_path) == "three three three three"
    assert entries(tmp_path) == {folder(three), "version.json"}


def test_a_run_of_a_version_without_folders_works_and_the_next_run_mends_it(version: Version, tmp_path: Path) -> None:
    one = version("one")
    install(one)
    lay_out_flat(tmp_path, "old")
    assert started(tmp_path) == "old old old old"
    install(one)
    assert started(tmp_path) == "one one one one"
    assert entries(tmp_path) == {folder(one), "version.json"}
    assert apply.changed_objects(one) == []


def test_the_program_is_written_after_all_modules_and_the_version_after_the_program(version: Version) -> None:
    order = registry.ordered(version("one"))
    places = [item["path"].rpartition("/root/")[2] for item in order if item["kind"] == "file"]
    program = places.index(PROGRAM)
    modules = [place for place in places if place.endswith(".py")]
    assert len(modules) == len(MODULES)
    assert max(places.index(module) for module in modules) < program < places.index(f"{LIBRARY}/version.json")
    assert order[-1]["kind"] == "versions"


@pytest.mark.parametrize(
    ("name", "text"), [("cli.py", "x = 2\n"), ("data/three.py", ""), ("data.py", "x = 1\n"), ("data/one.py", "x = 1")]
)
def test_the_name_of_the_folder_follows_from_the_names_and_texts_of_the_modules(
    tmp_path: Path, name: str, text: str
) -> None:
    for module in ("cli.py", "data/one.py"):
        (tmp_path / "files" / "tool" / module).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / "tool" / module).write_text("x = 1\n")
    before = digest_in(tmp_path)
    assert len(before) == role_files.DIGEST_LENGTH
    (tmp_path / "files" / "tool" / "notes.txt").touch()
    (tmp_path / "files" / "tool" / "cli.py").touch()
    assert digest_in(tmp_path) == before
    (tmp_path / "files" / "tool" / name).write_text(text)
    assert digest_in(tmp_path) != before


def digest_in(folder: Path) -> str:
    action = SimpleNamespace(_loader=DataLoader(), _templar=Templar(loader=DataLoader(), variables={}))
    wanted = {"kind": "versions", "path": "/x", "names": ["@DIGEST@"], "digest_of": "tool"}
    (found,) = role_files.rendered(action, {"role_path": str(folder)}, [wanted])
    return str(found["names"][0])


def test_a_text_that_is_not_the_tools_keeps_the_word_that_stands_for_the_digest(tmp_path: Path) -> None:
    """A setting of an app may hold it."""
    action = SimpleNamespace(_loader=DataLoader(), _templar=Templar(loader=DataLoader(), variables={}))
    wanted = {"kind": "file", "path": "/x", "content": "WORD=@DIGEST@\n"}
    assert role_files.rendered(action, {"role_path": str(tmp_path)}, [wanted]) == [wanted]
