"""Applying the managed state: nginx's files in one step, tested or undone; services load what changed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, hold, live
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry, unit
from ansible_collections.flaskblog.hosting.plugins.modules import apply as module
from applied_host import Machine, apply, make_folders
from wanted_objects import is_pending


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folders(tmp_path, monkeypatch)


@pytest.fixture
def wanted(tmp_path: Path, me: Any) -> Callable[..., dict[str, Any]]:
    def make(path: str, content: str = "new\n", **more: Any) -> dict[str, Any]:
        place = {"scope": "site", "kind": "file", "path": str(tmp_path / path), "owner": me.user, "group": me.group}
        loads = {"nginx": "nginx", "systemd": "systemd"}.get(path.partition("/")[0])
        return {**place, "mode": "0644", "content": content, **({"reload": loads} if loads else {}), **more}

    return make


@pytest.fixture
def site() -> dict[str, Any]:
    return {"name": "blog"}


Wanted = Callable[..., dict[str, Any]]


def test_nginx_files_that_pass_the_test_stay(tmp_path: Path, wanted: Wanted, site: dict[str, Any]) -> None:
    machine = apply(site, [wanted("nginx/a.conf"), wanted("nginx/b.conf")])
    assert machine.commands == ["nginx -t"]
    assert (tmp_path / "nginx" / "b.conf").read_text() == "new\n"
    assert is_pending("nginx.reload")


def test_if_nginx_refuses_its_configuration_every_file_and_link_is_as_before(
    tmp_path: Path, wanted: Wanted, site: dict[str, Any]
) -> None:
    (tmp_path / "nginx" / "old.conf").write_text("old\n")
    (tmp_path / "nginx" / "default").symlink_to("/etc/nginx/sites-available/default")
    items = [
        wanted("nginx/old.conf"),
        wanted("nginx/new.conf"),
        {"kind": "link", "reload": "nginx", "path": f"{tmp_path}/nginx/enabled", "target": "new.conf"},
        {"kind": "absent", "reload": "nginx", "path": f"{tmp_path}/nginx/default"},
    ]
    with pytest.raises(module.Failure, match=r"the old one was put back and still serves:\n.*unknown directive"):
        apply(site, items, Machine(failing="nginx -t", times=1))
    assert sorted(path.name for path in (tmp_path / "nginx").iterdir()) == ["default", "old.conf"]
    assert (tmp_path / "nginx" / "old.conf").read_text() == "old\n"
    assert os.readlink(tmp_path / "nginx" / "default") == "/etc/nginx/sites-available/default"


def test_a_snippet_that_nginx_refuses_is_named_with_its_file_and_variable(
    tmp_path: Path, wanted: Wanted, site: dict[str, Any]
) -> None:
    bad = wanted("nginx/server.conf", variable="flask_blog_nginx_snippets.server")
    good = wanted("nginx/http.conf", variable="flask_blog_nginx_snippets.http")
    machine = Machine(failing="nginx -t", times=1, message=f'unknown directive "x" in {bad["path"]}:6')
    with pytest.raises(module.Failure) as refused:
        apply(site, [good, bad], machine)
    assert str(refused.value).splitlines()[-1] == (
        f"{bad['path']} holds flask_blog_nginx_snippets.server. Correct it there, and run again."
    )
    assert "flask_blog_nginx_snippets.http" not in str(refused.value)
    assert list((tmp_path / "nginx").iterdir()) == []


def test_nginx_that_refuses_what_the_host_had_before_is_not_blamed_on_this_site(
    tmp_path: Path, wanted: Wanted, site: dict[str, Any]
) -> None:
    with pytest.raises(module.Failure, match=r"without the changes of this run as well.*\n.*unknown directive"):
        apply(site, [wanted("nginx/a.conf")], Machine(failing="nginx -t"))
    assert not (tmp_path / "nginx" / "a.conf").exists()


def test_a_write_that_fails_half_way_takes_the_first_half_back(
    tmp_path: Path, wanted: Wanted, site: dict[str, Any]
) -> None:
    (tmp_path / "nginx" / "old.conf").write_text("old\n")
    broken = wanted("nginx/missing-folder/b.conf")
    with pytest.raises(FileNotFoundError):
        apply(site, [wanted("nginx/old.conf"), broken])
    assert (tmp_path / "nginx" / "old.conf").read_text() == "old\n"


def test_settings_of_the_running_process_are_kept_before_they_change(
    tmp_path: Path, wanted: Wanted, site: dict[str, Any]
) -> None:
    (tmp_path / "etc" / "environment").write_text("served\n")
    apply(site, [wanted("etc/environment", reload="app")])
    (copy,) = (tmp_path / "pending" / "blog.previous").iterdir()
    assert copy.read_text() == "served\n"
    assert is_pending("blog.activate")


def test_a_moved_socket_is_noted_for_the_activation(tmp_path: Path, wanted: Wanted, site: dict[str, Any]) -> None:
    apply(site, [wanted("systemd/blog.socket", reload=["systemd", "socket"])])
    assert is_pending("blog.socket")
    assert not is_pending("blog.activate")


def test_the_addresses_are_kept_before_anything_is_changed(
    tmp_path: Path, wanted: Wanted, site: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[Any] = []

    def keep(*arguments: str) -> None:
        there.append((arguments, sorted(str(path) for path in tmp_path.rglob("*.*") if path.is_file())))
        raise hold.HoldError("port 8000 is taken by nc")

    monkeypatch.setattr(hold, "start", keep)
    socket = wanted("systemd/blog.socket", "[Socket]\n", reload=["systemd", "socket"])
    with pytest.raises(hold.HoldError, match="taken by nc"):
        apply(site, [wanted("etc/environment.d", reload="app"), socket])
    assert there == [(("blog", f"{tmp_path}/systemd/blog.socket", "[Socket]\n"), [])]
    assert not (tmp_path / "pending").exists()


def test_no_address_is_kept_for_a_socket_that_stays(
    wanted: Wanted, site: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "start", lambda *_: pytest.fail("nothing moves"))
    apply(site, [wanted("systemd/blog.service", reload=["systemd", "app"])])


SOCKET = (
    "[Unit]\nDescription=Blog\nDocumentation=https://example.com\n# Comment\n[Socket]\nListenStream=127.0.0.1:8000\n"
)


@pytest.mark.parametrize(
    ("before", "after", "moves"),
    [
        ("https://example.com", "man:blogctl(8)", False),
        ("Description=Blog", "Description=The blog", False),
        ("# Comment", "; another", False),
        ("127.0.0.1:8000", "127.0.0.1:8001", True),
        ("[Socket]", "[Socket]\nBacklog=10", True),
    ],
)
def test_a_socket_stays_open_if_only_its_comments_and_descriptions_change(
    tmp_path: Path,
    wanted: Wanted,
    site: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    after: str,
    moves: bool,
) -> None:
    """Connections are refused while a socket is opened anew."""
    monkeypatch.setattr(hold, "start", lambda *_: None)
    (tmp_path / "systemd" / "blog.socket").write_text(SOCKET)
    assert before in SOCKET
    changed = SOCKET.replace(before, after)
    apply(site, [wanted("systemd/blog.socket", changed, reload=["systemd", "socket"])])
    assert is_pending("blog.socket") is moves
    assert (tmp_path / "systemd" / "blog.socket").read_text() == changed


def test_a_file_that_no_process_reads_leaves_no_note(wanted: Wanted, site: dict[str, Any]) -> None:
    apply(site, [wanted("etc/other")])
    assert not is_pending("blog.activate")
    assert not is_pending("nginx.reload")


def test_a_folder_is_made_before_the_file_in_it(tmp_path: Path, wanted: Wanted, me: Any, site: dict[str, Any]) -> None:
    folder = {"kind": "directory", "scope": "site", "path": f"{tmp_path}/a", "owner": me.user, "group": me.group}
    items = [wanted("a/file"), {**folder, "mode": "0750"}]
    changes = module.changed_objects(items)
    assert [item["kind"] for item, _ in changes] == ["directory", "file"]
    apply(site, items)
    assert (tmp_path / "a" / "file").is_file()


def test_nginx_is_reloaded_only_after_another_test_and_then_forgotten(tmp_path: Path, site: dict[str, Any]) -> None:
    live.note(contract.NGINX_RELOAD)
    machine = Machine()
    module.load(site, [], [], machine)
    assert machine.commands == ["nginx -t", "systemctl reload-or-restart nginx.service"]
    assert not is_pending("nginx.reload")


def test_a_reload_that_fails_is_tried_again_by_the_next_run(site: dict[str, Any]) -> None:
    live.note(contract.NGINX_RELOAD)
    with pytest.raises(module.Failure, match=r"'nginx -t' failed"):
        module.load(site, [], [], Machine(failing="nginx -t"))
    assert is_pending("nginx.reload")


def test_systemd_reads_units_anew_before_any_is_started(
    wanted: Wanted, site: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "show_units", lambda names: {})
    machine = Machine()
    module.load(site, [{"name": "x.timer", "active": True}], [wanted("systemd/x.timer")], machine)
    assert machine.commands == ["systemctl daemon-reload", "systemctl start x.timer"]


def test_a_unit_that_systemd_has_not_read_again_is_reason_enough(
    site: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "show_units", lambda names: {"x": {"NeedDaemonReload": "yes"}})
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
    assert not (tmp_path / "pending").exists()


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


def test_a_file_that_cannot_be_written_fails_with_the_state_and_the_remedy(
    wanted: Wanted, site: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(item: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", item["path"])

    monkeypatch.setattr(registry, "apply", refuse)
    outcome = run_module(module, site=site, objects=[wanted("etc/file")])
    assert outcome.failed
    assert "Read-only file system" in outcome.said["msg"].splitlines()[0]
    assert "serve as before. Correct the cause" in outcome.said["msg"]


def test_a_conflict_is_a_failure_with_its_message(
    tmp_path: Path, wanted: Wanted, site: dict[str, Any], run_module: Any
) -> None:
    (tmp_path / "etc" / "file").mkdir()
    outcome = run_module(module, site=site, objects=[wanted("etc/file")])
    assert outcome.failed
    assert "should be a file" in outcome.said["msg"]


def test_a_unit_that_differs_is_named(site: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "show_units", lambda names: {})
    outcome = run_module(module, check_mode=True, site=site, units=[{"name": "x.timer", "active": True}])
    assert outcome.said["applied"] == ["x.timer: not running"]


def test_a_command_of_the_host_says_what_went_wrong() -> None:
    class Ansible:
        def run_command(self, command: list[str]) -> tuple[int, str, str]:
            return 3, "out ", f"cannot {command[0]}"

    with pytest.raises(module.Failure, match="'nginx -t' failed: out cannot nginx"):
        module.Host(Ansible()).must("nginx", "-t")


# -- nginx's key ----------------------------------------------------------------------------------------------------


@pytest.fixture
def key(wanted: Wanted) -> dict[str, Any]:
    line = 'proxy_set_header {name} "{value}";'
    more = {"secret": True, "generated": ["X-Flask-Blog-Key"], "generated_line": line}
    return wanted("etc/proxy-key.conf", "# made once\n", reload=["app", "nginx"], mode="0640", **more)


def test_the_key_is_written_with_nginxs_files_and_undone_with_them(key: dict[str, Any], site: dict[str, Any]) -> None:
    with pytest.raises(module.Failure, match="the old one was put back"):
        apply(site, [key], Machine(failing="nginx -t", times=1))
    assert not Path(key["path"]).exists()
    apply(site, [key])
    assert is_pending("nginx.reload"), "nginx sends the new key"
    assert is_pending("blog.activate"), "gunicorn reads it"


def test_a_failed_activation_does_not_bring_back_an_older_key_than_nginx_sends(
    key: dict[str, Any], wanted: Wanted, site: dict[str, Any], tmp_path: Path
) -> None:
    Path(key["path"]).write_text("damaged\n")
    (tmp_path / "etc" / "environment").write_text("A=1\n")
    apply(site, [wanted("etc/environment", reload="app"), key])
    kept = [path.read_text() for path in (tmp_path / "pending" / "blog.previous").iterdir()]
    assert kept == ["A=1\n"]
