"""The hardened server, asked from the controller and from another machine; what reverts, and what is removed."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from machines import machine

NAME = "notes.example.com"
DROP_IN = "/etc/ssh/sshd_config.d/00-flask-blog-host.conf"
PENDING = "/var/lib/flask-blog-hosting/host/pending.json"
KEY = Path(__file__).parents[2] / ".dev" / "ssh" / "id_ed25519"
SSH = [
    "ssh",
    "-F",
    "none",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "LogLevel=ERROR",
]
#: Whether a port of a machine accepts a connection within three seconds.
CONNECT = """
import socket
with socket.socket() as client:
    client.settimeout(3)
    print(json.dumps(client.connect_ex((args[0], args[1])) == 0))
"""
#: Send a login form some times, as a client that guesses passwords does.
GUESS = """
import http.client
for _ in range(args[1]):
    try:
        c = http.client.HTTPConnection(args[0], 80, timeout=3)
        c.request('POST', '/login', body=b'password=guess', headers={'Host': 'notes.example.com', **args[2]})
        c.getresponse().read()
    except OSError:
        pass
"""


@pytest.fixture
def stranger(operator: Any) -> Any:
    """Another machine, which the server does not know."""
    return type(operator)(machine("stranger"), operator.folder)


@pytest.fixture
def reaches(operator: Any, stranger: Any) -> Callable[[int], bool]:
    """Whether the stranger can connect to a port of the server."""
    return lambda port: bool(stranger.python(CONNECT, operator.address(), port))


def rules(host: Any, table: str = "inet flask_blog_host") -> str:
    """Return the rules of a table; "" without one."""
    return str(host.run(f"nft --stateless list table {table}").stdout)


def harden(operator: Any, *arguments: str, **variables: Any) -> Any:
    """Run the role alone, with some variables changed."""
    return operator.play("--tags=host", "--extra-vars", json.dumps(variables), *arguments)


def methods(operator: Any) -> str:
    """Return how sshd lets somebody in, as it tells a client that offers nothing."""
    command = [*SSH, "-o", "PreferredAuthentications=none", f"admin@{operator.address()}", "true"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()


def log_in(operator: Any, *options: str, password: str = "") -> bool:
    """Return whether a login works, with a password or without."""
    script = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], f"password-{operator.machine}")
    script.write_text(f"#!/bin/sh\necho {password}\n")
    script.chmod(0o700)
    environment = {**os.environ, "SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force"}
    command = [*SSH, *options, f"admin@{operator.address()}", "true"]
    return subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False).returncode == 0


def with_a_password(operator: Any) -> bool:
    """Return whether the password of the account lets somebody in."""
    options = ("-o", "PreferredAuthentications=password", "-o", "PubkeyAuthentication=no")
    return log_in(operator, *options, password="correct-horse")


# -- what the network sees --------------------------------------------------------------------------------------------


def test_the_blog_and_ssh_are_open_and_nothing_else(
    reaches: Callable[[int], bool], visit: Callable[..., Any], host: Any
) -> None:
    assert "The first note" in visit(NAME).ask("/").text
    assert reaches(80)
    assert reaches(22)
    assert host.check_output("ss --listening --tcp --no-header 'sport = 9000'"), "somebody listens there"
    assert not reaches(9000)


def test_the_table_of_somebody_else_is_kept(host: Any) -> None:
    assert "tcp dport 7777 drop" in rules(host, "inet somebody")


def test_the_firewall_is_loaded_again_after_debians_own_service_has_flushed_all_tables(
    host: Any, eventually: Callable[..., None]
) -> None:
    before = rules(host)
    for actions in (["start"], ["restart"], ["reload"], ["stop", "start"]):
        for action in actions:
            host.check_output(f"systemctl {action} nftables.service")
        # A reload that systemd passes on is a job of its own.
        eventually(lambda: rules(host) == before, 10)
        assert host.check_output("systemctl is-active flask-blog-host-firewall.service") == "active"
    host.check_output("systemctl stop nftables.service")
    assert rules(host) == ""
    host.check_output("systemctl start flask-blog-host-firewall.service")
    assert rules(host) == before


def test_a_password_is_refused_and_a_key_is_not(operator: Any) -> None:
    assert methods(operator).endswith("Permission denied (publickey).")
    assert not with_a_password(operator)
    assert log_in(operator, "-o", f"IdentityFile={KEY}")


def test_the_journal_has_its_limit(host: Any) -> None:
    said = host.check_output("journalctl --unit systemd-journald --boot --no-pager --output cat")
    assert "max 32.0M" in said.splitlines()[-1] or "max 32M" in said.splitlines()[-1], said


def test_upgrades_are_installed_every_day_and_reboot_at_their_time(host: Any) -> None:
    settings = host.check_output("apt-config dump")
    assert 'APT::Periodic::Unattended-Upgrade "1";' in settings
    assert 'Unattended-Upgrade::Automatic-Reboot-Time "04:00";' in settings
    assert "Debian-Security" in settings
    for timer in ("apt-daily.timer", "apt-daily-upgrade.timer"):
        assert host.check_output(f"systemctl is-enabled {timer}") == "enabled"
        assert host.check_output(f"systemctl is-active {timer}") == "active"


def test_a_container_gets_no_swap_file_and_the_run_says_so(operator: Any, host: Any) -> None:
    run = harden(operator)
    assert run.changed == 0
    assert "no swap file was made: this host is a container" in " ".join(run.output.split())
    assert not host.file("/var/lib/flask_blog_swapfile").exists


# -- fail2ban ---------------------------------------------------------------------------------------------------------


def banned(host: Any) -> str:
    """Return the banned addresses of the blogs' jail."""
    return str(host.check_output("fail2ban-client get flask-blog-login banip")).strip()


def test_a_visitor_behind_a_trusted_proxy_is_banned_and_the_proxy_never(
    operator: Any, visit: Callable[..., Any], host: Any, eventually: Callable[..., None]
) -> None:
    for _ in range(8):
        visit(NAME).ask("/login", {"X-Forwarded-For": "198.51.100.66"}, method="POST", body=b"password=guess")
        visit(NAME).ask("/login", method="POST", body=b"password=guess")
    eventually(lambda: "198.51.100.66" in banned(host))
    assert banned(host) == "198.51.100.66", "eight guesses came from the proxy's own address as well"
    assert visit(NAME).ask("/").status == 200


def test_a_client_that_guesses_passwords_is_banned_from_the_blog(
    operator: Any, stranger: Any, reaches: Callable[[int], bool], host: Any, eventually: Callable[..., None]
) -> None:
    # A forged header does not turn the ban on somebody else.
    stranger.python(GUESS, operator.address(), 3, {})
    time.sleep(3)
    assert stranger.address() not in banned(host), "three guesses are an ordinary mistake"
    stranger.python(GUESS, operator.address(), 3, {"X-Forwarded-For": "203.0.113.5"})
    eventually(lambda: stranger.address() in banned(host))
    assert "203.0.113.5" not in banned(host)
    eventually(lambda: not reaches(80))
    assert reaches(22)
    host.check_output(f"fail2ban-client unban {stranger.address()}")
    eventually(lambda: reaches(80))


#: A line of nginx's access log in each format; what a client may choose is forged as far as nginx lets it.
JSON_LINE = (
    '{"time":"%(time)s","request_id":"0123456789abcdef0123456789abcdef","client":"192.0.2.9","method":"%(method)s",'
    '"host":"notes.example.com","path":"%(path)s","protocol":"HTTP/2.0","status":%(status)s,"bytes":1,'
    '"request_time":0.001,"user_agent":"%(agent)s","referer":""}'
)
COMBINED_LINE = '192.0.2.9 - - [%(time)s] "%(method)s %(path)s HTTP/2.0" %(status)s 1 "-" "%(agent)s"'


@pytest.mark.parametrize(
    ("line", "form"), [(JSON_LINE, "%Y-%m-%dT%H:%M:%S+00:00"), (COMBINED_LINE, "%d/%b/%Y:%H:%M:%S +0000")]
)
@pytest.mark.parametrize(
    ("failed", "chosen"),
    [
        (True, {}),
        (True, {"status": 429}),
        (True, {"path": "//auth//login/"}),
        (False, {"status": 302}),
        (False, {"method": "GET"}),
        (False, {"path": "/login/help"}),
        (False, {"path": "/", "agent": r"\",\"client\":\"198.51.100.1\",\"method\":\"POST\",\"path\":\"/login"}),
    ],
)
def test_the_filter_finds_failed_logins_in_each_format_of_the_log(
    host: Any, line: str, form: str, failed: bool, chosen: dict[str, Any]
) -> None:
    values = {
        "time": time.strftime(form, time.gmtime()),
        "method": "POST",
        "path": "/login",
        "status": 200,
        "agent": "x",
    }
    said = host.run("fail2ban-regex --out '<ip> <time>' %s flask-blog-login", line % {**values, **chosen}).stdout
    found = said.split()
    assert found[:1] == (["192.0.2.9"] if failed else []), said
    if failed:
        assert abs(float(found[1]) - time.time()) < 120, "the time of the line is read, in its own zone"


def test_the_jail_of_ssh_runs_and_knows_the_proxy(operator: Any, host: Any) -> None:
    assert "Currently banned" in host.check_output("fail2ban-client status sshd")
    gateway = host.check_output("ip route show default").split()[2]
    for jail in ("sshd", "flask-blog-login"):
        assert gateway in host.check_output(f"fail2ban-client get {jail} ignoreip")


# -- drift ------------------------------------------------------------------------------------------------------------


@pytest.mark.machine("12")
def test_a_manual_change_is_found_shown_and_corrected(operator: Any, host: Any, reaches: Callable[[int], bool]) -> None:
    before = rules(host)
    host.check_output("nft flush chain inet flask_blog_host input")
    host.check_output("nft add rule inet flask_blog_host input accept")
    host.check_output("sh -c 'echo SystemMaxUse=1G >>/etc/systemd/journald.conf.d/flask-blog-host.conf'")
    host.check_output("systemctl disable --quiet apt-daily.timer")
    assert reaches(9000)
    foreseen = harden(operator, "--check", "--diff")
    assert foreseen.changed == 1
    for word in ("-SystemMaxUse=1G", "-other rules", "-not enabled"):
        assert word in foreseen.output
    assert reaches(9000), "check mode changes nothing"
    assert harden(operator).changed == 1
    assert rules(host) == before
    assert not reaches(9000)
    assert host.check_output("systemctl is-enabled apt-daily.timer") == "enabled"
    assert harden(operator).changed == 0


# -- the way back -----------------------------------------------------------------------------------------------------


def test_rules_that_cut_the_operator_off_revert_by_themselves(
    operator: Any, host: Any, visit: Callable[..., Any], reaches: Callable[[int], bool]
) -> None:
    before, file = rules(host), host.check_output("cat /etc/flask-blog-hosting/firewall.nft")
    run = harden(operator, flask_blog_host_firewall_ssh_from=["192.0.2.0/24"])
    assert run.returncode != 0
    said = " ".join(run.output.split())
    assert "No new connection could confirm the change" in said
    assert "The host has reverted it by itself, is reachable again" in said
    assert rules(host) == before
    assert host.check_output("cat /etc/flask-blog-hosting/firewall.nft") == file
    assert not host.file(PENDING).exists
    assert visit(NAME).ask("/").status == 200
    assert not reaches(9000)
    assert harden(operator).changed == 0


def test_a_reboot_before_the_confirmation_brings_the_former_state(
    operator: Any, host: Any, visit: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    """The controller is cut off, and the server reboots. SSH's file, removed by hand, is a part of the change."""
    before = rules(host)
    host.check_output(f"rm {DROP_IN}")
    variables = {"flask_blog_host_firewall_ssh_from": ["192.0.2.0/24"], "flask_blog_host_revert_after": 600}
    command = ["ansible-playbook", "--inventory", os.environ["MOLECULE_EPHEMERAL_DIRECTORY"] + "/inventory"]
    command += ["--limit", operator.machine, "--tags=host", "--extra-vars", json.dumps(variables)]
    with subprocess.Popen(
        [*command, str(operator.folder / "converge.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as playbook:
        try:
            eventually(lambda: host.file(PENDING).exists and "192.0.2.0/24" in rules(host), 120)
            eventually(lambda: host.file(DROP_IN).exists)
        finally:
            playbook.kill()
    operator.reboot()
    eventually(lambda: rules(host) != "")
    eventually(lambda: not host.file(PENDING).exists)
    assert rules(host) == before, "the firewall is there after a reboot, as it was confirmed last"
    assert not host.file(DROP_IN).exists
    eventually(lambda: visit(NAME).ask("/").status == 200)
    eventually(lambda: log_in(operator, "-o", f"IdentityFile={KEY}"))
    assert harden(operator).changed == 1
    assert host.file(DROP_IN).exists
    assert methods(operator).endswith("Permission denied (publickey).")


# -- turned off -------------------------------------------------------------------------------------------------------


def test_what_is_turned_off_is_removed_and_nothing_else(
    operator: Any, host: Any, reaches: Callable[[int], bool], eventually: Callable[..., None]
) -> None:
    off: dict[str, Any] = {
        f"flask_blog_host_{name}": False for name in ("firewall", "ssh_keys_only", "upgrades", "fail2ban")
    }
    off |= {f"flask_blog_host_{name}": "" for name in ("upgrades_reboot", "journal_max", "swap")}
    # After the reboot, nobody listens there.
    host.check_output("systemd-run --quiet --unit=again python3 -m http.server 9000")
    host.check_output("nft add table inet somebody")
    assert not reaches(9000)
    assert harden(operator, **off).changed == 1
    assert rules(host) == ""
    assert "inet somebody" in host.check_output("nft list tables")
    eventually(lambda: reaches(9000))
    assert with_a_password(operator)
    names = "-name '*flask-blog-host[-.]*' -o -name 60flask-blog-host -o -path '*flask-blog-hosting/host*'"
    assert host.check_output(f"find /etc /usr/local/lib /var/lib -xdev {names}") == ""
    assert not host.file("/etc/flask-blog-hosting").exists
    for package, there in (("fail2ban", False), ("unattended-upgrades", False), ("nftables", True)):
        assert host.package(package).is_installed is there, package
    assert host.check_output("systemctl is-enabled apt-daily.timer || true") == "disabled"
    assert host.run("systemctl is-failed 'flask-blog-host*' fail2ban").stdout.strip().count("failed") == 0
    # The role is left out of the whole run now, and says nothing.
    again = operator.play("--extra-vars", json.dumps(off))
    assert again.changed == 0
    assert "plan | Check the variables, and compare the host with them" not in again.output


@pytest.mark.machine("13")
def test_without_ssh_no_run_turns_passwords_off(operator: Any, host: Any) -> None:
    variables: dict[str, Any] = {"ansible_connection": "community.docker.docker", "ansible_host": operator.machine}
    variables |= {"ansible_user": "root", "ansible_become": False}
    run = harden(operator, **variables)
    assert run.returncode != 0
    assert "not over SSH, so that it cannot prove that a key opens it" in " ".join(run.output.split())
    assert not host.file(DROP_IN).exists
