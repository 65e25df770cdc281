"""What the action tells of a source: databases that nobody declared, and files that a release lacks."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from action_host import Host, Run
from ansible.errors import AnsibleActionFail
from ansible_collections.flaskblog.hosting.plugins.action import plan
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import SQLITE_MAGIC

NO_PYTHON = {"failed": True, "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found"}
PRIVATE = {"source": "https://me:hunter2@git.test/blog", "version": "main", "git_timeout": "7"}


def put_database(variables: dict[str, Any], name: str) -> None:
    """Put a database into the blog's source."""
    path = Path(variables["flask_blog_source"], name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(SQLITE_MAGIC + bytes(84))


FIRST: dict[str, Any] = {"layers": ["unpack"], "release": {"id": "abc", "live": None}}
LATER: dict[str, Any] = {"layers": ["unpack"], "release": {"id": "abc", "live": "/opt/flask-blog/releases/old"}}


@pytest.mark.parametrize("answer", [FIRST, NO_PYTHON])
def test_an_undeclared_database_of_the_source_fails_the_first_deployment_with_the_line_to_set(
    run: Run, host: Host, arguments: dict[str, Any], variables: dict[str, Any], answer: dict[str, Any]
) -> None:
    put_database(variables, "data/blog.db")
    host.answers = [copy.deepcopy(answer)]
    with pytest.raises(AnsibleActionFail, match=r"\nflask_blog_databases: \[database\.db, data/blog\.db\]\n") as error:
        run(plan, arguments)
    assert "flask_blog_initial_data" in str(error.value)
    assert host.commands == [], "nothing was touched"


def test_it_is_a_warning_once_the_blog_is_there(
    run: Run, host: Host, arguments: dict[str, Any], variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(plan.display, "warning", said.append)
    put_database(variables, "data/blog.db")
    host.answers = [copy.deepcopy(LATER)]
    run(plan, arguments)
    assert "data/blog.db" in said[0]


def test_an_undeclared_database_of_a_repository_fails_the_first_deployment_as_well(
    run: Run, host: Host, arguments: dict[str, Any]
) -> None:
    host.answers = [{"layers": ["unpack"], "release": {"id": "abc", "live": None, "databases": ["posts.db"]}}]
    with pytest.raises(AnsibleActionFail, match=r"flask_blog_databases: \[database\.db, posts\.db\]"):
        run(plan, arguments, **PRIVATE)


@pytest.mark.parametrize("layers", [["unpack", "verify"], []])
def test_what_a_new_release_lacks_is_named_once(
    run: Run,
    host: Host,
    arguments: dict[str, Any],
    variables: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    layers: list[str],
) -> None:
    said: list[str] = []
    monkeypatch.setattr(plan.display, "display", said.append)
    folder = Path(variables["flask_blog_source"])
    (folder / "instance").mkdir()
    (folder / "instance" / "config.py").write_text("SECRET = 1\n")
    (folder / ".env").write_text("A=1\n")
    (folder / ".gitignore").write_text(".env\n")
    host.answers = [{**copy.deepcopy(LATER), "layers": layers}]
    run(plan, arguments)
    assert ("instance/config.py" in "\n".join(said), ".env" in "\n".join(said)) == (bool(layers), bool(layers))


@pytest.mark.parametrize("case", ["new", "with initial data", "a blog that has data", "no database"])
def test_a_new_blog_is_told_that_it_starts_without_the_database_of_its_source(
    run: Run,
    host: Host,
    arguments: dict[str, Any],
    variables: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    """It would answer "no such table", and nobody would know why."""
    said: list[str] = []
    monkeypatch.setattr(plan.display, "warning", said.append)
    put_database(variables, "instance/blog.db" if case != "no database" else "instance/readme.txt")
    source = variables["flask_blog_source"]
    host.answers = [{**copy.deepcopy(FIRST), "data_is_new": case != "a blog that has data"}]
    run(plan, {**arguments, "initial_data": source if case == "with initial data" else ""})
    found = [text for text in said if "instance/blog.db" in text and f"flask_blog_initial_data: {source}" in text]
    assert bool(found) == (case == "new")


def test_a_new_blog_from_a_repository_is_told_so_as_well(
    run: Run, host: Host, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(plan.display, "warning", said.append)
    release = {"id": "abc", "live": None, "missed": {"instance/blog.sqlite3": "its place"}}
    host.answers = [{"layers": ["unpack"], "data_is_new": True, "release": release}]
    run(plan, arguments, **PRIVATE)
    assert "without instance/blog.sqlite3" in said[0]
    assert "hunter2" not in said[0]
