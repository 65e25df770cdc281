# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Transient systemd units for programs that root does not trust: a file system of their own, no capabilities, an end.

Two programs share this file: the modules of the collection, and blogctl, which has a link to it
(roles/flask_blog/files/blogctl/shared/cage.py). It needs the standard library alone.
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType

#: The empty directory that a cage takes for its root; systemd mounts a new file system on it for each unit.
ROOT = "/run/flask-blog-hosting/root"

#: What programs need of the host; a path with "-" before it may be missing (systemd.exec(5), BindPaths=).
SYSTEM = ("/usr", "-/bin", "-/sbin", "-/lib", "-/lib32", "-/lib64", "-/libx32", "/etc")

#: What resolv.conf may lead to, outside /etc: the files alone, as sockets lie beside them.
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

#: The version of systemd from which on a unit with a root directory sees the journal's sockets, unless told otherwise.
SHOWS_JOURNAL = 257

#: What no program in a cage needs.
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
    """Return the properties that give a unit a file system with nothing in it but what is named here.

    The host's programs and /etc are there, read-only; /tmp and /var/tmp are empty and the unit's own. No Unix socket of
    the host can be reached, neither in the file system nor, without a network, an abstract one.

    :param readable: directories and files of the host at their own paths; one that starts with C(-) may be missing.
    :param writable: directories of the host, and the path that each has in the unit. Root resolves the first one by
        name, so nobody but root may be able to write to the directories above it.
    :param hidden: paths that are not to be seen although they lie below another one.
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
    """Return the version of the host's systemd, such as 252; 0 if it does not say."""
    result = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False)
    words = result.stdout.split()
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0


def prepare() -> None:
    """Make the directory that units take for their root. A unit can then be started with P(command)."""
    parent = os.path.dirname(ROOT)
    for path in (parent, ROOT):
        try:
            os.mkdir(path)
        except FileExistsError:
            continue
        os.chmod(path, 0o755)  # noqa: S103  (whatever the umask; everybody may pass through)


def command(
    description: str,
    properties: Mapping[str, str | int | Sequence[str]],
    environment: Iterable[str] = (),
    options: Sequence[str] = ("--pipe", "--wait"),
) -> list[str]:
    """Return the beginning of a command that runs the rest of it in a transient unit (systemd-run(1)).

    With C(--wait), it ends once every process of the unit has ended, with the exit status of the first one.

    :param description: what the unit is; systemd would take the command line for it.
    :param properties: of the unit, such as C({"User": "blog-build", **HARDENING, **file_system(...)}); one that may be
        given several times can have a list.
    :param environment: variables, as C(NAME=value). Every account of the host can read them while the unit lasts;
        C(NAME) alone takes the value of this process, and is as public.
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
    """Return the text of a module, which can lie in the zip file that Ansible brings."""
    # zipimporter has this method of importlib.abc.InspectLoader, and Ansible's own loader returns bytes.
    text: str | bytes = program.__loader__.get_source(program.__name__)  # type: ignore[union-attr]
    return os.fsdecode(text)
