"""Facts about a host, read from texts as Debian writes them."""

from __future__ import annotations

import io
import os
import pwd
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import host

BOOKWORM = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
# a comment = not a key
ID=debian
HOME_URL='https://www.debian.org/'
"""

DPKG = """\
Package: nginx
Status: install ok installed
Priority: optional
Description: small, powerful web server
 Package: not this one

Package: python3-venv
Status: deinstall ok config-files

Package: nginx-common
Status: install ok half-configured
"""


# Columns: sl local rem st tx:rx tr:when retrnsmt uid timeout inode
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1111 1 0 100 0 0 10 0
   1: 0100007F:1F40 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 2222 1 0 20 4 30 10 -1
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3333 1 0 100 0 0 10 0
"""


def test_os_release_is_read_with_and_without_quotes() -> None:
    release = host.parse_os_release(BOOKWORM)
    assert release["ID"] == "debian"
    assert release["VERSION_ID"] == "12"
    assert release["HOME_URL"] == "https://www.debian.org/"
    assert not any("comment" in key for key in release)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BOOKWORM, "Debian_12"),
        ('ID=debian\nVERSION_ID="13"\n', "Debian_13"),
        ('ID=ubuntu\nVERSION_ID="24.04"\n', "Ubuntu_24"),
        ("ID=debian\n", "Debian_unknown"),
    ],
)
def test_the_platform_is_named_as_the_role_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: str
) -> None:
    (tmp_path / "os-release").write_text(text)
    monkeypatch.setattr(host, "OS_RELEASE", str(tmp_path / "os-release"))
    assert host.platform() == expected


def test_only_a_package_that_is_fully_installed_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["nginx", "nginx-common", "python3-venv", "unheard-of"]
    assert host.installed_packages(DPKG, names) == {"nginx"}
    (tmp_path / "status").write_text(DPKG)
    monkeypatch.setattr(host, "DPKG_STATUS", str(tmp_path / "status"))
    assert host.missing_packages(names) == ["nginx-common", "python3-venv", "unheard-of"]


def test_only_listeners_of_the_port_count() -> None:
    assert host.listening_inodes(TCP, 8000) == {"1111"}
    assert host.listening_inodes(TCP, 80) == {"3333"}
    assert host.listening_inodes(TCP, 443) == set()


def test_who_listens_is_found_by_process_and_command() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found = host.listeners(listening.getsockname()[1])
        port = listening.getsockname()[1]
    assert [(pid, command) for pid, command, _ in found] == [(os.getpid(), host.command_of(os.getpid()))]
    assert host.listeners(port) == [], "the port is free again"


@pytest.mark.parametrize("missing", ["/proc/net/tcp", "/proc/net/tcp6"])
def test_a_kernel_without_one_of_the_protocols_shows_the_listeners_of_the_other(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    def look(table: str, **_: object) -> io.StringIO:
        if table == missing:
            raise FileNotFoundError(table)
        return io.StringIO(TCP)

    monkeypatch.setattr(host, "open", look, raising=False)
    monkeypatch.setattr(host, "_processes_with", lambda sockets: [7] if sockets == {"socket:[1111]"} else [])
    monkeypatch.setattr(host, "command_of", lambda _: "gunicorn")
    monkeypatch.setattr(host, "unit_of", lambda _: "blog.service")
    assert host.listeners(8000) == [(7, "gunicorn", "blog.service")]


def test_a_process_that_is_gone_has_no_name_and_no_unit() -> None:
    assert host.command_of(2**22 + 1) == "?"
    assert host.unit_of(2**22 + 1) == ""


def test_socket_units_are_found_by_their_port(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "127.0.0.1:8000 other.socket other.service\n[::]:80 web.socket web.service\n/run/x x.socket x.service\n"
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, stdout=rows))
    assert host.sockets_on(8000) == ["other.socket"]
    assert host.sockets_on(80) == ["web.socket"]
    assert host.sockets_on(800) == []


def test_an_account_exists_or_does_not() -> None:
    assert host.has_account(pwd.getpwuid(os.getuid()).pw_name) is True
    assert host.has_account("blog-absent") is False


def test_an_account_of_ours_must_be_unable_to_log_in() -> None:
    found = pwd.getpwuid(os.getuid())
    wanted = {"name": found.pw_name, "home": found.pw_dir, "shell": found.pw_shell, "dedicated": True}
    assert not host.account_differs(wanted)
    assert host.account_differs({**wanted, "shell": "/nonexistent/shell"})
    assert host.account_differs({**wanted, "name": "nobody-has-this-name"})


def test_a_shared_account_is_left_as_it_is() -> None:
    name = pwd.getpwuid(os.getuid()).pw_name
    assert not host.account_differs({"name": name, "home": "/else", "shell": "/else", "dedicated": False})


class Useradd:
    """useradd(8) and the accounts that it has made; the first C(busy) calls find its files locked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, busy: int = 0) -> None:
        self.commands: list[list[str]] = []
        self.accounts = {"root": 0}
        self.busy = busy
        monkeypatch.setattr(pwd, "getpwnam", self.found)
        monkeypatch.setattr(subprocess, "run", self.run)
        monkeypatch.setattr(time, "sleep", lambda _: None)

    def found(self, name: str) -> pwd.struct_passwd:
        uid = self.accounts[name]
        return pwd.struct_passwd((name, "x", uid, uid, "", "/nonexistent", "/usr/sbin/nologin"))

    def run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if len(self.commands) <= self.busy:
            return subprocess.CompletedProcess(
                command, 1, stderr="useradd: cannot lock /etc/passwd; try again later.\n"
            )
        self.accounts[command[-1]] = 990
        return subprocess.CompletedProcess(command, 0, stderr="")


def test_the_build_account_is_made_once_and_cannot_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    useradd = Useradd(monkeypatch)
    assert host.ensure_account("blog-build") is True
    assert host.ensure_account("blog-build") is False
    (command,) = useradd.commands
    line = " ".join(command)
    for option in ("--system", "--no-create-home", "--home-dir /nonexistent", "--shell /usr/sbin/nologin"):
        assert option in line


def test_an_account_is_made_although_somebody_else_makes_one_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Useradd(monkeypatch, busy=3).commands == []
    assert host.ensure_account("blog-build") is True


def test_an_account_that_cannot_be_made_is_an_error_with_the_last_words_of_useradd(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Useradd(monkeypatch, busy=1000)
    with pytest.raises(OSError, match=r"blog-build cannot be made: .*cannot lock /etc/passwd"):
        host.ensure_account("blog-build")


def test_root_under_another_name_is_no_build_account(monkeypatch: pytest.MonkeyPatch) -> None:
    Useradd(monkeypatch).accounts["blog-build"] = 0
    with pytest.raises(OSError, match="root under another name"):
        host.ensure_account("blog-build")


def test_the_build_account_that_is_made_is_the_one_that_the_plan_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = host.build_account("blog-build")
    useradd = Useradd(monkeypatch)
    host.ensure_account("blog-build")
    assert {wanted["home"], wanted["shell"], wanted["name"]} <= set(useradd.commands[0])
    assert wanted["dedicated"] is True


def test_processes_of_an_account_are_found_even_if_they_hide_their_memory() -> None:
    # PR_SET_DUMPABLE (4): /proc/PID is root's then.
    code = "import ctypes, sys; ctypes.CDLL(None).prctl(4, 0); print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert process.pid in host.processes_of(os.getuid())
        assert process.pid not in host.processes_of(os.getuid() + 1)
        process.kill()


def test_an_account_without_processes_is_not_waited_for_and_one_with_some_is_an_error() -> None:
    host.wait_for_the_end(4_000_000_000, 0)
    with pytest.raises(TimeoutError, match=f"still has processes after 0 s: .*{os.getpid()}"):
        host.wait_for_the_end(os.getuid(), 0)
