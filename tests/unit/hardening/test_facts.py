"""What the hardening finds out about a host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.hardening import facts, firewall, swap
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict

ROOT = Path(__file__).parents[3]


def settings(**values: list[str]) -> dict[str, list[str]]:
    return dict(values)


@pytest.fixture
def socket_unit(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What systemctl says of ssh.socket."""
    said = ["ActiveState=inactive\n"]
    monkeypatch.setattr(facts.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=said[0], returncode=0))
    return said


def test_ssh_needs_all_of_its_ports_and_that_of_the_run(socket_unit: list[str]) -> None:
    of_sshd = settings(port=["22"], listenaddress=["[::]:2222", "192.0.2.9:22"])
    assert facts.ssh_ports(of_sshd, "") == [22, 2222]
    assert facts.ssh_ports(of_sshd, "192.0.2.1 50000 192.0.2.9 2022") == [22, 2022, 2222]
    assert facts.ssh_ports({}, "") == [22], "a port that nobody listens on does no harm"


def test_the_ports_of_a_socket_unit_count_if_it_listens(socket_unit: list[str]) -> None:
    socket_unit[0] = "Listen=[::]:2200 (Stream)\nListen=/run/x (Stream)\nActiveState=inactive\n"
    assert facts.ssh_ports(settings(port=["22"]), "") == [22]
    socket_unit[0] = socket_unit[0].replace("inactive", "active")
    assert facts.ssh_ports(settings(port=["22"]), "") == [22, 2200]


def test_the_connection_is_found_above_a_process_whose_environment_lacks_it() -> None:
    code = "from ansible.plugins.loader import init_plugin_loader\n"
    code += f"init_plugin_loader(['{ROOT}/collections'])\n"
    code += "from ansible_collections.flaskblog.hosting.plugins.module_utils.hardening import facts\n"
    code += "print(facts.ssh_connection())"
    command = ["sh", "-c", f'env -u SSH_CONNECTION {sys.executable} -c "$0"; true', code]
    environment = {**os.environ, "SSH_CONNECTION": "192.0.2.1 5 192.0.2.9 2022"}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "192.0.2.1 5 192.0.2.9 2022\n", found.stderr


def test_the_trusted_proxies_are_those_of_nginx_and_those_that_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nginx"
    lines = ["    set_real_ip_from 192.0.2.0/24;", "\tset_real_ip_from 2001:db8::/32;", "set_real_ip_from unix:;"]
    lines += ["# set_real_ip_from 203.0.113.9;", "listen 80;"]
    program.write_text("#!/bin/sh\ncat <<END\n" + "\n".join(lines) + "\nEND\n")
    program.chmod(0o755)
    monkeypatch.setattr(facts, "NGINX", str(program))
    assert facts.trusted_proxies(["198.51.100.7", "cloudflare"]) == ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]
    program.write_text("#!/bin/sh\necho 'unknown directive in x.conf:3' >&2\nexit 1\n")
    with pytest.raises(Conflict, match=r"proxies it trusts are unknown: unknown directive in x\.conf:3"):
        facts.trusted_proxies([])
    monkeypatch.setattr(facts, "NGINX", str(tmp_path / "none"))
    assert facts.trusted_proxies(["192.0.2.1"]) == ["192.0.2.1"], "without nginx, there are those that are named"


def test_the_texts_of_the_host_take_the_place_of_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "NGINX", str(tmp_path / "none"))
    monkeypatch.setattr(facts, "ACCESS_LOGS", str(tmp_path / "*access.log"))
    monkeypatch.setattr(facts, "sshd_settings", lambda: settings(port=["2022"]))
    monkeypatch.setattr(facts, "_socket_ports", set)
    text = "port = @SSH_PORTS@\nignoreip = ::1 @IGNORED@\nenabled = @HAS_ACCESS_LOGS@\nlogpath = @ACCESS_LOGS@\n"
    without = facts.Placeholders([], "").fill(text)
    assert without == "port = 2022\nignoreip = ::1\nenabled = false\nlogpath =\n"
    for name in ("a.access.log", "b.access.log", "b.access.log.1"):
        (tmp_path / name).touch()
    found = facts.Placeholders(["192.0.2.1"], "").fill(text)
    logs = f"logpath = {tmp_path}/a.access.log\n          {tmp_path}/b.access.log\n"
    assert found == "port = 2022\nignoreip = ::1 192.0.2.1\nenabled = true\n" + logs


def test_a_broken_sshd_is_refused_before_anything_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sshd"
    program.write_text("#!/bin/sh\necho 'line 3: Bad configuration option' >&2\nexit 255\n")
    program.chmod(0o755)
    monkeypatch.setattr(facts, "SSHD", str(program))
    monkeypatch.setattr(facts.os, "makedirs", lambda *_, **__: None)
    with pytest.raises(Conflict, match=r"line 3: Bad configuration option\nNothing was changed"):
        facts.sshd_settings()
    program.write_text("#!/bin/sh\necho 'port 22'; echo 'port 2022'; echo 'PermitRootLogin no'\n")
    assert facts.sshd_settings() == {"port": ["22", "2022"], "permitrootlogin": ["no"]}


# -- the firewall's table, and ports that it closes -------------------------------------------------------------------


def test_listeners_that_the_network_would_lose_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall, "public_ports", lambda: {22, 25, 80, 8005, 3306})
    monkeypatch.setattr(firewall.host, "listeners", lambda port: [(9, "mariadbd", "")] if port == 3306 else [])
    found = firewall.closed(["80", "8000-8010/tcp", "25/udp"], [22])
    assert found == ["25 (unknown)", "3306 (mariadbd)"]


def test_a_listener_of_the_loopback_is_not_one_of_the_network(server: Any) -> None:
    import socket

    with socket.socket() as local:
        local.bind(("127.0.0.1", 0))
        local.listen()
        ports = firewall.public_ports()
        assert server.port in ports
        assert local.getsockname()[1] not in ports


# -- swap -------------------------------------------------------------------------------------------------------------

MOUNTS = """\
20 1 0:1 / / rw - ext4 /dev/sda1 rw
21 20 0:2 / /var rw - btrfs /dev/sdb1 rw
22 20 0:3 / /variable rw - tmpfs tmpfs rw
23 21 0:4 / /var/lib rw shared:4 - xfs /dev/sdc1 rw
"""


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr(swap, "MOUNTS", str(tmp_path / "mountinfo"))


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize(
    ("path", "kind"), [("/swapfile", "ext4"), ("/var/x", "btrfs"), ("/var/lib/x", "xfs"), ("/variables/x", "ext4")]
)
def test_the_file_system_of_a_path_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert swap.file_system(path) == kind


@pytest.mark.usefixtures("mounts")
def test_a_container_and_a_file_system_that_cannot_have_one_get_no_swap_file(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = SimpleNamespace(returncode=0, stdout="docker\n")
    monkeypatch.setattr(swap.subprocess, "run", lambda *_, **__: inside)
    assert swap.impossible("/var/lib/x").startswith("this host is a container (docker)")
    inside.returncode = 1
    assert swap.impossible("/var/lib/x") == ""
    assert swap.impossible("/var/x") == "/var/x would lie on btrfs, and a swap file needs ext4 or XFS"


def test_a_swap_file_is_made_with_its_size_and_made_anew_for_another(tmp_path: Path) -> None:
    path = tmp_path / "swapfile"
    commands: list[tuple[str, ...]] = []
    wanted = {"path": str(path), "size": "1M"}
    swap.apply(wanted, "x.swap", lambda *command: commands.append(command))
    assert path.stat().st_size == 2**20
    assert path.stat().st_mode & 0o777 == 0o600
    assert commands == [("mkswap", f"{path}.new")]
    assert swap.compare(wanted) is None
    larger = {**wanted, "size": "2M"}
    assert (swap.compare(larger) or SimpleNamespace(reasons=[])).reasons == ["1 MB instead of 2 MB"]
    swap.apply(larger, "x.swap", lambda *command: commands.append(command))
    assert commands[1] == ("systemctl", "stop", "x.swap")
    assert path.stat().st_size == 2 * 2**20


def test_a_swap_file_that_would_fill_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = SimpleNamespace(f_bavail=1024 + 511, f_frsize=2**20)
    monkeypatch.setattr(swap.os, "statvfs", lambda _: free)
    wanted = {"path": str(tmp_path / "swapfile"), "size": "1G"}
    with pytest.raises(Conflict, match="has 1535 MB left, and 512 MB must stay free"):
        swap.compare(wanted)
    free.f_bavail += 1
    assert swap.compare(wanted)
