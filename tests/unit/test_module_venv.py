"""A virtual environment is built beside the one in use, by an ordinary account, and is complete or gone."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import releases
from ansible_collections.flaskblog.hosting.plugins.module_utils import site as live
from ansible_collections.flaskblog.hosting.plugins.modules import venv as module

RELEASE: dict[str, Any] = {
    "requirements_file": "requirements.txt",
    "is_project": False,
    "dependencies": None,
    "hashed": False,
    "copy_source": False,
    "keep_source": False,
    "packages": ["gunicorn", "gunicorn<24"],
}


@pytest.mark.parametrize(
    ("release", "steps"),
    [
        ({}, [["--requirement", "/app/requirements.txt", "gunicorn", "gunicorn<24"]]),
        ({"requirements_file": "../r.txt"}, [["--requirement", "/r.txt", "gunicorn", "gunicorn<24"]]),
        ({"hashed": True}, [["--requirement", "/app/requirements.txt"], ["gunicorn", "gunicorn<24"]]),
        (
            {"requirements_file": "pyproject.toml", "dependencies": ["flask", "pillow"]},
            [["flask", "pillow", "gunicorn", "gunicorn<24"]],
        ),
        (
            {"requirements_file": "pyproject.toml", "dependencies": ["flask"], "is_project": True},
            [["/app", "gunicorn", "gunicorn<24"]],
        ),
        (
            {"requirements_file": "../pyproject.toml", "is_project": True},
            [["/", "gunicorn", "gunicorn<24"]],
        ),
    ],
)
def test_pip_is_called_as_the_source_asks_for(release: dict[str, Any], steps: list[list[str]]) -> None:
    assert module.install_arguments({**RELEASE, **release}, "/app") == steps


class FakeTools:
    """Python's tools: they succeed, but for a call that a test lets fail, and leave what a test looks for."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.calls: list[tuple[list[str], dict[str, Any]]] = []

    def __call__(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        command = list(command)
        self.calls.append((command, options))
        if self.failing == "timeout":
            raise subprocess.TimeoutExpired(command, 1)
        if command[1:3] == ["-m", "venv"]:
            (Path(command[-1]) / "lib/python3.11/site-packages/Flask-3.1.3.dist-info").mkdir(parents=True)
        failed = bool(self.failing) and self.failing in command
        lines = "\n".join(f"line {number}" for number in range(40))
        return subprocess.CompletedProcess(command, int(failed), stdout=f"{lines}\nno such package" if failed else "")


@pytest.fixture
def arguments(tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch, ownerless: list[Any]) -> dict[str, Any]:
    monkeypatch.setattr(live, "PENDING", tmp_path / "pending")
    monkeypatch.setattr(live, "LOCKS", tmp_path / "lock")
    monkeypatch.setattr(os, "lchown", lambda *_: None)
    monkeypatch.setattr(module, "WHEELS", tmp_path / "no-wheels")
    release = tmp_path / "releases" / "abc"
    release.mkdir(parents=True)
    (release / "requirements.txt").write_text("flask\n")
    paths = {"path": str(release), "app_path": str(release), "venv_path": str(tmp_path / "venvs" / "def")}
    site = {"name": "blog", "user": me.user, "group": me.group, "cache": str(tmp_path / "cache")}
    return {"site": site, "release": {**RELEASE, **paths}}


def use(monkeypatch: pytest.MonkeyPatch, failing: str = "") -> FakeTools:
    tools = FakeTools(failing)
    monkeypatch.setattr(subprocess, "run", tools)
    return tools


def test_an_environment_is_built_marked_complete_and_reused(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = use(monkeypatch)
    outcome = run_module(module, **arguments)
    assert outcome.said["changed"] is True
    assert outcome.said["packages"] == ["Flask-3.1.3"]
    folder = Path(arguments["release"]["venv_path"])
    assert json.loads((folder / releases.COMPLETE).read_text()) == {"packages": ["Flask-3.1.3"]}
    assert live.is_pending("blog.activate")
    calls = len(tools.calls)
    assert run_module(module, **arguments).said["changed"] is False
    assert len(tools.calls) == calls


def test_pip_is_unpacked_where_debian_has_its_wheel(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("pip-23.0.1-py3-none-any.whl", "pip-25.1.1-py3-none-any.whl", "setuptools-66.1.1-py3-none-any.whl"):
        (wheels / name).touch()
    monkeypatch.setattr(module, "WHEELS", wheels)
    folder = Path(arguments["release"]["venv_path"])
    (folder / "bin").mkdir(parents=True)
    monkeypatch.setattr(module.shutil, "rmtree", lambda *_, **__: None)
    tools = use(monkeypatch)
    run_module(module, **arguments)
    commands = [command for command, _ in tools.calls]
    assert commands[0] == ["/usr/bin/python3", "-m", "venv", "--without-pip", str(folder)]
    unpacked = [Path(command[4]).name for command in commands if command[1:3] == ["-m", "zipfile"]]
    assert unpacked[0] == "pip-25.1.1-py3-none-any.whl", "the newest one, once"
    assert ("setuptools-66.1.1-py3-none-any.whl" in unpacked) == (sys.version_info < (3, 12)), "as ensurepip does"
    script = folder / "bin" / "pip"
    assert script.read_text().startswith(f"#!{folder}/bin/python3\n")
    assert script.stat().st_mode & 0o111 == 0o111


def test_pip_is_never_root(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch, me: Any
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test")
    monkeypatch.setenv("AWS_SECRET", "not for pip")
    tools = use(monkeypatch)
    run_module(module, **arguments)
    assert tools.calls
    for _, options in tools.calls:
        assert (options["user"], options["group"], options["extra_groups"]) == (me.uid, me.gid, [])
        assert options["env"]["HOME"] == arguments["site"]["cache"]
        assert options["env"]["HTTPS_PROXY"] == "http://proxy.test"
        assert "AWS_SECRET" not in options["env"]


def test_a_built_environment_belongs_to_root(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch, ownerless: list[tuple[str, int, int]]
) -> None:
    use(monkeypatch)
    run_module(module, **arguments)
    assert ("Flask-3.1.3.dist-info", 0, 0) in ownerless


@pytest.mark.parametrize("failing", ["pip", "timeout"])
def test_an_environment_that_cannot_be_built_is_removed_with_pips_last_words(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    use(monkeypatch, failing)
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert "the one in use stays in use" in outcome.said["msg"]
    if failing == "pip":
        assert outcome.said["msg"].endswith("no such package")
        assert "line 1\n" not in outcome.said["msg"], "the last lines are enough"
    else:
        assert "took longer than 1800 s" in outcome.said["msg"]
    assert not Path(arguments["release"]["venv_path"]).exists()
    assert not live.is_pending("blog.activate")


def test_half_an_environment_of_an_interrupted_run_is_built_anew(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = Path(arguments["release"]["venv_path"]) / "bin"
    half.mkdir(parents=True)
    (half / "stale").touch()
    use(monkeypatch)
    assert run_module(module, **arguments).said["changed"] is True
    assert not (half / "stale").exists()


def test_a_project_is_built_from_a_copy_so_that_the_release_stays_as_it_is(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = {"requirements_file": "pyproject.toml", "is_project": True, "copy_source": True}
    arguments["release"] |= project
    tools = use(monkeypatch)
    run_module(module, **arguments)
    folder = arguments["release"]["venv_path"]
    pip, options = tools.calls[1]
    assert f"{folder}/source" in pip
    assert options["cwd"] == f"{folder}/source"
    assert not Path(folder, "source").exists(), "it was needed for the build alone"


def test_an_editable_installation_keeps_its_copy(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments["release"] |= {"copy_source": True, "keep_source": True}
    use(monkeypatch)
    run_module(module, **arguments)
    assert Path(arguments["release"]["venv_path"], "source", "requirements.txt").is_file()


def test_an_app_that_cannot_be_built_gets_what_it_depends_on(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments["release"] |= {"is_project": True, "copy_source": True, "dependencies": ["flask"]}
    tools = use(monkeypatch, failing=f"{arguments['release']['venv_path']}/source")
    assert not run_module(module, **arguments).failed
    assert tools.calls[-1][0][-3:] == ["flask", "gunicorn", "gunicorn<24"]


def test_check_mode_builds_nothing(arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = use(monkeypatch)
    assert run_module(module, check_mode=True, **arguments).said["changed"] is True
    assert tools.calls == []
    assert not Path(arguments["release"]["venv_path"]).exists()


def test_giving_a_tree_away_follows_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside").write_text("x")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "outside")
    followed: list[bool] = []
    monkeypatch.setattr(os, "lchown", lambda *_: None)
    monkeypatch.setattr(os, "chown", lambda *_, follow_symlinks=True, **__: followed.append(follow_symlinks))
    module.give(str(tmp_path / "tree"), 0, 0)
    assert followed == [False]


def test_a_pip_that_lost_its_parent_still_keeps_the_next_run_from_building(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOCKS", tmp_path / "lock")
    with live.building("blog") as lock:
        orphan = subprocess.Popen(["sleep", "60"], pass_fds=(lock,))
    began = threading.Event()

    def build() -> None:
        with live.building("blog"):
            began.set()

    thread = threading.Thread(target=build)
    thread.start()
    try:
        assert not began.wait(0.3)
    finally:
        orphan.kill()
        orphan.wait()
    assert began.wait(5)
    thread.join()


def test_an_environment_that_another_run_has_built_meanwhile_is_used(
    run_module: Any, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = use(monkeypatch)
    mark = Path(arguments["release"]["venv_path"]) / releases.COMPLETE

    @contextlib.contextmanager
    def waited(_: str) -> Iterator[int]:
        mark.parent.mkdir(parents=True)
        mark.write_text("{}")
        yield 0

    monkeypatch.setattr(live, "building", waited)
    assert run_module(module, **arguments).said["changed"] is False
    assert tools.calls == []
