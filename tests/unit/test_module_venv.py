"""A virtual environment is built by the build account, taken over by root, and is complete or gone."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import host, live
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import VENV_MARK
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import build, check, environment, make
from ansible_collections.flaskblog.hosting.plugins.modules import venv as module
from releases import make_release
from wanted_objects import is_pending, keep_notes_in

PACKAGES = ["gunicorn", "gunicorn<24"]


class FakeUnit:
    """The build account's unit: it fails if a test wants it to, and leaves what a test looks for."""

    def __init__(self) -> None:
        self.failure = ""
        self.jobs: list[build.Job] = []
        self.inputs: list[bytes] = []
        self.leave: Callable[[Path], None] = lambda _: None

    def __call__(self, job: build.Job, feed: Callable[[IO[bytes]], None]) -> str:
        stream = io.BytesIO()
        feed(stream)
        self.jobs.append(job)
        self.inputs.append(stream.getvalue())
        folder = self.folder()
        (folder / "lib/python3.11/site-packages/Flask-3.1.3.dist-info").mkdir(parents=True)
        (folder / "bin").mkdir()
        (folder / "bin" / "gunicorn").touch(0o777)
        self.leave(folder)
        if self.failure:
            raise build.BuildError(self.failure)
        return ""

    def folder(self) -> Path:
        """Return the folder that is built in."""
        return Path(next(iter(self.jobs[-1].writable)))

    def plan(self) -> dict[str, Any]:
        """Return what the program was told."""
        return dict(json.loads(self.inputs[-1].split(b"\n")[0]))


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> FakeUnit:
    fake = FakeUnit()
    monkeypatch.setattr(build, "run", fake)
    return fake


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The blogs whose unit is stopped."""
    names: list[str] = []
    monkeypatch.setattr(build, "stop", names.append)
    return names


@pytest.fixture
def arguments(tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch, stopped: list[str]) -> dict[str, Any]:
    keep_notes_in(tmp_path / "pending", monkeypatch)
    monkeypatch.setattr(check, "ROOT", (me.uid, me.gid))
    monkeypatch.setattr(host, "wait_for_the_end", lambda *_: None)
    monkeypatch.setattr(make, "account_of", lambda _: SimpleNamespace(pw_uid=me.uid, pw_gid=me.gid))
    release = tmp_path / "releases" / "abc"
    (release / "web").mkdir(parents=True)
    (release / "requirements.txt").write_text("flask\n")
    paths = {"path": str(release), "app_path": str(release), "venv_path": str(tmp_path / "venvs" / "def")}
    site = {
        "name": "blog",
        "user": me.user,
        "group": me.group,
        "build_user": "blog-build",
        "cache": str(tmp_path / "cache" / "blog"),
    }
    return {"site": site, "release": make_release(packages=PACKAGES, **paths).to_dict()}


def folder_of(arguments: dict[str, Any]) -> Path:
    return Path(arguments["release"]["venv_path"])


def test_an_environment_is_built_marked_complete_and_reused(
    arguments: dict[str, Any], run_module: Any, unit: FakeUnit
) -> None:
    outcome = run_module(module, **arguments)
    assert outcome.said["changed"] is True
    assert outcome.said["packages"] == ["Flask-3.1.3"]
    folder = folder_of(arguments)
    assert json.loads((folder / VENV_MARK).read_text()) == {"packages": ["Flask-3.1.3"]}
    assert os.listdir(folder.parent) == ["def"]
    assert is_pending("blog.activate")
    assert run_module(module, **arguments).said["changed"] is False
    assert len(unit.jobs) == 1


def test_a_build_runs_as_the_build_account_and_writes_its_folder_and_its_cache_alone(
    arguments: dict[str, Any], run_module: Any, unit: FakeUnit
) -> None:
    run_module(module, **arguments)
    (job,) = unit.jobs
    folder, cache = arguments["release"]["venv_path"], arguments["site"]["cache"]
    assert job.account == "blog-build"
    assert job.writable == {f"{folder}.incomplete": folder, cache: cache, f"{cache}.tmp": f"{cache}.tmp"}
    assert job.timeout == 1800
    plan = unit.plan()
    assert plan["environment"]["PIP_CACHE_DIR"] == f"{cache}/pip"
    assert plan["environment"]["TMPDIR"] == f"{cache}.tmp"
    pip = [f"{folder}/bin/python", "-m", "pip", "install"]
    assert plan["steps"] == [[*pip, "--requirement", f"{folder}/source/requirements.txt", "gunicorn", "gunicorn<24"]]
    assert plan["fallback"] is None


def test_the_release_travels_as_a_stream_since_the_build_account_may_not_read_it(
    arguments: dict[str, Any], run_module: Any, unit: FakeUnit
) -> None:
    run_module(module, **arguments)
    assert arguments["release"]["path"] not in str(unit.jobs[0])
    archive = unit.inputs[0].split(b"\n", 1)[1]
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        assert sorted(tar.getnames()) == [".", "./requirements.txt", "./web"]


def test_a_project_falls_back_to_what_it_depends_on(arguments: dict[str, Any], run_module: Any, unit: FakeUnit) -> None:
    arguments["release"] |= {"is_project": True, "dependencies": ["flask"], "requirements_file": "pyproject.toml"}
    arguments["release"]["app_path"] += "/web"
    run_module(module, **arguments)
    plan = unit.plan()
    assert plan["cwd"] == f"{folder_of(arguments)}/source/web"
    assert plan["steps"][0][-3:] == [plan["cwd"], "gunicorn", "gunicorn<24"]
    assert plan["fallback"][-3:] == ["flask", "gunicorn", "gunicorn<24"]


def test_what_the_build_left_is_roots_before_it_gets_its_name(
    arguments: dict[str, Any], run_module: Any, unit: FakeUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = environment.mark

    def marked(folder: str, content: dict[str, Any]) -> None:
        assert Path(folder, "bin", "gunicorn").stat().st_mode & 0o7777 == 0o755, "no longer writable for everybody"
        assert not folder_of(arguments).exists()
        mark(folder, content)

    def leave(folder: Path) -> None:
        (folder / "bin" / "gunicorn").chmod(0o777)
        os.mkfifo(folder / "bin" / "fifo")

    unit.leave = leave
    monkeypatch.setattr(environment, "mark", marked)
    assert run_module(module, **arguments).said["changed"] is True
    assert not (folder_of(arguments) / "bin" / "fifo").exists()


def test_what_the_takeover_removed_is_a_warning() -> None:
    warnings: list[str] = []
    result = module.made(make.Built(["flask-3"], ["bin/fifo"]), "/opt/blog/venvs/abc", warnings.append)
    assert result == {"changed": True, "packages": ["flask-3"]}
    assert warnings[0].startswith("/opt/blog/venvs/abc/bin/fifo was a FIFO, a socket or a device")


def test_processes_of_the_build_account_are_waited_for_before_root_takes_over(
    arguments: dict[str, Any], run_module: Any, unit: FakeUnit, me: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def still_there(uid: int, _: float) -> None:
        assert uid == me.uid
        raise TimeoutError("the account 999 still has processes")

    monkeypatch.setattr(host, "wait_for_the_end", still_there)
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert "still has processes" in outcome.said["msg"]
    assert os.listdir(folder_of(arguments).parent) == []


@pytest.mark.parametrize("failure", ["", "no such package"])
def test_temporary_files_lie_on_the_disk_and_are_gone_after_the_build(
    arguments: dict[str, Any], run_module: Any, unit: FakeUnit, failure: str
) -> None:
    """A unit's own /tmp and /var/tmp may be memory: Debian 13 has such a /tmp, and systemd 257 such private ones."""
    cache = Path(arguments["site"]["cache"])
    cache.parent.mkdir(parents=True)
    (cache.parent / "blog.tmp").mkdir()
    (cache.parent / "blog.tmp" / "left by a killed run").touch()
    seen: list[list[str]] = []

    def leave(_: Path) -> None:
        seen.append(os.listdir(cache.parent / "blog.tmp"))
        (cache.parent / "blog.tmp" / "pip-install-x").mkdir()

    unit.leave, unit.failure = leave, failure
    assert run_module(module, **arguments).failed == bool(failure)
    assert seen == [[]]
    assert os.listdir(cache.parent) == ["blog"]


@pytest.mark.parametrize("failure", ["no such package", "It took longer than 1800 s."])
def test_an_environment_that_cannot_be_built_is_removed_with_the_last_words(
    arguments: dict[str, Any], run_module: Any, unit: FakeUnit, failure: str
) -> None:
    unit.failure = failure
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert "the one in use stays in use" in outcome.said["msg"]
    assert outcome.said["msg"].endswith(failure)
    assert os.listdir(folder_of(arguments).parent) == []
    assert not is_pending("blog.activate")


def test_a_result_that_cannot_be_taken_over_is_removed_however_deep_it_is(
    arguments: dict[str, Any], run_module: Any, unit: FakeUnit
) -> None:
    def leave(folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        for _ in range(1500):
            os.mkdir("d", dir_fd=descriptor)
            inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        os.close(descriptor)

    unit.leave = leave
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert "lies deeper than 100 directories" in outcome.said["msg"]
    assert os.listdir(folder_of(arguments).parent) == []


def test_a_unit_and_half_an_environment_of_a_killed_run_are_ended_and_built_anew(
    arguments: dict[str, Any], run_module: Any, unit: FakeUnit, stopped: list[str]
) -> None:
    half = Path(f"{folder_of(arguments)}.incomplete") / "lib64"
    half.mkdir(parents=True)
    (half / "stale").touch()
    assert run_module(module, **arguments).said["changed"] is True
    assert stopped == ["blog"]
    assert not (folder_of(arguments) / "lib64").exists()


def test_a_mark_that_a_build_made_itself_counts_for_nothing(
    arguments: dict[str, Any], run_module: Any, unit: FakeUnit, me: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(arguments)
    folder.mkdir(parents=True)
    (folder / VENV_MARK).write_text("{}")
    (folder / "planted.pth").touch()
    real = os.lstat

    def foreign(path: str, *rest: Any, **options: Any) -> Any:
        found = real(path, *rest, **options)
        if (folder / "planted.pth").exists() and str(path).endswith(VENV_MARK):
            return SimpleNamespace(st_mode=found.st_mode, st_uid=me.uid + 1)
        return found

    monkeypatch.setattr(os, "lstat", foreign)
    assert run_module(module, **arguments).said["changed"] is True
    assert len(unit.jobs) == 1
    assert not (folder / "planted.pth").exists()


def test_an_environment_that_the_app_cannot_enter_is_corrected_and_not_rebuilt(
    arguments: dict[str, Any], run_module: Any, unit: FakeUnit
) -> None:
    folder = folder_of(arguments)
    run_module(module, **arguments)
    folder.chmod(0o750)
    assert run_module(module, check_mode=True, **arguments).said["changed"] is True
    outcome = run_module(module, **arguments)
    assert outcome.said["corrected"] == ["mode 0750 -> 0755"]
    assert folder.stat().st_mode & 0o7777 == 0o755
    assert len(unit.jobs) == 1


def test_an_environment_can_be_entered_with_every_umask(
    arguments: dict[str, Any], run_module: Any, unit: FakeUnit
) -> None:
    before = os.umask(0o077)
    try:
        run_module(module, **arguments)
    finally:
        os.umask(before)
    folder = folder_of(arguments)
    for path in (folder.parent, folder, folder / "bin", folder / "bin" / "gunicorn"):
        assert path.stat().st_mode & 0o7777 == 0o755, path


def test_check_mode_builds_nothing(arguments: dict[str, Any], run_module: Any, unit: FakeUnit) -> None:
    assert run_module(module, check_mode=True, **arguments).said["changed"] is True
    assert unit.jobs == []
    assert not folder_of(arguments).parent.exists()


def test_an_environment_that_another_run_has_built_meanwhile_is_used(
    run_module: Any, arguments: dict[str, Any], unit: FakeUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def waited(_: str) -> Iterator[int]:
        folder_of(arguments).mkdir(mode=0o755, parents=True)
        folder_of(arguments).chmod(0o755)
        (folder_of(arguments) / VENV_MARK).write_text("{}")
        yield 0

    monkeypatch.setattr(live, "building", waited)
    assert run_module(module, **arguments).said["changed"] is False
    assert unit.jobs == []
