# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Transient systemd units for untrusted programs, with a private file system and without capabilities.

The modules of the collection and blogctl share this file; roles/flask_blog/files/blogctl/shared/cage.py is a link to
it. It needs only the standard library.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType

#: The empty root directory of all units; systemd mounts a new file system on it for each.
ROOT = "/run/flask-blog-hosting/root"

#: Host directories that programs need; a path with the prefix "-" may be missing (systemd.exec(5), BindPaths=).
SYSTEM = ("/usr", "-/bin", "-/sbin", "-/lib", "-/lib32", "-/lib64", "-/libx32", "/etc")

#: Possible targets of /etc/resolv.conf. Only the files: their directories also have sockets.
RESOLVER = tuple(
    f"-/run/{path}"
    for path in (
        "systemd/resolve/resolv.conf",
        "systemd/resolve/stub-resolv.conf",
        "resolvconf/resolv.conf",
        "NetworkManager/resolv.conf",
        "NetworkManager/no-stub-resolv.conf",
    )
)

#: From this version of systemd, a unit with a root directory gets the journal's sockets by default.
SHOWS_JOURNAL = 257

#: Restrictions for all units.
HARDENING = {
    "CapabilityBoundingSet": "",
    "LockPersonality": "yes",
    "NoNewPrivileges": "yes",
    "PrivateDevices": "yes",
    "PrivateIPC": "yes",
    "PrivateTmp": "yes",
    "ProcSubset": "pid",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectProc": "invisible",
    "ProtectSystem": "strict",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
}


def file_system(
    readable: Iterable[str] = (),
    writable: Mapping[str, str] | None = None,
    hidden: Iterable[str] = (),
    network: bool = False,
) -> dict[str, str]:
    """Return the properties that give a unit a private file system.

    It has the host's programs and /etc, read-only, and empty private /tmp and /var/tmp. Unix sockets of the host are
    not reachable in the file system; without a network, neither are abstract ones.

    :param readable: further read-only paths of the host; one with the prefix C(-) may be missing.
    :param writable: directories of the host, and the path of each in the unit. Root resolves the host's path by name,
        so only root may be able to write to its parent directories.
    :param hidden: inaccessible paths below the others.
    :param network: whether the unit shares the host's network.
    """
    writable = writable or {}
    found = {
        "RootDirectory": ROOT,
        "MountAPIVFS": "yes",
        "TemporaryFileSystem": "/ /dev/shm:mode=1777,size=64M",
        "BindReadOnlyPaths": " ".join([*SYSTEM, *(RESOLVER if network else ()), *readable]),
    }
    if unseen := " ".join(hidden):
        found["InaccessiblePaths"] = unseen
    if systemd_version() >= SHOWS_JOURNAL:
        found["BindLogSockets"] = "no"
    if writable:
        found["BindPaths"] = " ".join(f"{source}:{place}" for source, place in writable.items())
        found["ReadWritePaths"] = " ".join(writable.values())
    if not network:
        found["PrivateNetwork"] = "yes"
    return found


@functools.cache
def systemd_version() -> int:
    """Return the version of the host's systemd, such as 252; 0 if it is unknown."""
    result = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False)
    words = result.stdout.split()
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0


def prepare() -> None:
    """Create the root directory of units, which P(command) needs."""
    parent = os.path.dirname(ROOT)
    for path in (parent, ROOT):
        try:
            os.mkdir(path)
        except FileExistsError:
            continue
        os.chmod(path, 0o755)  # noqa: S103  (regardless of the umask)


def command(
    description: str,
    properties: Mapping[str, str | int | Sequence[str]],
    environment: Iterable[str] = (),
    options: Sequence[str] = ("--pipe", "--wait"),
) -> list[str]:
    """Return a command prefix that runs the appended command in a transient unit (systemd-run(1)).

    With C(--wait), it ends once every process of the unit has ended, with the exit status of the first one.

    :param description: of the unit; the default would be its command line.
    :param properties: of the unit, such as C({"User": "blog-build", **HARDENING, **file_system(...)}). A list repeats
        a property.
    :param environment: C(NAME=value), or C(NAME) for the value in this process. Every account of the host can read
        the variables while the unit runs.
    """
    return [
        "systemd-run",
        "--quiet",
        "--collect",
        "--service-type=exec",
        *options,
        f"--description={description}",
        *(
            f"--property={name}={value}"
            for name, values in properties.items()
            for value in (values if isinstance(values, list | tuple) else [values])
        ),
        *(f"--setenv={one}" for one in environment),
        "--",
    ]


def source_of(program: ModuleType) -> str:
    """Return the source of a module, which may be in Ansible's zip file."""
    # zipimporter has this method of importlib.abc.InspectLoader, and Ansible's own loader returns bytes.
    text: str | bytes = program.__loader__.get_source(program.__name__)  # type: ignore[union-attr]
    return os.fsdecode(text)
