"""Putting the managed state right: nginx's files as one step, tested or taken back; services load what changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import hold, host
from ansible_collections.flaskblog.hosting.plugins.module_utils import site as live
from ansible_collections.flaskblog.hosting.plugins.modules import apply as module


class Machine(module.Host):
    """A host whose commands succeed, but for those that a test lets fail, and are remembered."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.commands: list[str] = []

    def run(self, *command: str) -> tuple[int, str]:
        line = " ".join(command)
        self.commands.append(line)
        return (1, "nginx: [emerg] unknown directive") if self.failing and line == self.failing else (0, "")


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nginx", "systemd", "etc"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(live, "PENDING", tmp_path / "pending")
    monkeypatch.setattr(module, "NGINX", f"{tmp_path}/nginx/")
    monkeypatch.setattr(module, "SYSTEMD", f"{tmp_path}/systemd/")
    good = {"UnitFileState": "enabled", "ActiveState": "active"}
    monkeypatch.setattr(host, "show_units", lambda names: {name: dict(good) for name in names})
    monkeypatch.setattr(hold, "start", lambda *_: None)


@pytest.fixture
def wanted(tmp_path: Path, me: Any) -> Callable[..., dict[str, Any]]:
    def make(path: str, content: str = "new\n", **more: Any) -> dict[str, Any]:
        place = {"layer": "x", "kind": "file", "path": str(tmp_path / path), "owner": me.user, "group": me.group}
        return {**place, "mode": "0644", "content": content, **more}

    return make


@pytest.fixture
def site(tmp_path: Path) -> dict[str, Any]:
    files = [str(tmp_path / "etc" / name) for name in ("environment", "proxy-key.conf")]
    return {"name": "blog", "settings_files": files, "proxy_key": files[1], "socket_unit": "blog.socket"}


Wanted = Callable[..., dict[str, Any]]


def test_nginx_files_that_pass_the_test_stay(tmp_path: Path, wanted: Wanted) -> None:
    machine = Machine()
    module.put_nginx([wanted("nginx/a.conf"), wanted("nginx/b.conf")], machine)
    assert machine.commands == ["nginx -t"]
    assert (tmp_path / "nginx" / "b.conf").read_text() == "new\n"
    assert live.is_pending("nginx.reload")


def test_where_nginx_refuses_its_configuration_every_file_and_link_is_as_before(tmp_path: Path, wanted: Wanted) -> None:
    (tmp_path / "nginx" / "old.conf").write_text("old\n")
    (tmp_path / "nginx" / "default").symlink_to("/etc/nginx/sites-available/default")
    items = [
        wanted("nginx/old.conf"),
        wanted("nginx/new.conf"),
        {"kind": "link", "layer": "x", "path": f"{tmp_path}/nginx/enabled", "target": "new.conf"},
        {"kind": "absent", "layer": "x", "path": f"{tmp_path}/nginx/default"},
    ]
    with pytest.raises(module.Failure, match=r"the old one was put back and still serves:\n.*unknown directive"):
        module.put_nginx(items, Machine(failing="nginx -t"))
    assert sorted(path.name for path in (tmp_path / "nginx").iterdir()) == ["default", "old.conf"]
    assert (tmp_path / "nginx" / "old.conf").read_text() == "old\n"
    assert os.readlink(tmp_path / "nginx" / "default") == "/etc/nginx/sites-available/default"


def test_a_write_that_fails_half_way_takes_the_first_half_back(tmp_path: Path, wanted: Wanted) -> None:
    (tmp_path / "nginx" / "old.conf").write_text("old\n")
    broken = wanted("nginx/missing-folder/b.conf")
    with pytest.raises(FileNotFoundError):
        module.put_nginx([wanted("nginx/old.conf"), broken], Machine())
    assert (tmp_path / "nginx" / "old.conf").read_text() == "old\n"


def test_settings_of_the_running_process_are_kept_before_they_change(
    tmp_path: Path, wanted: Wanted, site: dict[str, Any]
) -> None:
    (tmp_path / "etc" / "environment").write_text("served\n")
    item = wanted("etc/environment")
    module.put_objects(site, module.changed_objects([item]), Machine())
    (copy,) = (tmp_path / "pending" / "blog.previous").iterdir()
    assert copy.read_text() == "served\n"
    assert live.is_pending("blog.activate")


def test_a_moved_socket_is_noted_for_the_activation(tmp_path: Path, wanted: Wanted, site: dict[str, Any]) -> None:
    module.put_objects(site, module.changed_objects([wanted("systemd/blog.socket")]), Machine())
    assert live.is_pending("blog.socket")
    assert not live.is_pending("blog.activate")


def test_the_addresses_are_kept_before_anything_is_changed(
    tmp_path: Path, wanted: Wanted, site: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[Any] = []

    def keep(*arguments: str) -> None:
        there.append((arguments, sorted(str(path) for path in tmp_path.rglob("*.*") if path.is_file())))
        raise hold.HoldError("port 8000 is taken by nc")

    monkeypatch.setattr(hold, "start", keep)
    changes = module.changed_objects([wanted("etc/environment.d"), wanted("systemd/blog.socket", "[Socket]\n")])
    with pytest.raises(hold.HoldError, match="taken by nc"):
        module.put_objects(site, changes, Machine())
    assert there == [(("blog", f"{tmp_path}/systemd/blog.socket", "[Socket]\n"), [])]
    assert not (tmp_path / "pending").exists()


def test_no_address_is_kept_for_a_socket_that_stays(
    wanted: Wanted, site: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "start", lambda *_: pytest.fail("nothing moves"))
    module.put_objects(site, module.changed_objects([wanted("systemd/blog.service")]), Machine())


def test_a_file_that_no_process_reads_leaves_no_note(wanted: Wanted, site: dict[str, Any]) -> None:
    module.put_objects(site, module.changed_objects([wanted("etc/other")]), Machine())
    assert not live.is_pending("blog.activate")
    assert not live.is_pending("nginx.reload")


def test_a_folder_is_made_before_the_file_in_it(tmp_path: Path, wanted: Wanted, me: Any, site: dict[str, Any]) -> None:
    folder = {"kind": "directory", "layer": "x", "path": f"{tmp_path}/a", "owner": me.user, "group": me.group}
    items = [wanted("a/file"), {**folder, "mode": "0750"}]
    changes = module.changed_objects(items)
    assert [item["kind"] for item, _ in changes] == ["directory", "file"]
    module.put_objects(site, changes, Machine())
    assert (tmp_path / "a" / "file").is_file()


@pytest.mark.parametrize(
    ("unit", "found", "rewritten", "commands"),
    [
        ({"enabled": True, "active": True}, {"UnitFileState": "enabled", "ActiveState": "active"}, False, []),
        ({"enabled": False}, {"UnitFileState": "enabled"}, False, ["systemctl disable x.timer"]),
        ({"active": True}, {"ActiveState": "inactive"}, False, ["systemctl start x.timer"]),
        ({"active": False}, {"ActiveState": "active"}, False, ["systemctl stop x.timer"]),
        ({"active": True}, {"ActiveState": "active"}, True, ["systemctl restart x.timer"]),
        ({"enabled": True}, {"UnitFileState": "enabled", "ActiveState": "active"}, True, []),
    ],
)
def test_a_unit_is_started_or_stopped_as_wanted(
    unit: dict[str, Any], found: dict[str, str], rewritten: bool, commands: list[str]
) -> None:
    machine = Machine()
    module.put_unit({"name": "x.timer", **unit}, found, rewritten, machine)
    assert machine.commands == commands


def test_units_are_enabled_in_one_call_and_only_where_they_are_not() -> None:
    machine = Machine()
    units = [{"name": name, "enabled": name != "d.timer"} for name in ("a.timer", "b.timer", "c.timer", "d.timer")]
    found = {"a.timer": {"UnitFileState": "enabled"}, "b.timer": {"UnitFileState": "disabled"}}
    module.enable(units, found, machine)
    assert machine.commands == ["systemctl enable b.timer c.timer"]
    module.enable(units[:1], found, machine)
    assert len(machine.commands) == 1


def test_nginx_is_reloaded_only_after_another_test_and_then_forgotten(tmp_path: Path, site: dict[str, Any]) -> None:
    live.note_pending("nginx.reload")
    machine = Machine()
    module.load(site, [], [], machine)
    assert machine.commands == ["nginx -t", "systemctl reload-or-restart nginx.service"]
    assert not live.is_pending("nginx.reload")


def test_a_reload_that_fails_is_tried_again_by_the_next_run(site: dict[str, Any]) -> None:
    live.note_pending("nginx.reload")
    with pytest.raises(module.Failure, match=r"'nginx -t' failed"):
        module.load(site, [], [], Machine(failing="nginx -t"))
    assert live.is_pending("nginx.reload")


def test_systemd_reads_units_anew_before_any_is_started(
    tmp_path: Path, site: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "show_units", lambda names: {})
    machine = Machine()
    module.load(site, [{"name": "x.timer", "active": True}], [f"{tmp_path}/systemd/x.timer"], machine)
    assert machine.commands == ["systemctl daemon-reload", "systemctl start x.timer"]


def test_a_unit_that_systemd_has_not_read_again_is_reason_enough(
    site: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "show_units", lambda names: {"x": {"NeedDaemonReload": "yes"}})
    machine = Machine()
    module.load(site, [{"name": "x"}], [], machine)
    assert machine.commands == ["systemctl daemon-reload"]


def test_check_mode_names_what_differs_and_touches_nothing(
    tmp_path: Path, wanted: Wanted, site: dict[str, Any], run_module: Any
) -> None:
    outcome = run_module(module, check_mode=True, site=site, objects=[wanted("etc/file")])
    assert outcome.said["changed"] is True
    assert outcome.said["applied"] == [f"{tmp_path}/etc/file: missing"]
    assert outcome.said["diff"][0]["after"] == "new\n"
    assert not (tmp_path / "etc" / "file").exists()
    assert not live.PENDING.exists()


def test_a_second_run_changes_nothing(wanted: Wanted, site: dict[str, Any], run_module: Any) -> None:
    assert run_module(module, site=site, objects=[wanted("etc/file")]).said["changed"] is True
    outcome = run_module(module, site=site, objects=[wanted("etc/file")])
    assert outcome.said["changed"] is False
    assert outcome.said["applied"] == []


def test_secret_texts_are_written_and_never_shown(
    tmp_path: Path, wanted: Wanted, site: dict[str, Any], run_module: Any
) -> None:
    item = wanted("etc/environment", secret=True)
    del item["content"]
    outcome = run_module(module, site=site, objects=[item], secrets={item["path"]: 'PASSWORD="hunter2"\n'})
    assert (tmp_path / "etc" / "environment").read_text() == 'PASSWORD="hunter2"\n'
    assert "hunter2" not in str(outcome.said)


def test_a_conflict_is_a_failure_in_words(
    tmp_path: Path, wanted: Wanted, site: dict[str, Any], run_module: Any
) -> None:
    (tmp_path / "etc" / "file").mkdir()
    outcome = run_module(module, site=site, objects=[wanted("etc/file")])
    assert outcome.failed
    assert "should be a file" in outcome.said["msg"]


def test_a_unit_that_differs_is_named(site: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "show_units", lambda names: {})
    outcome = run_module(module, check_mode=True, site=site, units=[{"name": "x.timer", "active": True}])
    assert outcome.said["applied"] == ["x.timer: not running"]


def test_a_command_of_the_host_says_what_went_wrong() -> None:
    class Ansible:
        def run_command(self, command: list[str]) -> tuple[int, str, str]:
            return 3, "out ", f"cannot {command[0]}"

    with pytest.raises(module.Failure, match="'nginx -t' failed: out cannot nginx"):
        module.Host(Ansible()).must("nginx", "-t")
