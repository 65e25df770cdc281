# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the hardening has to know of a host: SSH's ports, this run's connection, nginx's trusted proxies and logs."""

from __future__ import annotations

import contextlib
import glob
import ipaddress
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping

from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict

SSHD = "/usr/sbin/sshd"
DEFAULT_PORT = 22

NGINX = "/usr/sbin/nginx"
ACCESS_LOGS = "/var/log/nginx/*access.log"
TRUSTED = re.compile(r"^\s*set_real_ip_from\s+([0-9A-Fa-f.:/]+)\s*;", re.MULTILINE)

#: Processes from this one up to sshd's: the module's shell, sudo, a shell of the login.
ANCESTORS = 32
ENVIRONMENT_LIMIT = 2**18


def sshd_settings() -> dict[str, list[str]]:
    """Return sshd's effective settings by keyword; none of a host without sshd.

    :raises Conflict: if sshd refuses its configuration.
    """
    if not os.access(SSHD, os.X_OK):
        return {}
    os.makedirs("/run/sshd", 0o755, exist_ok=True)  # sshd asks for it, and ssh.service makes it when it starts
    done = subprocess.run([SSHD, "-T"], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise Conflict(
            f"sshd refuses its configuration, so that its ports and settings are unknown: {done.stderr.strip()}\n"
            "Nothing was changed. Correct the file that it names ('sshd -t' checks it), and run again."
        )
    settings = dict[str, list[str]]()
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        settings.setdefault(key.lower(), []).append(value)
    return settings


def ssh_ports(settings: Mapping[str, list[str]], connection: str) -> list[int]:
    """Return the ports that SSH needs: those of sshd, of a socket unit in its place, and of this run's connection.

    :param connection: C(SSH_CONNECTION) of this run, or "".
    """
    found = {int(port) for port in settings.get("port", []) if port.isdigit()}
    found |= {
        int(port) for address in settings.get("listenaddress", []) if (port := address.rpartition(":")[2]).isdigit()
    }
    if settings:
        found |= _socket_ports()
    if len(words := connection.split()) == 4:
        found.add(int(words[3]))
    return sorted(found) or [DEFAULT_PORT]


def _socket_ports() -> set[int]:
    done = subprocess.run(
        ["systemctl", "show", "ssh.socket", "--property=ActiveState,Listen"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "ActiveState=active" not in done.stdout:
        return set()
    return {int(port) for port in re.findall(r"^Listen=.*?:?(\d+) \(Stream\)", done.stdout, re.MULTILINE)}


def ssh_connection() -> str:
    """Return C(SSH_CONNECTION) of the login that this process belongs to; "" if it is none over SSH.

    sudo removes it from the environment, so that of the processes above this one is read.
    """
    pid = os.getpid()
    for _ in range(ANCESTORS):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as handle:
            for entry in handle.read(ENVIRONMENT_LIMIT).split(b"\0"):
                if entry.startswith(b"SSH_CONNECTION="):
                    return entry.partition(b"=")[2].decode("ascii", "replace")
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
                pid = int(handle.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return ""
        if pid <= 1:
            return ""
    return ""


def trusted_proxies(named: Iterable[str]) -> list[str]:
    """Return the networks that a site of this host trusts, by nginx's whole configuration, and those that are named.

    :raises Conflict: if nginx refuses its configuration: a proxy that is not known could be banned.
    """
    found = {name for name in named if _is_network(name)}
    if os.access(NGINX, os.X_OK):
        done = subprocess.run([NGINX, "-T"], capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            raise Conflict(
                "flask_blog_host_fail2ban: True: nginx refuses its configuration, so that the proxies it trusts are"
                f" unknown: {done.stderr.strip()}\nNothing was changed. Correct the file that it names, and run again."
            )
        found |= {network for network in TRUSTED.findall(done.stdout) if _is_network(network)}
    return sorted(found)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def access_logs() -> list[str]:
    """Return nginx's access logs. Rotated ones have another name."""
    return sorted(glob.glob(ACCESS_LOGS))


class Placeholders:
    """The texts that stand for facts of the host; each is found out once, and only if a text needs it."""

    def __init__(self, proxies: Iterable[str], connection: str) -> None:
        self._proxies = list(proxies)
        self._connection = connection
        self._known: dict[str, str] = {}
        self._settings: dict[str, list[str]] | None = None

    @property
    def sshd(self) -> dict[str, list[str]]:
        """sshd's effective settings."""
        if self._settings is None:
            self._settings = sshd_settings()
        return self._settings

    def forget_sshd(self) -> None:
        """Ask sshd again: its configuration has changed."""
        self._settings = None

    def ports(self) -> list[int]:
        """SSH's ports."""
        return ssh_ports(self.sshd, self._connection)

    def fill(self, text: str) -> str:
        """Replace the placeholders in a text."""
        found: dict[str, Callable[[], str]] = {
            "@SSH_PORTS@": lambda: ", ".join(map(str, self.ports())),
            "@IGNORED@": lambda: " ".join(trusted_proxies(self._proxies)),
            "@HAS_ACCESS_LOGS@": lambda: "true" if access_logs() else "false",
            "@ACCESS_LOGS@": lambda: "\n          ".join(access_logs()),
        }
        for name, find in found.items():
            if name in text:
                if name not in self._known:
                    self._known[name] = find()
                text = text.replace(name, self._known[name])
        return "".join(f"{line.rstrip()}\n" for line in text.splitlines())
