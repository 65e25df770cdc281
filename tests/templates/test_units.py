"""What systemd is told."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from unit_files import APP_UNITS, UNITS, VARIANTS, settings, unit, words


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", UNITS)
def test_every_unit_is_made_of_sections_and_settings(render: Any, name: str, variant: str) -> None:
    found = settings(unit(render, name, **VARIANTS[variant]))
    assert found["Unit.Description"]
    assert "{{" not in str(found)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not on this computer")
@pytest.mark.parametrize("variant", VARIANTS)
def test_systemd_knows_every_setting(render: Any, tmp_path: Path, variant: str) -> None:
    """Only what it says of the text counts: the programs and accounts are on another machine."""
    for name in UNITS:
        # Debian 12's systemd knows less than 13's, and may be that of this computer.
        (tmp_path / name).write_text(unit(render, name, platform="Debian_12", **VARIANTS[variant]))
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in result.stderr.splitlines() if re.search(r"\.(service|socket|timer):\d+:", line)]
    assert complaints == []


def test_the_article_s_two_workers_and_four_threads_listen_on_this_machine_alone(render: Any) -> None:
    (command,) = settings(unit(render, "flask-blog.service"))["Service.ExecStart"]
    given = words(command)
    assert given[0] == "/var/www/flask-blog/venv/bin/gunicorn"
    assert given[given.index("--workers") + 1] == "2"
    assert given[given.index("--threads") + 1] == "4"
    assert given[given.index("--bind") + 1] == "127.0.0.1:8000"
    assert given[-1] == "app:app"
    assert settings(unit(render, "flask-blog.socket"))["Socket.ListenStream"] == ["127.0.0.1:8000"]


def test_the_socket_gets_an_address_that_root_has_bound_for_it(render: Any) -> None:
    assert settings(unit(render, "flask-blog.socket"))["Socket.ReusePort"] == ["yes"]
    assert "Socket.ReusePort" not in settings(unit(render, "flask-blog.socket", bind="unix"))


@pytest.mark.parametrize(
    "wsgi",
    [
        "app:app",
        "blog:create_app()",
        VARIANTS["a weird factory"]["wsgi"],
        'blog:create_app("a  b")',
        "blog:create_app('100%', '${HOME}', '\\\\')",
    ],
)
def test_gunicorn_gets_the_factory_as_it_was_written(render: Any, wsgi: str) -> None:
    (command,) = settings(unit(render, "flask-blog.service", wsgi=wsgi))["Service.ExecStart"]
    assert words(command)[-1] == wsgi


@pytest.mark.parametrize(
    ("chosen", "user"), [({}, "flask-blog"), ({"user": "www-data"}, "www-data"), ({"name": "b2"}, "b2")]
)
def test_the_app_runs_as_its_own_account_or_the_one_that_was_named(
    render: Any, chosen: dict[str, str], user: str
) -> None:
    name = chosen.get("name", "flask-blog")
    found = settings(unit(render, f"{name}.service", **chosen))
    assert found["Service.User"] == [user]
    assert found["Service.Group"] == [user]
    assert found["Service.ReadWritePaths"] == [f"/var/lib/{name}"]
    assert found["Service.ProtectSystem"] == ["strict"]
    assert found["Service.CapabilityBoundingSet"] == [""]


@pytest.mark.parametrize("name", APP_UNITS)
def test_an_instance_gets_its_share_of_the_machine(render: Any, name: str) -> None:
    found = settings(unit(render, name))
    assert found["Service.MemoryMax"] == ["45%"]
    assert found["Service.MemoryHigh"] == ["43%"]
    assert found["Service.TasksMax"] == ["264"]
    assert found["Service.LimitNOFILE"] == ["4096"]
    assert found["Service.LimitCORE"] == ["0"]
    assert found["Service.LogRateLimitBurst"] == ["3000"]
    assert found["Service.LogRateLimitIntervalSec"] == ["30s"]
    assert found["Service.OOMPolicy"] == ["continue"]
    chosen = {"memory_max": 536870912, "memory_high": "400M", "open_files": "2000", "log_rate": 0}
    found = settings(unit(render, name, **chosen))
    assert found["Service.MemoryMax"] == ["536870912"]
    assert found["Service.MemoryHigh"] == ["400M"]
    assert found["Service.LimitNOFILE"] == ["2000"]
    assert found["Service.LogRateLimitBurst"] == ["0"]


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        ({"workers": "4", "threads": "8"}, "416"),
        ({"tasks_max": 0, "workers": 1, "threads": 1}, "193"),
        ({"tasks_max": "60"}, "60"),
    ],
)
def test_the_number_of_tasks_follows_workers_and_threads_unless_it_is_given(
    render: Any, chosen: dict[str, Any], wanted: str
) -> None:
    assert settings(unit(render, "flask-blog.service", **chosen))["Service.TasksMax"] == [wanted]


@pytest.mark.parametrize("name", APP_UNITS)
@pytest.mark.parametrize(("outbound", "private"), [(True, "no"), ("yes", "no"), (False, "yes"), ("false", "yes")])
def test_the_app_has_a_network_unless_outbound_is_off(
    render: Any, name: str, outbound: bool | str, private: str
) -> None:
    found = settings(unit(render, name, outbound=outbound))
    assert found["Service.PrivateNetwork"] == [private]
    assert ("AF_INET " in found["Service.RestrictAddressFamilies"][0]) == (private == "no")
    assert "AF_UNIX" in found["Service.RestrictAddressFamilies"][0]


@pytest.mark.parametrize("name", APP_UNITS)
def test_the_app_has_no_folder_in_run_and_speaks_to_systemd_through_its_master_alone(render: Any, name: str) -> None:
    found = settings(unit(render, name))
    assert "Service.RuntimeDirectory" not in found
    assert found["Service.ReadOnlyPaths"] == ["/run"]
    assert found["Service.NotifyAccess"] == ["main"]


@pytest.mark.parametrize(("user", "wanted"), [("flask-blog", "yes"), ("www-data", "no")])
def test_a_stop_removes_the_ipc_objects_of_an_account_that_is_the_blogs_alone(
    render: Any, user: str, wanted: str
) -> None:
    found = settings(unit(render, "flask-blog.service", user=user, group=user))
    assert found["Service.RemoveIPC"] == [wanted]


def test_what_blogctl_starts_has_the_sandbox_of_the_units(render: Any) -> None:
    rendered = render(outbound=False, memory_max="1G")
    sandbox = json.loads(rendered.text("/etc/flask-blog/site.json"))["sandbox"]
    found = settings(rendered.text("/etc/systemd/system/flask-blog.service"))
    assert len(sandbox) > 30
    for name, value in sandbox.items():
        assert isinstance(value, (str, int)), f"{name}: --property= takes no such value"
        assert str(value) in found[f"Service.{name}"], name


def has_offline_analysis() -> bool:
    """Return whether this computer's systemd-analyze judges a unit file without a running systemd (250 and later)."""
    if not shutil.which("systemd-analyze"):
        return False
    result = subprocess.run(["systemd-analyze", "--help"], capture_output=True, text=True, check=False)
    return "--offline" in result.stdout


@pytest.mark.skipif(not has_offline_analysis(), reason="no systemd-analyze that knows --offline is on this computer")
@pytest.mark.parametrize("name", APP_UNITS)
@pytest.mark.parametrize(("outbound", "most"), [(True, 12), (False, 4)])
def test_systemd_finds_the_app_s_units_hardly_exposed(
    render: Any, tmp_path: Path, name: str, outbound: bool, most: int
) -> None:
    """The threshold is in tenths."""
    (tmp_path / name).write_text(unit(render, name, outbound=outbound))
    command = ["systemd-analyze", "security", "--offline=yes", f"--threshold={most}", "--no-pager"]
    result = subprocess.run([*command, str(tmp_path / name)], capture_output=True, text=True, check=False)
    assert "Overall exposure level" in result.stdout, result.stderr
    assert result.returncode == 0, result.stdout


def test_a_crash_is_followed_by_a_restart_for_ever_and_a_reboot_by_a_start(render: Any) -> None:
    found = settings(unit(render, "flask-blog.service"))
    assert found["Service.Restart"] == ["always"]
    assert (found["Service.RestartSec"], found["Service.RestartSteps"]) == (["300ms"], ["5"])
    assert found["Unit.StartLimitIntervalSec"] == ["0"]
    assert found["Install.WantedBy"] == ["multi-user.target"]
    assert found["Unit.Requires"] == ["flask-blog.socket"]
    assert settings(unit(render, "flask-blog.socket"))["Install.WantedBy"] == ["sockets.target"]


def test_a_unix_socket_is_for_root_and_nginx_alone(render: Any) -> None:
    found = settings(unit(render, "flask-blog.socket", bind="unix"))
    path = "/run/flask-blog-hosting/flask-blog.sock"
    assert found["Socket.ListenStream"] == [path]
    assert (found["Socket.SocketUser"], found["Socket.SocketGroup"]) == (["root"], ["www-data"])
    assert (found["Socket.SocketMode"], found["Socket.DirectoryMode"]) == (["0660"], ["0755"])
    assert "Socket.NoDelay" not in found, "it is a setting of TCP"
    (command,) = settings(unit(render, "flask-blog.service", bind="unix"))["Service.ExecStart"]
    assert words(command)[words(command).index("--bind") + 1] == f"unix:{path}"
    assert json.loads(render(bind="unix").text("/etc/flask-blog/site.json"))["bind"] == f"unix:{path}"


def test_a_unix_socket_takes_no_port_of_the_host(render: Any) -> None:
    assert [port["variable"] for port in render().variables["__flask_blog_ports"]] == [
        "flask_blog_bind",
        "flask_blog_http_port",
    ]
    assert [port["variable"] for port in render(bind="unix").variables["__flask_blog_ports"]] == [
        "flask_blog_http_port"
    ]


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_unit_takes_the_socket_with_it_when_it_stops(render: Any, variant: str) -> None:
    """While the socket is held, no other account can take the address and with it the visitors' passwords."""
    for name in UNITS:
        found = settings(unit(render, name, **VARIANTS[variant]))
        for key, values in found.items():
            if "flask-blog.socket" in " ".join(values):
                assert key in ("Unit.Requires", "Unit.After", "Service.Sockets"), key
    stops = {"Unit.PartOf", "Unit.BindsTo", "Unit.Requires", "Unit.StopWhenUnneeded", "Unit.Conflicts"}
    assert not stops & settings(unit(render, "flask-blog.socket", **VARIANTS[variant])).keys()


@pytest.mark.parametrize("name", ["flask-blog.service", "flask-blog-next.service"])
def test_gunicorn_is_told_where_the_key_is_and_not_what_it_is(render: Any, name: str) -> None:
    told = [one.strip('"') for one in settings(unit(render, name, http_port=8080))["Service.Environment"]]
    assert "FLASK_BLOG_PROXY_KEY=/etc/flask-blog/proxy-key.conf" in told


def test_a_stop_leaves_a_request_as_long_as_nginx_waits_for_it(render: Any) -> None:
    found = settings(unit(render, "flask-blog.service", proxy_read_timeout=120))
    assert int(found["Service.TimeoutStopSec"][0]) > 120


def test_backups_follow_the_schedule_and_a_missed_one_is_made_up_for(render: Any) -> None:
    found = settings(unit(render, "flask-blog-backup.timer", backup_schedule="Mon..Fri 03:15"))
    assert found["Timer.OnCalendar"] == ["Mon..Fri 03:15"]
    assert found["Timer.Persistent"] == ["true"]
    service = settings(unit(render, "flask-blog-backup.service"))
    assert service["Service.ExecStart"] == ["/usr/local/sbin/blogctl --site flask-blog backup"]
    assert service["Service.UMask"] == ["0077"]


REPOSITORY = {"backup_repository": "/mnt/disk/blog", "backup_password": "correct horse battery"}


def test_each_backup_starts_its_copy_off_site_if_there_is_a_repository(render: Any) -> None:
    found = settings(unit(render, "flask-blog-backup.service", **REPOSITORY))
    assert found["Unit.OnSuccess"] == ["flask-blog-offsite.service"]
    assert "Unit.OnSuccess" not in settings(unit(render, "flask-blog-backup.service"))


@pytest.mark.parametrize(("chosen", "wanted"), [({}, False), (REPOSITORY, True)])
def test_what_opens_the_repository_is_there_for_root_alone_and_removed_with_it(
    render: Any, chosen: dict[str, str], wanted: bool
) -> None:
    rendered = render(**chosen)
    units = {item["name"]: item for item in rendered.variables["__flask_blog_units"]}
    assert units["flask-blog-offsite.timer"]["enabled"] == units["flask-blog-offsite.timer"]["active"] == wanted
    kinds = {item["path"]: item for item in rendered.objects if "/offsite/" in item["path"]}
    assert len(kinds) == 5
    for name in ("repository", "password", "credentials"):
        item = kinds[f"/etc/flask-blog/offsite/{name}"]
        assert item["kind"] == ("file" if wanted else "absent")
        if wanted:
            assert (item["owner"], item["group"], item["mode"], item["secret"]) == ("root", "root", "0600", True)
    assert {kinds[f"/etc/flask-blog/offsite/{name}"]["kind"] for name in ("ssh-key", "known-hosts")} == {"absent"}


def test_a_repository_on_a_server_with_ssh_gets_its_key_and_the_hosts_that_it_may_meet(render: Any) -> None:
    chosen = {
        **REPOSITORY,
        "backup_repository": "sftp:blog@host:/blog",
        "backup_known_hosts": ["host ssh-ed25519 AAAA"],
    }
    rendered = render(**chosen, backup_ssh_key="-----BEGIN X-----\nabc\n-----END X-----\n\n")
    assert rendered.text("/etc/flask-blog/offsite/ssh-key") == "-----BEGIN X-----\nabc\n-----END X-----\n"
    assert rendered.text("/etc/flask-blog/offsite/known-hosts").endswith("\nhost ssh-ed25519 AAAA\n")


def test_the_copy_off_site_sees_no_data_and_writes_its_notes_alone(render: Any) -> None:
    found = settings(unit(render, "flask-blog-offsite.service"))
    assert found["Service.ExecStart"] == ["/usr/local/sbin/blogctl --site flask-blog backup --offsite"]
    assert found["Service.InaccessiblePaths"] == ["-/var/lib/flask-blog"]
    assert found["Service.ReadWritePaths"] == ["/opt/flask-blog/state /run/flask-blog-hosting"]
    assert found["Service.CacheDirectory"] == ["flask-blog-hosting/flask-blog.offsite"]
    assert found["Service.CapabilityBoundingSet"] == ["CAP_DAC_READ_SEARCH"]
    local = settings(unit(render, "flask-blog-offsite.service", **REPOSITORY))
    assert local["Service.ReadWritePaths"][1:] == ["-/mnt/disk"]


def test_blogctl_is_told_of_the_repository_and_not_its_password(render: Any) -> None:
    found = json.loads(render(**REPOSITORY).text("/etc/flask-blog/site.json"))
    keep = {"last": 0, "hourly": 0, "daily": 7, "weekly": 4, "monthly": 12}
    assert found["repository"] == {"kind": "local", "append_only": False, "keep": keep}
    assert "correct horse" not in json.dumps(found)
    assert json.loads(render().text("/etc/flask-blog/site.json"))["repository"]["kind"] == ""


def test_what_a_killed_operation_began_is_seen_to_at_boot_as_well_and_tried_until_it_works(render: Any) -> None:
    found = settings(unit(render, "flask-blog-recovery.service"))
    assert found["Service.ExecStart"] == ["/usr/local/sbin/blogctl --site flask-blog recover"]
    assert found["Service.Restart"] == ["on-failure"]
    assert found["Unit.StartLimitIntervalSec"] == ["0"]
    units = {item["name"]: item for item in render().variables["__flask_blog_units"]}
    assert units["flask-blog-recovery.service"] == {"name": "flask-blog-recovery.service", "enabled": True}
    assert found["Install.WantedBy"] == ["multi-user.target"]


def test_the_recovery_may_write_whatever_it_may_have_to_put_back(render: Any) -> None:
    found = settings(unit(render, "flask-blog-recovery.service"))
    writable = [path.lstrip("-") for line in found["Service.ReadWritePaths"] for path in line.split()]
    site = render().variables["__flask_blog_site"]
    places = [site[key] for key in ("link", "root", "backups")] + site["settings_files"]
    for place in [*places, "/run/flask-blog-hosting/flask-blog.lock", "/run/flask-blog-hosting/flask-blog.socket"]:
        assert any(place == path or place.startswith(f"{path}/") for path in writable), place
    assert not any(site["data"].startswith(path) for path in writable), "a unit of the app's account puts the data back"


@pytest.mark.parametrize(("schedule", "wanted"), [("daily", True), ("never", False)])
def test_the_timer_runs_unless_the_schedule_is_never(render: Any, schedule: str, wanted: bool) -> None:
    units = {item["name"]: item for item in render(backup_schedule=schedule).variables["__flask_blog_units"]}
    timer = units["flask-blog-backup.timer"]
    assert (timer["enabled"], timer["active"]) == (wanted, wanted)


@pytest.mark.parametrize(
    ("schedule", "wanted", "calendar"), [("Sun 04:00", True, "Sun 04:00"), ("never", False, "weekly")]
)
def test_proofs_follow_their_schedule(render: Any, schedule: str, wanted: bool, calendar: str) -> None:
    units = {item["name"]: item for item in render(proof_schedule=schedule).variables["__flask_blog_units"]}
    timer = units["flask-blog-proof.timer"]
    assert (timer["enabled"], timer["active"]) == (wanted, wanted)
    found = settings(unit(render, "flask-blog-proof.timer", proof_schedule=schedule))
    assert found["Timer.OnCalendar"] == [calendar]
    assert found["Timer.Persistent"] == ["true"]
    service = settings(unit(render, "flask-blog-proof.service"))
    assert service["Service.ExecStart"] == ["/usr/local/sbin/blogctl --site flask-blog prove"]


@pytest.mark.parametrize("name", APP_UNITS)
def test_gunicorn_is_told_which_static_folders_the_app_writes_to(render: Any, name: str) -> None:
    given = {"static": {"/static/": "static/", "/media/": "media/"}, "writable_paths": ["static/uploads", "media"]}
    found = settings(unit(render, name, **given))["Service.Environment"]
    folders = "/media/=/var/lib/flask-blog/media/,/static/uploads/=/var/lib/flask-blog/static/uploads/"
    assert f'"FLASK_BLOG_WRITTEN={folders}"' in found
