"""The removal of a site: what goes, in which order, what stays, and what a step that fails leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, live, names, removal
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import unit

MARK = f"{names.UNIT_MARK.decode()}\n"


class Host:
    """A host in a temporary folder, with two sites; commands are remembered, and one may fail."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.commands: list[str] = []
        self.failing = ""
        self.states: dict[str, dict[str, str]] = {"nginx.service": {"ActiveState": "active"}}
        self.accounts: dict[str, Any] = {}
        for name in ("etc", "nginx/sites-enabled", "nginx/sites-available", "nginx/conf.d", "nginx/snippets", "units"):
            (folder / name).mkdir(parents=True)
        monkeypatch.setattr(contract, "RUNTIME", str(folder / "run"))
        monkeypatch.setattr(contract, "NGINX_RELOAD", str(folder / "run" / "nginx.reload"))
        monkeypatch.setattr(names, "CONFIGURATION", str(folder / "etc"))
        monkeypatch.setattr(names, "UNITS", str(folder / "units"))
        monkeypatch.setattr(removal, "NGINX", str(folder / "nginx"))
        monkeypatch.setattr(removal, "PROGRAM", str(folder / "nginx"))
        monkeypatch.setattr(removal, "STAMPS", str(folder / "timers"))
        monkeypatch.setattr(removal, "TOOL", str(folder / "tool"))
        monkeypatch.setattr(removal, "SHARED_STATE", str(folder / "shared"))
        monkeypatch.setattr(removal, "RECORD", str(folder / "shared" / "managed.json"))
        monkeypatch.setattr(unit, "show_units", lambda found: {one: dict(self.states.get(one, {})) for one in found})
        monkeypatch.setattr(removal.pwd, "getpwnam", self._account)
        (folder / "tool").mkdir()
        (folder / "tool" / "version.json").write_text("{}")

    def _account(self, name: str) -> Any:
        if name not in self.accounts:
            raise KeyError(name)
        return self.accounts[name]

    def run(self, *command: str) -> tuple[int, str]:
        line = " ".join(command)
        self.commands.append(line)
        if self.failing and line.startswith(self.failing):
            return 1, "it says no"
        if command[0] == "userdel":
            self.accounts.pop(command[1])
        return 0, ""

    def site(self, name: str) -> dict[str, Any]:
        keys = ("root", "cache", "data", "backups", "config", "link")
        found: dict[str, Any] = {key: str(self.folder / key / name) for key in keys}
        config = str(self.folder / "etc" / name)
        return {
            **found,
            "name": name,
            "user": name,
            "build_user": f"{name}-build",
            "config": config,
            "site_json": f"{config}/site.json",
            "environment": f"{config}/environment",
            "certificates": f"{config}/certificates",
            "certificate": f"{config}/certificate",
            "acme": f"{config}/acme",
            "access_log": str(self.folder / "log" / f"{name}.access.log"),
            "error_log": str(self.folder / "log" / f"{name}.error.log"),
        }

    def deploy(self, name: str) -> dict[str, Any]:
        site = self.site(name)
        for key in ("root", "cache", "data", "backups", "certificates", "acme"):
            (Path(site[key]) / "below").mkdir(parents=True)
        Path(site["link"]).parent.mkdir(exist_ok=True)
        Path(site["link"]).symlink_to(site["root"])
        for key in ("environment", "site_json"):
            Path(site[key]).write_text("{}")
        Path(site["site_json"]).write_text(json.dumps(site))
        for file in ("gunicorn.conf.py", "zone.conf"):
            (Path(site["config"]) / file).write_text("")
        Path(site["certificate"]).symlink_to("certificates/below")
        (self.folder / "log").mkdir(exist_ok=True)
        for end in (".access.log", ".access.log.1", ".access.log.2.gz", ".error.log"):
            (self.folder / "log" / f"{name}{end}").write_text("x")
        available = self.folder / "nginx" / "sites-available" / f"{name}.conf"
        available.symlink_to(f"{site['config']}/scheme/site.conf")
        (self.folder / "nginx" / "sites-enabled" / f"{name}.conf").symlink_to(available)
        (self.folder / "nginx" / "snippets" / f"flask-blog-hosting.{name}.server.conf").write_text("")
        for end in (".service", ".socket", "-backup.timer", "-backup.service", "-notify@.service"):
            (self.folder / "units" / f"{name}{end}").write_text(f"[Unit]\n{MARK}")
            self.states[f"{name}{end}"] = {"ActiveState": "active"}
        for account, home in ((name, site["data"]), (f"{name}-build", "/nonexistent")):
            fields = {"pw_name": account, "pw_dir": home, "pw_uid": 990, "pw_shell": "/usr/sbin/nologin"}
            self.accounts[account] = SimpleNamespace(**fields)
        return site

    def removal(self, name: str, **consent: bool) -> removal.Removal:
        return removal.Removal(self.site(name), removal.Consent(**consent), [], self.run)

    def remove(self, name: str, **consent: bool) -> list[str]:
        done = []
        for step in self.removal(name, **consent).steps():
            step.do()
            done.append(step.what)
        return done

    def paths(self, name: str) -> set[str]:
        """Return the paths with a site's name, relative."""
        found = (str(path.relative_to(self.folder)) for path in self.folder.rglob(f"*{name}*"))
        return {path for path in found if "below" not in path}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host(tmp_path, monkeypatch)
    found.deploy("travel")
    found.deploy("travel-two")
    return found


def test_what_the_role_made_goes_and_data_backups_and_certificates_stay(host: Host) -> None:
    neighbour = host.paths("travel-two")
    host.remove("travel")
    assert host.paths("travel") - neighbour == {"data/travel", "backups/travel", "etc/travel"}
    assert sorted(os.listdir(host.folder / "etc" / "travel")) == ["acme", "certificate", "certificates", "environment"]
    assert host.paths("travel-two") == neighbour
    assert {*host.accounts} == {"travel", "travel-two", "travel-two-build"}, "the data keeps its owner"
    assert (host.folder / "tool").exists(), "another site needs it"


def test_a_second_removal_finds_nothing(host: Host) -> None:
    host.remove("travel")
    host.commands.clear()
    host.states = {"nginx.service": {"ActiveState": "active"}}
    assert host.remove("travel") == []
    assert host.commands == []


def test_visitors_go_first_then_timers_and_the_settings_last(host: Host) -> None:
    host.remove("travel")
    assert host.commands[:2] == ["nginx -t", "systemctl reload nginx.service"]
    stop = host.commands[2].split()
    assert stop[:2] == ["systemctl", "stop"]
    assert stop[2:] == [
        *("travel-backup.timer", "travel.socket", "travel-backup.service", "travel.service"),
        *("travel-run-*.service", "travel-notify*@*.service"),
    ]
    what = [step.what for step in host.removal("travel-two", data=True).steps()]
    assert what[0].startswith("nginx's configuration")
    assert "site.json)" in what[-2]
    assert what.index(next(one for one in what if one.endswith("data/travel-two"))) > 1


def test_a_configuration_that_nginx_refuses_leaves_everything_as_it_was(host: Host) -> None:
    before = host.paths("travel")
    host.failing = "nginx -t"
    with pytest.raises(removal.Failure, match=r"nothing was removed, and the site serves as\s+before(?s:.*)it says no"):
        host.remove("travel")
    assert host.paths("travel") == before
    assert host.commands == ["nginx -t"]
    assert (host.folder / "nginx" / "sites-enabled" / "travel.conf").is_symlink()


@pytest.mark.parametrize(
    "failing", [*(f"systemctl {verb}" for verb in ("reload", "stop", "disable", "daemon-reload")), "userdel"]
)
def test_a_removal_that_ends_anywhere_is_completed_by_the_next_one(host: Host, failing: str) -> None:
    host.failing = failing
    with pytest.raises(removal.Failure, match="run again"):
        host.remove("travel", data=True)
    assert (host.folder / "etc" / "travel" / "site.json").exists(), "the record is removed last"
    if failing == "systemctl daemon-reload":
        host.states = {"travel.service": {"ActiveState": "inactive", "NeedDaemonReload": "yes"}}
    host.failing = ""
    host.commands.clear()
    host.remove("travel", data=True, backups=True, certificates=True)
    neighbour = host.paths("travel-two")
    assert host.paths("travel") == neighbour
    assert "systemctl daemon-reload" in host.commands or failing == "userdel"


def test_a_reload_that_was_noted_and_not_done_is_done(host: Host) -> None:
    host.remove("travel")
    live.note(contract.NGINX_RELOAD)
    host.states = {"nginx.service": {"ActiveState": "active"}}
    host.commands.clear()
    host.remove("travel")
    assert host.commands == ["nginx -t", "systemctl reload nginx.service"]


def test_with_consent_everything_goes_and_so_does_its_account(host: Host) -> None:
    host.remove("travel", data=True, backups=True, certificates=True)
    assert host.paths("travel") == host.paths("travel-two")
    assert {*host.accounts} == {"travel-two", "travel-two-build"}
    assert host.removal("travel").kept() == {}


def test_what_was_kept_can_be_removed_later(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.remove("travel")
    uid = os.lstat(host.site("travel")["data"]).st_uid
    host.accounts["travel"].pw_uid = uid or 990
    host.remove("travel", data=True, backups=True, certificates=True)
    assert host.paths("travel") == host.paths("travel-two")


def test_data_of_somebody_else_is_not_removed_without_a_record(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.remove("travel")
    monkeypatch.setattr(removal, "_owner", lambda _: 4711)
    with pytest.raises(removal.Failure, match="does not belong to the account travel"):
        host.remove("travel", data=True)
    assert Path(host.site("travel")["data"]).exists()


def test_an_account_that_is_not_the_role_s_stays(host: Host) -> None:
    host.accounts["travel"].pw_shell = "/bin/bash"
    host.remove("travel", data=True)
    assert "travel" in host.accounts


def test_an_account_that_another_site_runs_as_stays(host: Host) -> None:
    path = Path(host.site("travel-two")["site_json"])
    path.write_text(json.dumps({**json.loads(path.read_text()), "user": "travel"}))
    host.remove("travel", data=True)
    assert "travel" in host.accounts


def test_the_host_s_record_counts_and_not_what_the_inventory_says_now(host: Host) -> None:
    path = Path(host.site("travel")["site_json"])
    elsewhere = host.folder / "elsewhere"
    elsewhere.mkdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "user": "www-data", "data": str(elsewhere)}))
    host.remove("travel", data=True)
    assert not elsewhere.exists()
    assert Path(host.site("travel")["data"]).exists()
    assert "travel" in host.accounts, "www-data ran it"


def test_units_of_others_with_such_a_name_stay(host: Host) -> None:
    others = {"travel-agency.service": f"[Unit]\n{MARK}", "travel-backup.path": MARK, "travel-run.service": "[Unit]\n"}
    for name, text in others.items():
        (host.folder / "units" / name).write_text(text)
    host.remove("travel")
    assert {*others} <= {*os.listdir(host.folder / "units")}


def test_with_the_last_site_goes_what_all_share(host: Host) -> None:
    (host.folder / "shared").mkdir()
    (host.folder / "shared" / "managed.json").write_text("{}")
    (host.folder / "nginx" / "conf.d" / "unknown-hosts-80.conf").write_text("")
    (host.folder / "nginx" / "conf.d" / "own.conf").write_text("")
    host.remove("travel")
    assert (host.folder / "nginx" / "conf.d" / "unknown-hosts-80.conf").exists()
    host.remove("travel-two")
    assert os.listdir(host.folder / "nginx" / "conf.d") == ["own.conf"]
    assert not (host.folder / "shared").exists()
    assert not (host.folder / "tool").exists()
    assert not (host.folder / "run").exists()


def test_check_mode_names_the_same_and_touches_nothing(host: Host) -> None:
    before = host.paths("travel")
    named = [step.what for step in host.removal("travel", data=True).steps()]
    assert host.commands == []
    assert host.paths("travel") == before
    done = host.remove("travel", data=True)
    assert named[:-1] == done[: len(named) - 1]
