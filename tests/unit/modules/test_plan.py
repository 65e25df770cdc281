"""The plan: the differences of a host in one round trip, and the reasons to refuse it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.release import __version__
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, host, live, names, nginx, probe
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import check
from ansible_collections.flaskblog.hosting.plugins.modules import plan as module
from planned_host import up_to_date


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, me: Any) -> dict[str, Any]:
    """A module's arguments for a host that a run has brought up to date."""
    return up_to_date(tmp_path, monkeypatch, me)


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


@pytest.mark.parametrize("verbosity", [0, 2, 3])
def test_the_arguments_travel_back_only_where_ansible_shows_them(
    arguments: dict[str, Any], run_module: Any, verbosity: int
) -> None:
    """They hold all managed files, and each later task would copy them."""
    outcome = run_module(module, **arguments, _ansible_verbosity=verbosity)
    # From 2.21 on, Ansible lets a module add them only if its configuration says so.
    expected = verbosity == 3 and tuple(map(int, __version__.split(".")[:2])) < (2, 21)
    assert ("module_args" in outcome.said.get("invocation", {})) is expected


def test_a_site_that_answers_wrongly_is_activated_again(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "ask", lambda _: ["the home page (/): answered 502"])
    outcome = run_module(module, **arguments)
    assert layers(outcome) == ["activate", "verify"]
    assert "answered 502" in words(outcome)


def test_a_first_deployment_that_has_not_passed_its_last_step_is_verified_again(
    arguments: dict[str, Any], run_module: Any
) -> None:
    """Its home page lacked a file, and nothing else differs."""
    state = Path(arguments["site"]["state"])
    state.mkdir()
    (state / contract.UNVERIFIED).touch()
    outcome = run_module(module, **arguments)
    assert layers(outcome) == ["verify"]
    assert "not verified since its first release" in words(outcome)


def test_a_name_that_another_site_of_nginx_has_is_a_conflict_before_anything_changes(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        nginx, "conflicts", lambda objects, notes: notes.append("kept") or ["flask_blog_server_names: x"]
    )
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert outcome.said["msg"] == "flask_blog_server_names: x"


def test_a_changed_setting_is_corrected_and_loaded(arguments: dict[str, Any], run_module: Any) -> None:
    Path(arguments["objects"][0]["path"]).write_text("by hand\n")
    outcome = run_module(module, **arguments)
    assert layers(outcome) == ["activate", "state", "verify"]


def test_only_a_run_that_changes_nginx_asks_it_about_the_faults_of_other_sites(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nginx, "fault_of_others", lambda _: "unknown directive in sites-enabled/foo:4")
    path = Path(arguments["objects"][0]["path"])
    assert not run_module(module, **arguments).failed
    path.write_text("by hand\n")
    assert not run_module(module, **arguments).failed, "another file"
    arguments["objects"][0]["reload"] = ["nginx", "app"]
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert outcome.said["msg"] == "unknown directive in sites-enabled/foo:4"
    assert not run_module(module, **arguments, only_code=True).failed, "leaves nginx as it is"
    path.write_text("text\n")
    assert not run_module(module, **arguments).failed
    active = {"ActiveState": "active", "UnitFileState": "enabled"}
    down = {"nginx.service": {**active, "ActiveState": "failed"}}
    monkeypatch.setattr(unit, "show_units", lambda names: {name: down.get(name, active) for name in names})
    arguments["units"].append({"name": "nginx.service", "enabled": True, "active": True})
    assert run_module(module, **arguments).failed


# -- a release of code alone ------------------------------------------------------------------------------------------


def test_a_release_of_code_alone_leaves_the_settings_as_they_are_and_says_so(
    arguments: dict[str, Any], run_module: Any
) -> None:
    path = Path(arguments["objects"][0]["path"])
    path.write_text("by hand\n")
    outcome = run_module(module, **arguments, only_code=True)
    assert layers(outcome) == [], "neither applied nor activated, again and again"
    (note,) = outcome.said["notes"]
    assert str(path) in note
    assert "Run playbooks/site.yml" in note


def test_a_release_of_code_alone_knows_the_settings_that_the_host_has(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version of the collection may have written them."""
    Path(arguments["site"]["site_json"]).write_text('{"settings_files": ["/etc/blog/one"]}')
    seen: list[list[str]] = []

    def compare(site: dict[str, Any], *_: Any) -> list[str]:
        seen.append(site["settings_files"])
        return []

    monkeypatch.setattr(live, "reasons_to_activate", compare)
    run_module(module, **arguments, only_code=True)
    run_module(module, **arguments)
    assert seen == [["/etc/blog/one"], arguments["site"]["settings_files"]]
    Path(arguments["site"]["site_json"]).write_text("damaged")
    run_module(module, **arguments, only_code=True)
    assert seen[-1] == arguments["site"]["settings_files"]


def test_a_release_of_code_alone_needs_the_tool_of_its_version(
    arguments: dict[str, Any], run_module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "TOOL_VERSION", str(tmp_path / "tool" / "version.json"))
    modules = {**arguments["objects"][0], "path": str(tmp_path / "tool" / "abc" / "blogctl"), "scope": "host"}
    arguments["objects"].append(modules)
    outcome = run_module(module, **arguments, only_code=True)
    assert outcome.failed
    assert "Run playbooks/site.yml once" in outcome.said["msg"]


@pytest.mark.parametrize("name", ["writable_paths", "databases", "static", "wsgi"])
def test_a_release_of_code_alone_is_refused_if_it_does_not_fit_the_managed_files(
    name: str, arguments: dict[str, Any], run_module: Any
) -> None:
    path = Path(arguments["site"]["site_json"])
    settings = {"name": "blog", "writable_paths": [], "databases": ["a.db"], "static": {"/s/": "s"}, "wsgi": "a:b"}
    item = {**arguments["objects"][0], "path": str(path), "content": json.dumps(settings)}
    del item["reload"]
    arguments["objects"].append(item)
    path.write_text(json.dumps({**settings, "keep_releases": 3}))
    assert not run_module(module, **arguments, only_code=True).failed
    path.write_text(json.dumps({**settings, name: "another"}))
    outcome = run_module(module, **arguments, only_code=True)
    assert outcome.failed
    assert outcome.said["msg"].startswith(f"flask_blog_{name}: changed since playbooks/site.yml ran")
    assert not run_module(module, **arguments).failed
    del settings[name]
    path.write_text(json.dumps(settings))
    assert not run_module(module, **arguments, only_code=True).failed, "another version wrote it"


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


def test_a_platform_without_what_the_site_asks_for_is_refused(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "platform", lambda: "Debian_12")
    outcome = run_module(module, **arguments, unsupported={"Debian_12": ["flask_blog_http3: no HTTP/3."]})
    assert outcome.failed
    assert outcome.said["msg"] == "flask_blog_http3: no HTTP/3."
    monkeypatch.setattr(host, "platform", lambda: "Debian_13")
    assert not run_module(module, **arguments, unsupported={"Debian_12": ["flask_blog_http3: no HTTP/3."]}).failed


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
    arguments["objects"].append({**arguments["objects"][0], "path": str(link)})
    arguments["site"]["group"] = "no-such-group"
    outcome = run_module(module, **arguments)
    assert outcome.failed
    for part in ("apache2.service", "flask_blog_initial_data", "settings should be a file", "no such group"):
        assert part in outcome.said["msg"]
    assert f"{link} should be a file" in outcome.said["msg"]
    assert (link / "database.db").read_text() == "precious"


def test_a_project_for_another_python_is_refused_before_anything_is_built(
    arguments: dict[str, Any], run_module: Any
) -> None:
    arguments["release"]["requires_python"] = ">=3.11"
    assert layers(run_module(module, **arguments)) == []
    arguments["release"]["requires_python"] = ">=4\x1b[2J"
    assert not run_module(module, **arguments).failed, "what is not understood is left to pip"
    arguments["release"]["requires_python"] = ">=4"
    outcome = run_module(module, **arguments)
    assert outcome.failed
    version = ".".join(map(str, sys.version_info[:3]))
    assert f"the project is for Python >=4 (requires-python), and the host has {version}." in outcome.said["msg"]
    assert "Deploy to a Debian with such a Python" in outcome.said["msg"]


@pytest.mark.parametrize("tls", ["acme", "none"])
def test_a_certificate_that_is_missing_is_a_layer_of_its_own(
    arguments: dict[str, Any], run_module: Any, tmp_path: Path, tls: str
) -> None:
    arguments["site"] |= {
        "tls": tls,
        "certificate": str(tmp_path / "certificate"),
        "acme_directory": "https://ca.test/",
    }
    said = run_module(module, **arguments).said
    assert said["layers"] == (["certificate", "verify"] if tls == "acme" else [])
    assert said["address"] == "http://blog.test"
    arguments["only_code"] = True
    assert run_module(module, **arguments).said["layers"] == []
