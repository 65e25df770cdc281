"""The plan for a release from Git: the host names it, and keeps nothing that is refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import host
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import SQLITE_MAGIC
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import git
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.description import Commit
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.git_remote import Access
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import GitError, VersionError
from ansible_collections.flaskblog.hosting.plugins.modules import plan_git as module
from planned_host import up_to_date


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, me: Any) -> dict[str, Any]:
    """A module's arguments for a host that a run has brought up to date."""
    return up_to_date(tmp_path, monkeypatch, me)


@pytest.fixture
def from_git(arguments: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A module's arguments for a repository that gives one commit; `kept` lists what happened to it."""
    kept, accounts = list[bool](), list[str]()

    @contextlib.contextmanager
    def wanted(access: Access, site: dict[str, Any], keep: bool, folder: str, _: Limits) -> Iterator[Commit]:
        assert site["build_user"] == "blog-build"
        if access.version == "mian":
            raise VersionError(access.version, "the repository has no such branch, tag or commit. It has main")
        if access.key != "the key":
            raise GitError("Git cannot read the repository: Permission denied. Add the key")
        (Path(folder) / "static").mkdir()
        (Path(folder) / "app.py").write_text("app\n")
        (Path(folder) / "requirements.txt").write_text("flask\n")
        (Path(folder) / "static" / "blog.css").write_text("body {}\n")
        (Path(folder) / "posts.db").write_bytes(SQLITE_MAGIC)
        yield Commit("1" * 40, "refs/heads/main", access.url)
        kept.append(keep)

    monkeypatch.setattr(git, "wanted", wanted)
    monkeypatch.setattr(host, "ensure_account", accounts.append)
    monkeypatch.setattr(host, "has_account", lambda name: name in accounts)
    arguments["site"] |= {"git": str(tmp_path / "git"), "releases": str(tmp_path / "releases")}
    arguments["site"] |= {"build_user": "blog-build"}
    del arguments["release"]
    found: dict[str, Any] = {
        "app_dir": "",
        "wsgi": "app:app",
        "requirements": "",
        "packages": ["gunicorn"],
        "venv_link": "venv",
    }
    found |= {"static": {"/static/": "static/"}, "links": {}, "served": ["static"], "left_out": []}
    found |= {"url": "https://git.test/blog", "version": "main", "timeout": 9, "known_hosts": []}
    found |= {"packages_first": ["git"]}
    access = {"key": "the key", "credentials": ""}
    return {**arguments, "source": found, "access": access, "kept": kept, "accounts": accounts}


def run_plan(run_module: Any, arguments: dict[str, Any], **more: Any) -> Any:
    return run_module(
        module, **{name: value for name, value in arguments.items() if name not in ("kept", "accounts")}, **more
    )


def test_the_host_names_a_release_from_git_and_what_it_answers(from_git: dict[str, Any], run_module: Any) -> None:
    said = run_plan(run_module, from_git).said
    assert said["release"]["commit"] == "1" * 40
    assert said["release"]["ref"] == "refs/heads/main"
    assert said["release"]["path"].endswith(f"/releases/{said['release']['id']}")
    assert said["release"]["databases"] == ["posts.db"]
    assert [probe["path"] for probe in said["probes"]] == ["/", "/static/blog.css"]
    assert said["layers"] == ["activate", "venv", "verify"]
    assert from_git["kept"] == [True]
    assert "the key" not in json.dumps(said)


def test_check_mode_keeps_nothing_of_a_repository(from_git: dict[str, Any], run_module: Any) -> None:
    from_git["accounts"].append("blog-build")
    assert run_plan(run_module, from_git, check_mode=True).said["release"]["commit"] == "1" * 40
    assert from_git["kept"] == [False]


def test_check_mode_makes_no_account_and_does_not_know_the_release_without_it(
    from_git: dict[str, Any], run_module: Any
) -> None:
    said = run_plan(run_module, from_git, check_mode=True).said
    assert said["release"] == {"id": "unknown", "live": "/opt/blog/releases/abc"}
    assert from_git["accounts"] == []
    assert run_plan(run_module, from_git).said["release"]["commit"] == "1" * 40
    assert from_git["accounts"] == ["blog-build"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"version": "mian"},
            "flask_blog_version: 'mian': the repository has no such branch, tag or commit. It has main.",
        ),
        ({"key": "another"}, "flask_blog_source: 'https://git.test/blog': Git cannot read the repository: Perm"),
        (
            {"app_dir": "web"},
            "flask_blog_app_dir: 'web': the source has no such folder. Name the folder that the app lies in.",
        ),
    ],
)
def test_what_a_repository_does_not_give_is_refused_and_nothing_kept(
    from_git: dict[str, Any], run_module: Any, change: dict[str, Any], words: str
) -> None:
    from_git["access"] |= {key: value for key, value in change.items() if key == "key"}
    from_git["source"] |= change
    outcome = run_plan(run_module, from_git)
    assert outcome.failed
    assert outcome.said["msg"].startswith(words)
    assert from_git["kept"] == []


def test_a_host_that_is_refused_asks_no_repository(
    from_git: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "wanted", lambda *_: pytest.fail("it was asked"))
    monkeypatch.setattr(host, "listeners", lambda port: [(9, "apache2", "apache2.service")])
    assert "apache2.service" in run_plan(run_module, from_git).said["msg"]
    assert from_git["accounts"] == []


def test_without_git_the_release_is_not_known_yet_and_the_rest_is(
    from_git: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "missing_packages", lambda names: sorted(set(names) & {"git"}))
    Path(from_git["objects"][0]["path"]).write_text("by hand\n")
    said = run_plan(run_module, from_git).said
    assert said["needed_first"] == said["missing_packages"] == ["git"]
    assert said["release"] == {"id": "unknown", "live": "/opt/blog/releases/abc"}
    assert said["layers"] == ["packages", "state", "verify"]


def test_a_repository_is_checked_where_it_is_fetched_before_anything_is_built(
    from_git: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = git.wanted
    files = {"pyproject.toml": '[project]\nname = "x"\ndependencies = ["flask"]\n', "uv.lock": ""}

    @contextlib.contextmanager
    def project(*given: Any) -> Iterator[Commit]:
        with wanted(*given) as commit:
            folder = Path(given[3])
            (folder / "requirements.txt").unlink()
            for name, text in files.items():
                (folder / name).write_text(text)
            yield commit

    monkeypatch.setattr(git, "wanted", project)
    (warning,) = run_plan(run_module, from_git).said["release"]["warnings"]
    assert warning.startswith("uv.lock is not used")
    files["pyproject.toml"] = '[tool.poetry]\nname = "x"\npackage-mode = false\n'
    refused = run_plan(run_module, from_git).said["msg"]
    assert refused.startswith("flask_blog_source: 'https://git.test/blog': its pyproject.toml names requirements for")
    assert "'poetry export" in refused
