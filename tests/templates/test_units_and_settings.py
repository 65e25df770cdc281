"""What systemd and the app are told."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, names, reloads
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry

UNITS = (
    "flask-blog.service",
    "flask-blog-next.service",
    "flask-blog.socket",
    "flask-blog-recovery.service",
    "flask-blog-backup.service",
    "flask-blog-backup.timer",
)

VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "www-data": {"user": "www-data", "group": "www-data"},
    "a weird factory": {"wsgi": """blog:create_app("it's 100 %n", path='C:\\\\x', cost='$5')"""},
    "an app below the top": {"app_dir": "web", "bind": "[::1]:9000"},
    "no backups": {"backup_schedule": "never"},
    "a schedule": {"backup_schedule": "Mon..Fri 03:15"},
    "no network": {"outbound": False},
    "limits as text": {"memory_max": "1G", "memory_high": "infinity", "tasks_max": "100", "outbound": "false"},
    "a Unix socket": {"bind": "unix"},
}
#: The app's own.
APP_UNITS = UNITS[:2]


def unit(render: Any, file: str, /, **variables: Any) -> str:
    return str(render(**variables).text(f"/etc/systemd/system/{file}"))


def settings(text: str) -> dict[str, list[str]]:
    """The settings of a unit by C(Section.Key), continued lines joined (systemd.syntax(7))."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith(("#", ";")):
            key, equals, value = line.partition("=")
            assert section, f"{line!r} stands in no section"
            assert equals, f"{line!r} is no setting"
            found.setdefault(f"{section}.{key}", []).append(value)
    return found


def words(command: str) -> list[str]:
    """Split a command line as systemd does (systemd.service(5), Command lines), specifiers and variables undone."""
    found, position = [], 0
    while position < len(command):
        if command[position] == " ":
            position += 1
            continue
        word, quote = "", ""
        while position < len(command) and (quote or command[position] != " "):
            letter = command[position]
            if letter == "\\":
                position += 1
                word += command[position]
            elif letter == quote:
                quote = ""
            elif not quote and letter in "\"'" and not word:
                quote = letter
            elif letter in "%$":
                assert command[position + 1] == letter, f"a lone {letter} means something to systemd"
                position += 1
                word += letter
            else:
                word += letter
            position += 1
        assert not quote, "a quote is not closed"
        found.append(word)
    return found


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
        (tmp_path / name).write_text(unit(render, name, **VARIANTS[variant]))
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
    assert "FLASK_BLOG_HOST=blog.test:8080" in told


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


# -- the settings of the app ----------------------------------------------------------------------------------------


def environment(render: Any, **variables: Any) -> dict[str, str]:
    text = render(**variables).text("/etc/flask-blog/environment")
    lines = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value.strip('"') for name, _, value in lines}


def test_the_app_is_told_of_exactly_one_proxy(render: Any) -> None:
    found = environment(render)
    assert found["BEHIND_PROXY"] == "true"
    assert {found[f"PROXY_FIX_X_{what}"] for what in ("FOR", "PROTO", "HOST")} == {"1"}


def test_without_tls_the_session_cookie_is_not_secure_as_nobody_could_log_in(render: Any) -> None:
    assert environment(render)["SESSION_COOKIE_SECURE"] == "false"


def test_a_users_settings_win_over_what_the_role_derives(render: Any) -> None:
    found = environment(render, environment={"BEHIND_PROXY": False, "SITE_NAME": "A blog"}, secrets={"API_KEY": "k"})
    assert found["BEHIND_PROXY"] == "false"
    assert found["SITE_NAME"] == "A blog"
    assert found["API_KEY"] == "k"


@pytest.mark.parametrize(
    ("chosen", "made"),
    [
        ({}, ["SECRET_KEY"]),
        ({"generated_secrets": ["SECRET_KEY", "SALT"]}, ["SECRET_KEY", "SALT"]),
        ({"secrets": {"SECRET_KEY": "given"}}, []),
        ({"environment": {"SECRET_KEY": "given"}, "generated_secrets": ["SECRET_KEY", "SALT"]}, ["SALT"]),
        ({"generated_secrets": []}, []),
    ],
)
def test_a_secret_is_made_only_where_none_is_given(render: Any, chosen: dict[str, Any], made: list[str]) -> None:
    rendered = render(**chosen)
    (item,) = [item for item in rendered.objects if item["path"] == "/etc/flask-blog/environment"]
    assert item["generated"] == made
    assert item["secret"] is True
    assert (item["owner"], item["group"], item["mode"]) == ("root", "flask-blog", "0640")
    assert not [line for line in item["content"].splitlines() if line.partition("=")[0] in made]


@pytest.mark.parametrize("variant", VARIANTS)
def test_blogctl_finds_everything_it_needs_in_its_settings(render: Any, role: Path, variant: str) -> None:
    found = json.loads(render(**VARIANTS[variant]).text("/etc/flask-blog/site.json"))
    sources = "".join(path.read_text() for path in (role / "files" / "blogctl").glob("*.py"))
    asked = set(re.findall(r'settings\["(\w+)"\]', sources)) | set(re.findall(r'\.path\("(\w+)"\)', sources))
    assert asked
    assert asked - {"bind"} <= found.keys()
    assert isinstance(found["activation_timeout"], int)
    assert found["backup_keep"] == {"daily": 7, "weekly": 4, "monthly": 6}


def test_blogctl_knows_which_settings_are_secret_and_whether_to_hide_them(render: Any) -> None:
    chosen = {"secrets": {"MAIL_PASSWORD": "hunter2"}, "environment": {"SITE_NAME": "A blog"}, "hide_secrets": "no"}
    text = render(**chosen, generated_secrets=["SECRET_KEY", "OTHER"]).text("/etc/flask-blog/site.json")
    assert json.loads(text)["hide_secrets"] is False
    assert json.loads(text)["secret_settings"] == ["MAIL_PASSWORD", "OTHER", "SECRET_KEY"]
    assert "hunter2" not in text
    assert json.loads(render().text("/etc/flask-blog/site.json"))["hide_secrets"] is True


def test_two_blogs_keep_apart_what_is_theirs(render: Any) -> None:
    one, two = (json.loads(render(name=name).text(f"/etc/{name}/site.json")) for name in ("one", "two"))
    for key in ("data", "config", "backups", "link", "root", "cache", "socket_unit", "user", "next"):
        assert one[key] != two[key], key


def test_what_a_process_reads_when_it_starts_is_what_the_role_watches(render: Any) -> None:
    rendered = render()
    found = settings(rendered.text("/etc/systemd/system/flask-blog.service"))
    told = next(value for value in found["Service.Environment"] if value.startswith("FLASK_BLOG_SETTINGS="))
    files = told.partition("=")[2].split(":")
    assert files == rendered.variables["__flask_blog_site"]["settings_files"]
    for file in files:
        assert rendered.has(file)


def test_nothing_that_is_managed_is_writable_for_others_or_holds_secrets_openly(render: Any) -> None:
    rendered = render(secrets={"API_KEY": "hunter2"})
    for item in rendered.objects:
        if "mode" in item:
            assert not int(item["mode"], 8) & 0o002, item["path"]
        if item["kind"] == "file":
            assert ("hunter2" in item["content"]) == (item["path"] == "/etc/flask-blog/environment")


def test_what_the_server_and_root_write_down_is_closed_from_the_start_and_rotated(render: Any) -> None:
    rendered = render()
    found = {item["path"]: item for item in rendered.objects if item["kind"] == "attributes"}
    for log in ("/var/log/nginx/flask-blog.access.log", "/var/log/nginx/flask-blog.error.log"):
        assert f" {log};" in rendered.text("/etc/nginx/sites-available/flask-blog.conf")
        assert [found[log][key] for key in ("owner", "group", "mode", "create")] == ["www-data", "adm", "0640", True]
    journal = found["/opt/flask-blog/operations.jsonl"]
    assert [journal[key] for key in ("owner", "group", "mode", "create")] == ["root", "root", "0600", False]
    assert len(found) == 3
    assert "logrotate" in rendered.variables["__flask_blog_packages"]


def test_roots_own_state_and_locks_lie_in_directories_of_roots(render: Any) -> None:
    rendered = render()
    modes = {item["path"]: (item["owner"], item["mode"]) for item in rendered.objects if item["kind"] == "directory"}
    assert modes[rendered.variables["__flask_blog_site"]["state"]] == ("root", "0700")
    assert modes["/run/flask-blog-hosting"] == ("root", "0755")
    boot = rendered.text("/etc/tmpfiles.d/flask-blog-hosting.conf")
    assert boot.splitlines()[-1] == "d /run/flask-blog-hosting 0755 root root -"


def test_each_unit_has_the_line_by_which_the_plan_knows_it(render: Any) -> None:
    """Without it, a first run that was interrupted would take its own units for somebody else's."""
    found = [item for item in render().objects if item["path"].startswith(f"{names.UNITS}/")]
    assert len(found) >= 6
    assert [item["path"] for item in found if names.UNIT_MARK.decode() not in item["content"].splitlines()] == []


SECRETS = {f"/etc/flask-blog/{name}" for name in ("environment", "rehearsal-environment", "site.json")}
KEYS = {f"/etc/flask-blog/{name}" for name in ("proxy-key.conf", "site-key.conf")}


@pytest.mark.parametrize(("hide", "expected"), [(True, True), (False, False), ("false", False), ("true", True)])
def test_secrets_are_shown_only_where_that_is_asked_for(render: Any, hide: bool | str, expected: bool) -> None:
    """Asked for with C(-e), the switch is text."""
    hidden = {item["path"] for item in render(hide_secrets=hide).objects if item.get("secret")}
    # Nobody has a use for the keys of nginx.
    assert hidden - KEYS == (SECRETS if expected else set())
    assert hidden >= KEYS


def test_each_object_says_whose_it_is_and_what_loads_it(render: Any) -> None:
    for variant in VARIANTS.values():
        for item in render(**variant).objects:
            assert item["scope"] in ("site", "host"), item
            assert item["kind"] in registry.KINDS, item
            assert set(reloads.of(item)) <= set(reloads.RELOADS), item
            assert "layer" not in item, item


def test_what_the_activation_loads_is_what_it_restores(render: Any) -> None:
    rendered = render()
    told = [item["path"] for item in rendered.objects if "app" in reloads.of(item)]
    assert sorted(told) == sorted(rendered.variables["__flask_blog_site"]["settings_files"])


def test_what_the_blogs_of_a_host_share_is_the_same_for_each(render: Any) -> None:
    one, two = ({item["path"]: item for item in render(name=name).objects} for name in ("one", "two"))
    shared = {path for path in one if path in two}
    assert {path for path in shared if one[path]["scope"] != "host"} == set()
    assert {path: one[path] for path in shared} == {path: two[path] for path in shared}
    assert [path for path, item in one.items() if item["scope"] == "host" and path not in shared] == []


def test_the_version_of_the_tool_is_written_beside_it(render: Any, root: Path) -> None:
    rendered = render()
    found = json.loads(rendered.text(contract.TOOL_VERSION))
    assert found["version"] == yaml.safe_load((root / "galaxy.yml").read_text())["version"]
    assert rendered.text(contract.TOOL_VERSION).endswith("}\n")
    site = json.loads(rendered.text("/etc/flask-blog/site.json"))
    assert (site["interface"], site["scheme"]) == (found["interface"], "http") == (contract.INTERFACE, "http")


def test_the_paths_of_a_site_are_those_that_blogctl_computes(render: Any) -> None:
    """Each is declared once, in the role's variables."""
    site = json.loads(render(name="blog").text("/etc/blog/site.json"))
    expected = {
        "next": "/opt/blog/next",
        "assets": "/opt/blog/assets",
        "maintenance": "/opt/blog/maintenance",
        "operations": "/opt/blog/operations.jsonl",
        "transaction": "/opt/blog/transaction.json",
        "snapshots": "/var/backups/blog/snapshots",
        "rehearsal": "/var/backups/blog/rehearsal",
        "environment": "/etc/blog/environment",
        "rehearsal_environment": "/etc/blog/rehearsal-environment",
        "next_unit": "blog-next.service",
        "recovery_unit": "blog-recovery.service",
        "backup_unit": "blog-backup.service",
        "backup_timer": "blog-backup.timer",
    }
    assert {key: site[key] for key in expected} == expected


def test_every_file_that_gunicorn_loads_is_managed_and_restarts_the_app(render: Any, role: Path) -> None:
    rendered = render()
    loaded = re.findall(r'load_beside\("(\w+)"\)', (role / "files" / "gunicorn.conf.py").read_text())
    assert loaded
    order = [item["path"] for item in rendered.objects]
    for one in loaded:  # a run that is killed between the two leaves an app that starts
        assert order.index(f"/etc/flask-blog/{one}.py") < order.index("/etc/flask-blog/gunicorn.conf.py")
    for name in (*(f"{one}.py" for one in loaded), "gunicorn.conf.py"):
        assert rendered.text(f"/etc/flask-blog/{name}") == (role / "files" / name).read_text()
        assert f"/etc/flask-blog/{name}" in rendered.variables["__flask_blog_site"]["settings_files"]


@pytest.mark.parametrize(("proxies", "schemes"), [([], "http"), (["192.0.2.0/24"], "http,https")])
def test_gunicorn_is_told_the_schemes_of_the_site(render: Any, proxies: list[str], schemes: str) -> None:
    for unit in ("flask-blog.service", "flask-blog-next.service"):
        text = render(trusted_proxies=proxies).text(f"/etc/systemd/system/{unit}")
        assert '\nEnvironment="FLASK_BLOG_SCHEME=http"\n' in text
        assert f'\nEnvironment="FLASK_BLOG_PUBLIC_SCHEMES={schemes}"\n' in text


def test_the_key_has_the_form_that_nginx_and_gunicorn_read(render: Any) -> None:
    (key,) = [item for item in render().objects if item["path"] == "/etc/flask-blog/proxy-key.conf"]
    assert key["generated"] == [contract.KEY_HEADER]
    assert key["generated_line"].replace("{name}", contract.KEY_HEADER) == contract.KEY_LINE
