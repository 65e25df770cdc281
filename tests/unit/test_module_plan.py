"""The plan: the differences of a host in one round trip, and the reasons to refuse it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, host, live, names, probe
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import SQLITE_MAGIC, VENV_MARK
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import git
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.description import Commit
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.git_remote import Access
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import GitError, VersionError
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import check
from ansible_collections.flaskblog.hosting.plugins.modules import plan as module
from releases import make_release
from wanted_objects import keep_notes_in

BIND = {
    "variable": "flask_blog_bind",
    "value": "127.0.0.1:8000",
    "port": 8000,
    "units": ["blog.socket", "blog.service"],
}
HTTP = {"variable": "flask_blog_http_port", "value": 80, "port": 80, "commands": ["nginx"]}


@pytest.mark.parametrize(
    ("wanted", "listeners", "sockets"),
    [
        (BIND, [], []),
        (BIND, [(7, "gunicorn", "blog.service")], []),
        (BIND, [(1, "systemd", "")], ["blog.socket"]),
        (BIND, [(1, "systemd", ""), (7, "gunicorn", "blog.service")], []),
        (HTTP, [(9, "nginx", "nginx.service")], []),
    ],
)
def test_a_port_that_is_free_or_ours_is_no_conflict(
    monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], listeners: list[tuple[int, str, str]], sockets: list[str]
) -> None:
    monkeypatch.setattr(host, "listeners", lambda _: listeners)
    monkeypatch.setattr(host, "sockets_on", lambda _: sockets)
    assert host.port_conflict(wanted) is None


@pytest.mark.parametrize(
    ("wanted", "listeners", "sockets", "holder"),
    [
        (HTTP, [(9, "apache2", "apache2.service")], [], "apache2.service (process 9)"),
        (BIND, [(7, "gunicorn", "other.service")], [], "other.service (process 7)"),
        (BIND, [(7, "flask", "")], [], "flask (process 7)"),
        (BIND, [(1, "systemd", "")], ["other.socket"], "other.socket"),
        (BIND, [(1, "systemd", "")], [], "systemd"),
    ],
)
def test_a_port_of_somebody_else_is_a_conflict_that_names_holder_and_variable(
    monkeypatch: pytest.MonkeyPatch,
    wanted: dict[str, Any],
    listeners: list[tuple[int, str, str]],
    sockets: list[str],
    holder: str,
) -> None:
    monkeypatch.setattr(host, "listeners", lambda _: listeners)
    monkeypatch.setattr(host, "sockets_on", lambda _: sockets)
    message = host.port_conflict(wanted)
    assert message is not None
    assert message.startswith(f"{wanted['variable']}: {wanted['value']!r}: port {wanted['port']} is taken by {holder}.")
    assert message.endswith(f"give {wanted['variable']} another port.")


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, me: Any) -> dict[str, Any]:
    """A module's arguments for a host that a run has brought up to date."""
    keep_notes_in(tmp_path / "pending", monkeypatch)
    monkeypatch.setattr(host, "platform", lambda: "Debian_13")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(host, "listeners", lambda _: [])
    monkeypatch.setattr(host, "missing_packages", lambda names: [])
    monkeypatch.setattr(host, "account_differs", lambda _: False)
    active = {"ActiveState": "active", "UnitFileState": "enabled", "MainPID": "42"}
    monkeypatch.setattr(unit, "show_units", lambda names: {name: dict(active) for name in names})
    monkeypatch.setattr(check, "ROOT", (me.uid, me.gid))
    monkeypatch.setattr(check, "check_release", lambda *_: [])
    monkeypatch.setattr(live, "reasons_to_activate", lambda *_: [])
    monkeypatch.setattr(names, "problems", lambda *_: [])
    monkeypatch.setattr(probe, "ask", lambda _: [])
    venv = tmp_path / "venvs" / check.venv_id("needs", host.python_version())
    venv.mkdir(parents=True)
    venv.chmod(0o755)
    (venv / VENV_MARK).touch()
    (tmp_path / "link").symlink_to("/opt/blog/releases/abc")
    (tmp_path / "settings").write_text("text\n")
    (tmp_path / "settings").chmod(0o640)
    site = {
        "name": "blog",
        "user": me.user,
        "group": me.group,
        "build_user": "blog-build",
        "host": "blog.test",
        "public_schemes": ["http"],
        "port": 80,
        "link": str(tmp_path / "link"),
        "venvs": str(tmp_path / "venvs"),
        "data": str(tmp_path / "data"),
        "state": str(tmp_path / "state"),
        "socket_unit": "blog.socket",
        "service_unit": "blog.service",
        "settings_files": [str(tmp_path / "settings")],
    }
    settings = {
        "scope": "site",
        "reload": "app",
        "kind": "file",
        "path": str(tmp_path / "settings"),
        "owner": me.user,
        "group": me.group,
        "mode": "0640",
        "content": "text\n",
    }
    return {
        "site": site,
        "platforms": ["Debian_12", "Debian_13"],
        "packages": ["nginx"],
        "account": {"name": "blog"},
        "objects": [settings],
        "units": [{"name": "nginx.service", "enabled": True, "active": True}],
        "source": {},
        "release": make_release(path="/r/abc", requirements="needs").to_dict(),
        "ports": [BIND, HTTP],
        "probes": [{"what": "the home page", "path": "/"}],
    }


def layers(outcome: Any) -> list[str]:
    return list(outcome.said["layers"])


def words(outcome: Any) -> str:
    return str(outcome.said["differences"])


def test_a_host_that_is_as_declared_has_nothing_to_do(arguments: dict[str, Any], run_module: Any) -> None:
    outcome = run_module(module, **arguments)
    assert outcome.said["differences"] == []
    assert layers(outcome) == []
    assert outcome.said["changed"] is False
    assert outcome.said["data_is_new"] is False, "it has a live release"
    assert outcome.said["release"]["links"]["venv"] == outcome.said["release"]["venv_path"]


def test_a_site_that_answers_wrongly_is_activated_again(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "ask", lambda _: ["the home page (/): answered 502"])
    outcome = run_module(module, **arguments)
    assert layers(outcome) == ["activate", "verify"]
    assert "answered 502" in words(outcome)


def test_a_changed_setting_is_corrected_and_loaded(arguments: dict[str, Any], run_module: Any) -> None:
    Path(arguments["objects"][0]["path"]).write_text("by hand\n")
    outcome = run_module(module, **arguments)
    assert layers(outcome) == ["activate", "state", "verify"]


def test_a_changed_file_that_no_process_reads_needs_no_activation(arguments: dict[str, Any], run_module: Any) -> None:
    del arguments["objects"][0]["reload"]
    Path(arguments["objects"][0]["path"]).write_text("by hand\n")
    assert layers(run_module(module, **arguments)) == ["state", "verify"]


def test_the_site_is_not_asked_while_something_else_changes_anyway(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "ask", lambda _: pytest.fail("the site was asked"))
    monkeypatch.setattr(host, "missing_packages", lambda names: list(names))
    outcome = run_module(module, **arguments)
    assert layers(outcome) == ["packages", "verify"]
    assert outcome.said["missing_packages"] == ["nginx"]


def test_a_missing_release_and_environment_are_layers_of_their_own(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "check_release", lambda *_: ["not unpacked yet"])
    arguments["release"]["requirements"] = "others"
    assert layers(run_module(module, **arguments)) == ["activate", "unpack", "venv", "verify"]


def test_a_missing_account_a_stopped_unit_and_a_waiting_reload_are_found(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "account_differs", lambda _: True)
    monkeypatch.setattr(unit, "show_units", lambda names: {})
    live.note(contract.NGINX_RELOAD)
    outcome = run_module(module, **arguments)
    assert {"account", "state"} <= set(layers(outcome))
    assert "not running" in words(outcome)
    assert "not reloaded since its files changed" in words(outcome)


def test_a_missing_build_account_is_made_with_the_others(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "account_differs", lambda account: account == host.build_account("blog-build"))
    outcome = run_module(module, **arguments)
    assert layers(outcome) == ["account", "verify"]
    assert "'name': 'blog-build'" in words(outcome)


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o777])
def test_an_environment_that_the_app_cannot_enter_or_others_can_change_is_found(
    arguments: dict[str, Any], run_module: Any, mode: int
) -> None:
    venv = Path(arguments["site"]["venvs"], check.venv_id("needs", host.python_version()))
    venv.chmod(mode)
    outcome = run_module(module, **arguments)
    assert layers(outcome) == ["activate", "venv", "verify"]
    assert f"mode {mode:04o} -> 0755" in words(outcome)


def test_a_socket_whose_unit_changes_is_started_anew_by_the_same_run(
    arguments: dict[str, Any], run_module: Any, tmp_path: Path
) -> None:
    socket = {**arguments["objects"][0], "reload": ["systemd", "socket"], "content": "ReusePort=yes\n"}
    arguments["objects"].append({**socket, "path": str(tmp_path / "blog.socket")})
    outcome = run_module(module, **arguments)
    assert "activate" in layers(outcome)
    assert "blog.socket changes" in words(outcome)


def test_the_text_of_a_secret_file_comes_in_an_argument_of_its_own(arguments: dict[str, Any], run_module: Any) -> None:
    path = arguments["objects"][0]["path"]
    arguments["objects"][0] |= {"secret": True}
    del arguments["objects"][0]["content"]
    outcome = run_module(module, **arguments, secrets={path: "a new secret\n"})
    assert layers(outcome) == ["activate", "state", "verify"]
    assert "a new secret" not in str(outcome.said)


def test_a_file_with_data_in_it_is_no_new_blog(arguments: dict[str, Any], run_module: Any) -> None:
    Path(arguments["site"]["link"]).unlink()
    assert run_module(module, **arguments).said["data_is_new"] is True
    Path(arguments["site"]["data"]).mkdir()
    (Path(arguments["site"]["data"]) / "database.db").touch()
    assert run_module(module, **arguments).said["data_is_new"] is False


@pytest.mark.parametrize(("made", "brought"), [("", True), ("data/database.db", False), ("state/initialised", False)])
def test_initial_data_is_brought_while_the_blog_has_had_none(
    arguments: dict[str, Any], run_module: Any, tmp_path: Path, made: str, brought: bool
) -> None:
    Path(arguments["site"]["link"]).unlink()
    if made:
        (tmp_path / made).parent.mkdir()
        (tmp_path / made).touch()
    outcome = run_module(module, **arguments, initial_data=True)
    assert ("unpack" in layers(outcome)) is brought


def test_initial_data_is_not_brought_to_a_blog_that_serves(arguments: dict[str, Any], run_module: Any) -> None:
    """Its data may be in a database server, and its data folder empty for that reason."""
    assert layers(run_module(module, **arguments, initial_data=True)) == []


def test_a_name_that_is_somebody_elses_is_a_conflict_and_nothing_is_touched(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "problems", lambda *_: ["flask_blog_name: 'dpkg': somebody's. Choose another."])
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert outcome.said["msg"] == "flask_blog_name: 'dpkg': somebody's. Choose another."


def test_what_is_left_alone_in_the_data_folder_is_a_warning(
    arguments: dict[str, Any], run_module: Any, me: Any, tmp_path: Path
) -> None:
    deep = tmp_path / "data" / "/".join(["d"] * 66)
    deep.mkdir(parents=True)
    tree = {"scope": "site", "kind": "tree", "path": str(tmp_path / "data"), "owner": me.user, "group": me.group}
    arguments["objects"].append(tree)
    said = run_module(module, **arguments).said
    assert said["layers"] == []
    (note,) = said["notes"]
    assert note.endswith("/d lies more than 64 folders deep; nothing in it is checked or changed")


def test_another_platform_is_refused(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "platform", lambda: "Ubuntu_24")
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert "Ubuntu 24 is not supported" in outcome.said["msg"]
    assert "Debian 12, Debian 13" in outcome.said["msg"]


def test_an_ordinary_user_is_refused_with_the_remedy(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert "become: true" in outcome.said["msg"]


def test_all_conflicts_are_named_at_once_and_nothing_is_touched(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "listeners", lambda port: [(9, "apache2", "apache2.service")] if port == 80 else [])
    link = Path(arguments["site"]["link"])
    link.unlink()
    link.mkdir()
    (link / "database.db").write_text("precious")
    settings = Path(arguments["objects"][0]["path"])
    settings.unlink()
    settings.mkdir()
    arguments["site"]["group"] = "no-such-group"
    outcome = run_module(module, **arguments)
    assert outcome.failed
    for part in ("apache2.service", "flask_blog_initial_data", "settings should be a file", "no such group"):
        assert part in outcome.said["msg"]
    assert (link / "database.db").read_text() == "precious"


# -- a release from Git ---------------------------------------------------------------------------------------------


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
