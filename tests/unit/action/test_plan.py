"""The plan: files are rendered, a release is named, and a bare host gets Python."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from action_host import PRIVATE, Host, Run
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.flaskblog.hosting.plugins.action import plan, validate
from releases import make_release


def test_the_plan_gets_a_named_release_rendered_files_and_a_file_to_ask_for(
    run: Run, host: Host, arguments: dict[str, Any]
) -> None:
    host.answers = [{"layers": []}]
    result = run(plan, arguments, secrets={"API_KEY": "hunter2"})
    ((name, sent, task_vars),) = host.modules
    assert name == "flaskblog.hosting.plan"
    assert sent["release"]["path"] == f"/opt/flask-blog/releases/{sent['release']['id']}"
    assert [probe["path"] for probe in sent["probes"]] == ["/static/blog.css"]
    assert "source" not in sent
    assert task_vars["ansible_python_interpreter"] == "/usr/bin/python3"
    assert "API_KEY" in sent["secrets"]["/etc/flask-blog/environment"]
    assert "hunter2" not in str(sent["objects"])
    assert result["probes"] == sent["probes"]


def test_a_source_that_cannot_be_a_release_is_named(run: Run, arguments: dict[str, Any]) -> None:
    with pytest.raises(AnsibleActionFail, match=r"flask_blog_source: '/nonexistent/x': there is no such folder"):
        run(plan, arguments, source="/nonexistent/x")


def test_initial_data_without_any_data_is_refused_while_the_blog_is_new(
    run: Run, host: Host, arguments: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    host.answers = [{"data_is_new": True, "layers": []}]
    with pytest.raises(AnsibleActionFail, match="it holds none of the blog's databases"):
        run(plan, {**arguments, "initial_data": str(tmp_path / "empty")})
    host.answers = [{"data_is_new": False, "layers": []}]
    run(plan, {**arguments, "initial_data": str(tmp_path / "empty")})


def test_a_copy_of_a_backup_is_initial_data_and_one_that_is_not_whole_is_refused(
    run: Run, host: Host, arguments: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "data" / "static").mkdir(parents=True)
    (tmp_path / "data" / "static" / "a.jpg").write_bytes(b"a")
    entry = {"size": 1, "sha256": hashlib.sha256(b"a").hexdigest(), "mode": 0o640}
    manifest = {"site": "other", "name": "20260101T000000Z", "files": {"static/a.jpg": entry}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    host.answers = [{"data_is_new": True, "layers": []}]
    run(plan, {**arguments, "initial_data": str(tmp_path)})
    (tmp_path / "data" / "static" / "a.jpg").write_bytes(b"b")
    host.answers = [{"data_is_new": True, "layers": []}]
    with pytest.raises(AnsibleActionFail, match=r"it is a backup, and 'static/a\.jpg' .*Nothing was touched"):
        run(plan, {**arguments, "initial_data": str(tmp_path)})


NO_PYTHON = {"failed": True, "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found"}
WHO = {"stdout": 'sudo: unable to resolve host\nuid=0\nID=debian\nVERSION_ID="12"\n'}


def test_a_bare_host_gets_python_and_is_asked_again(run: Run, host: Host, arguments: dict[str, Any]) -> None:
    host.answers = [dict(NO_PYTHON), {"layers": ["packages"]}]
    host.outputs = [dict(WHO)]
    assert run(plan, arguments)["layers"] == ["packages"]
    assert "install python3" in host.commands[1]
    assert len(host.modules) == 2


#: What apt says while another process has a lock: of dpkg, and of the archives.
LOCKED = [
    "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (apt-get)",
    "E: dpkg frontend lock was locked by another process with pid 7",
]


@pytest.mark.parametrize("message", LOCKED)
def test_a_bare_host_is_waited_for_while_apt_is_busy(
    run: Run, host: Host, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(plan.time, "sleep", slept.append)
    host.answers = [dict(NO_PYTHON), {"layers": []}]
    busy = {"rc": 100, "stderr": message}
    host.outputs = [dict(WHO), dict(busy), dict(busy), {}]
    run(plan, arguments)
    assert len(slept) == 2


def test_a_bare_host_whose_apt_fails_is_a_failure_with_apts_words(
    run: Run, host: Host, arguments: dict[str, Any]
) -> None:
    host.answers = [dict(NO_PYTHON)]
    host.outputs = [dict(WHO), {"rc": 100, "stderr": "E: Unable to locate package python3"}]
    with pytest.raises(AnsibleActionFail, match="cannot be installed:\nE: Unable to locate"):
        run(plan, arguments)


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ('uid=0\nID=alpine\nVERSION_ID="3.20"\n', "Alpine 3 is not supported"),
        ('uid=1000\nID=debian\nVERSION_ID="12"\n', "become: true"),
    ],
)
def test_nothing_is_installed_on_a_host_that_is_refused(
    run: Run, host: Host, arguments: dict[str, Any], who: str, words: str
) -> None:
    host.answers = [dict(NO_PYTHON)]
    host.outputs = [{"stdout": who}]
    with pytest.raises(AnsibleActionFail, match=words):
        run(plan, arguments)
    assert len(host.commands) == 1


def test_check_mode_leaves_a_bare_host_bare(run: Run, host: Host, arguments: dict[str, Any]) -> None:
    host.answers = [dict(NO_PYTHON)]
    result = run(plan, arguments, check_mode=True)
    assert result["changed"] is True
    assert result["missing_packages"] == ["python3", "nginx"]
    assert host.commands == []


def test_another_failure_is_not_taken_for_a_missing_python(run: Run, host: Host, arguments: dict[str, Any]) -> None:
    host.answers = [{"failed": True, "msg": "port 80 is taken by apache2.service"}]
    assert run(plan, arguments)["failed"] is True
    assert host.commands == []


UNKNOWN = {"layers": ["packages"], "needed_first": ["git"], "release": {"id": "unknown", "live": None}}
KNOWN = {"layers": [], "release": {"id": "abc", "databases": ["posts.db"]}, "probes": [{"path": "/x.css"}]}


def test_a_repository_is_the_hosts_to_read_and_what_opens_it_travels_apart(
    run: Run, host: Host, arguments: dict[str, Any]
) -> None:
    host.answers = [dict(KNOWN)]
    result = run(plan, {**arguments, "access": {"key": "the key"}}, **PRIVATE)
    ((_, sent, _),) = host.modules
    assert sent["source"]["url"] == "https://git.test/blog"
    assert (sent["source"]["version"], sent["source"]["timeout"]) == ("main", 7)
    assert sent["access"] == {"key": "the key", "credentials": "https://me:hunter2@git.test"}
    assert "hunter2" not in str({**sent, "access": {}})
    assert "release" not in sent
    assert result["probes"] == [{"path": "/x.css"}]
    assert "changed" not in result


def test_git_is_installed_where_the_release_cannot_be_known_without_it(
    run: Run, host: Host, arguments: dict[str, Any]
) -> None:
    host.answers = [dict(UNKNOWN), dict(KNOWN)]
    result = run(plan, arguments, **PRIVATE)
    assert host.commands[0].endswith("install git")
    assert len(host.modules) == 2
    assert (result["release"]["id"], result["changed"]) == ("abc", True)


def test_a_bare_host_gets_python_and_git_at_once(run: Run, host: Host, arguments: dict[str, Any]) -> None:
    host.answers = [dict(NO_PYTHON), dict(KNOWN)]
    host.outputs = [dict(WHO)]
    run(plan, arguments, **PRIVATE)
    assert host.commands[1].endswith("install python3 ca-certificates git")


def test_check_mode_says_that_the_account_of_git_is_missing(
    run: Run, host: Host, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(plan.display, "warning", said.append)
    host.answers = [{"layers": ["packages"], "needed_first": [], "release": {"id": "unknown", "live": None}}]
    arguments["site"] = {**arguments["site"], "build_user": "blog-build"}
    assert run(plan, arguments, check_mode=True, **PRIVATE)["release"]["id"] == "unknown"
    assert "has no account blog-build yet" in said[0]


@pytest.mark.parametrize("answer", [NO_PYTHON, UNKNOWN])
def test_check_mode_installs_no_git_and_says_that_the_release_is_unknown(
    run: Run, host: Host, arguments: dict[str, Any], answer: dict[str, Any]
) -> None:
    host.answers = [dict(answer)]
    result = run(plan, arguments, check_mode=True, **PRIVATE)
    assert result["release"]["id"] == "unknown"
    assert result["layers"] == ["packages"]
    assert host.commands == []


def test_initial_data_is_looked_at_for_a_blog_from_git_as_well(
    run: Run, host: Host, arguments: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    release = make_release(path="/r/abc", app_path="/r/abc", links={"database.db": "/var/lib/flask-blog/database.db"})
    host.answers = [{"data_is_new": True, "layers": [], "release": release.to_dict()}]
    with pytest.raises(AnsibleActionFail, match="it holds none of the blog's databases"):
        run(plan, {**arguments, "initial_data": str(tmp_path / "empty")}, **PRIVATE)


@pytest.mark.parametrize("message", LOCKED)
def test_apt_is_waited_for_by_the_task_as_by_the_plan(message: str, role: Path, variables: dict[str, Any]) -> None:
    """An archive's lock is reported by another message than that of dpkg (apt 2.6 and 3.0)."""
    task = DataLoader().load_from_file(str(role / "tasks" / "packages.yml"), trusted_as_template=True)[-1]

    def is_over(rc: int, stdout: str, stderr: str) -> bool:
        found = {**variables, "__flask_blog_installed": {"rc": rc, "stdout": stdout, "stderr": stderr}}
        return bool(Templar(loader=DataLoader(), variables=found).evaluate_conditional(task["until"]))

    assert not is_over(100, "", message)
    assert not is_over(100, message, "E: Unable to lock directory")
    assert is_over(0, message, "")
    assert is_over(100, "", "E: Unable to locate package nginx")


def test_a_source_is_relative_to_the_current_directory(
    run: Run, host: Host, arguments: dict[str, Any], variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    blog = Path(variables["flask_blog_source"])
    (blog / "below").mkdir()
    monkeypatch.chdir(blog / "below")
    assert run(validate, {}, source="..") == {"changed": False}
    run(plan, arguments, source="..")
    assert host.modules[-1][1]["release"]["requirements_file"] == "requirements.txt"
    refused = run(validate, {}, source="../x")["msg"]
    assert f"flask_blog_source: '../x' ({blog / 'x'}): there is no such folder" in refused


def test_requirements_in_a_git_repository_bring_git_to_the_server(
    run: Run, host: Host, arguments: dict[str, Any], variables: dict[str, Any]
) -> None:
    requirements = Path(variables["flask_blog_source"], "requirements.txt")
    requirements.write_text("flask @ git+https://git.test/flask.git\n")
    run(plan, arguments)
    assert host.modules[-1][1]["packages"] == ["nginx", "git"]


def test_a_lock_file_that_is_not_used_is_a_warning(
    run: Run, arguments: dict[str, Any], variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(plan.display, "warning", said.append)
    blog = Path(variables["flask_blog_source"])
    (blog / "requirements.txt").unlink()
    (blog / "pyproject.toml").write_text('[project]\nname = "blog"\ndependencies = ["flask"]\n')
    (blog / "uv.lock").touch()
    run(plan, arguments)
    (warning,) = said
    assert warning.startswith("flask_blog_source: uv.lock is not used")
    assert "'uv export" in warning


@pytest.mark.parametrize(
    ("hardened_by", "chosen", "hardens"),
    [
        ("", {}, False),
        ("", {"host_firewall": "no"}, False),
        ("", {"host_firewall": True}, True),
        ("blog.test", {}, True),
        ("another.test", {}, False),
    ],
)
def test_the_plan_says_whether_the_host_is_or_was_hardened_by_this_host_of_the_inventory(
    run: Run, host: Host, arguments: dict[str, Any], hardened_by: str, chosen: dict[str, Any], hardens: bool
) -> None:
    host.answers = [{"layers": [], "hardened_by": hardened_by}]
    found = run(plan, arguments, **chosen)
    assert found["hardens"] is hardens
    assert "hardened_by" not in found
