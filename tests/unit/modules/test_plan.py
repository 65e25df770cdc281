"""The plan: the differences of a host in one round trip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.release import __version__
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, host, live, probe
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import check
from ansible_collections.flaskblog.hosting.plugins.modules import plan as module
from planned_host import layers, up_to_date, words


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, me: Any) -> dict[str, Any]:
    """A module's arguments for a host that a run has brought up to date."""
    return up_to_date(tmp_path, monkeypatch, me)


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
