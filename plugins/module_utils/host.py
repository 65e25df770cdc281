# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Facts about a host: platform, packages, accounts, listeners. Only P(ensure_account) makes changes."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

DPKG_STATUS = "/var/lib/dpkg/status"
OS_RELEASE = "/etc/os-release"

#: What the role flaskblog.hosting.host knows of its earlier runs.
HARDENING = "/var/lib/flask-blog-hosting/host"

USERADD = "/usr/sbin/useradd"
#: Attempts to create an account, 0.2 s apart; another useradd(8) may hold the lock.
USERADD_TRIES = 15
#: Home and shell of an account without login and without files, such as the build account.
NOBODY_LOGS_IN = {"home": "/nonexistent", "shell": "/usr/sbin/nologin"}

#: The state of a listening socket in /proc/net/tcp (include/net/tcp_states.h).
TCP_LISTEN = "0A"


def parse_os_release(text: str) -> dict[str, str]:
    """Parse os-release(5): C(KEY=value) lines, values optionally quoted."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key: value.strip("\"'") for key, _, value in pairs}


def platform() -> str:
    """Return the platform as C(Debian_12): distribution and major version, as in the role's vars/."""
    with open(OS_RELEASE, encoding="utf-8") as handle:
        return platform_name(handle.read())


def platform_name(os_release: str) -> str:
    """Return the platform's name from the text of os-release(5)."""
    release = parse_os_release(os_release)
    return f"{release.get('ID', 'unknown').capitalize()}_{release.get('VERSION_ID', 'unknown').partition('.')[0]}"


def refusal(platform: str, uid: int, known: Iterable[str]) -> str | None:
    """Return why a host is not supported at all, or None.

    :param uid: the uid of the module on the host.
    :param known: the supported platforms.
    """
    if platform not in known:
        supported = ", ".join(name.replace("_", " ") for name in known)
        return (
            f"The platform {platform.replace('_', ' ')} is not supported; this role is tested on {supported}."
            " Use a server with one of these."
        )
    if uid != 0:
        return "The role needs root on the host, but was given an ordinary user. Add 'become: true' to the play."
    return None


def installed_packages(status: str, names: Iterable[str]) -> set[str]:
    """Return which of some packages dpkg has fully installed.

    :param status: the text of dpkg's status file; parsing it takes 10 ms, less than C(dpkg-query) or apt.
    """
    wanted = set(names)
    found = set()
    name = ""
    for line in status.splitlines():
        if line.startswith("Package: "):
            name = line[9:]
        elif line.startswith("Status: ") and name in wanted and line.endswith(" installed"):
            found.add(name)
    return found


def missing_packages(names: Iterable[str]) -> list[str]:
    """Return which of some packages are not installed, sorted."""
    with open(DPKG_STATUS, encoding="utf-8", errors="replace") as handle:
        return sorted(set(names) - installed_packages(handle.read(), names))


def hardened_by() -> str:
    """Return the inventory's name of the host that the role flaskblog.hosting.host hardened; "" if it did not."""
    try:
        with open(f"{HARDENING}/host.json", encoding="utf-8") as handle:
            return str(json.load(handle).get("owner", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def python_version() -> str:
    """Return the minor version of Debian's python3, such as C(3.11)."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def account_differs(wanted: Mapping[str, Any]) -> bool:
    """Return whether an account is missing, or is dedicated to the site but differs.

    A shared account, such as www-data, is not changed.
    """
    try:
        found = pwd.getpwnam(wanted["name"])
    except KeyError:
        return True
    return bool(wanted.get("dedicated")) and (found.pw_dir, found.pw_shell) != (wanted["home"], wanted["shell"])


def build_account(name: str) -> dict[str, Any]:
    """Return the wanted attributes of the build account, for P(account_differs)."""
    return {"name": name, "dedicated": True, **NOBODY_LOGS_IN}


def has_account(name: str) -> bool:
    """Return whether the host has an account."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def ensure_account(name: str) -> bool:
    """Create a system account without login and home, unless it exists.

    Two runs may do this at the same time; useradd(8) then fails in one of them, which tries again.

    :returns: whether it was created.
    :raises OSError: if the name belongs to root or to a group, or useradd fails; the message has its last line.
    """
    options = ["--system", "--user-group", "--no-create-home"]
    options += ["--home-dir", NOBODY_LOGS_IN["home"], "--shell", NOBODY_LOGS_IN["shell"]]
    for _ in range(USERADD_TRIES):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            done = subprocess.run([USERADD, *options, name], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return True
            said = done.stderr.strip().splitlines()
            time.sleep(0.2)
        else:
            if found.pw_uid == 0:
                raise OSError(f"the account {name} is root under another name; it must have no privileges")
            return False
    raise OSError(f"the account {name} cannot be made: {said[-1] if said else 'useradd gives no reason'}")


def processes_of(uid: int) -> list[int]:
    """Return the ids of processes with this uid as their real, effective, saved or file system uid."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and uid in _uids(name):
            found.append(int(name))
    return found


def wait_for_the_end(uid: int, limit: float) -> None:
    """Wait until an account has no process.

    :param limit: seconds.
    :raises TimeoutError: if it still has one after that.
    """
    deadline = time.monotonic() + limit
    while left := processes_of(uid):
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"the account {uid} still has processes after {limit:.0f} s: {', '.join(map(str, left))}. End them, and"
                " run again"
            )
        time.sleep(0.1)


def _uids(pid: str) -> set[int]:
    # The owner of /proc/PID is not enough: it is root for a process that is not dumpable (prctl(2)).
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as handle:
            line = next((line for line in handle if line.startswith("Uid:")), "")
    except OSError:
        return set()  # it has ended
    return {int(word) for word in line.split()[1:]}


def listening_inodes(table: str, port: int) -> set[str]:
    """Return the socket inodes that listen on a port, from the text of /proc/net/tcp or tcp6."""
    inodes = set()
    for line in table.splitlines()[1:]:
        columns = line.split()
        if columns[3] == TCP_LISTEN and int(columns[1].rpartition(":")[2], 16) == port:
            inodes.add(columns[9])
    return inodes


def listeners(port: int) -> list[tuple[int, str, str]]:
    """Return the listeners on a TCP port: process id, command and systemd unit ("" if it has none)."""
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as handle:
                inodes |= listening_inodes(handle.read(), port)
        except FileNotFoundError:
            continue  # a kernel without IPv6
    if not inodes:
        return []
    sockets = {f"socket:[{inode}]" for inode in inodes}
    return [(pid, command_of(pid), unit_of(pid)) for pid in _processes_with(sockets)]


def _processes_with(sockets: set[str]) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        folder = f"/proc/{name}/fd"
        try:
            if any(readlink(f"{folder}/{number}") in sockets for number in os.listdir(folder)):
                found.append(int(name))
        except OSError:
            continue  # it has ended
    return found


def readlink(path: str) -> str:
    """Return the target of a link; "" if it is gone."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def command_of(pid: int) -> str:
    """Return a process's name, as ps shows it."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as handle:
            return handle.read().strip()
    except OSError:
        return "?"


def unit_of(pid: int) -> str:
    """Return the systemd service that a process belongs to, from its control group."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as handle:
            match = re.search(r"/([^/\n]+\.service)(?:/|$)", handle.read(), re.MULTILINE)
    except OSError:
        return ""
    return match[1] if match else ""


def sockets_on(port: int) -> list[str]:
    """Return the socket units that listen on a port; systemd then holds the socket for their services."""
    result = subprocess.run(
        ["systemctl", "list-sockets", "--no-legend", "--no-pager", "--full"],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = (line.split() for line in result.stdout.splitlines())
    return [row[1] for row in rows if len(row) > 1 and row[0].rpartition(":")[2] == str(port)]


def port_conflict(wanted: Mapping[str, Any]) -> str | None:
    """Return a message that names the user of a port, or None if it is free or the site's."""
    found = listeners(wanted["port"])
    mine = set(wanted.get("units") or ())
    if not found or any(unit in mine for _, _, unit in found):
        return None
    if any(command in (wanted.get("commands") or ()) for _, command, _ in found):
        return None
    holders = [f"{unit or command} (process {pid})" for pid, command, unit in found if pid != 1]
    if not holders:
        sockets = sockets_on(wanted["port"])
        if mine.intersection(sockets):
            return None
        holders = sockets or ["systemd"]
    return (
        f"{wanted['variable']}: {wanted['value']!r}: port {wanted['port']} is taken by"
        f" {', '.join(sorted(set(holders)))}. Stop it, or give {wanted['variable']} another port."
    )
