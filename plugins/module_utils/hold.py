# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Keep the addresses of a site's socket unit while the site moves from one to another, or to its first one.

nginx is pointed at the new address some time before the unit listens there. Another account that took the port in
between would get the visitors' requests, and the key with which nginx speaks to gunicorn.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence

from ansible_collections.flaskblog.hosting.plugins.module_utils import cage, hold_program, host

PYTHON = "/usr/bin/python3"

#: Ports below this one need a capability (capabilities(7), CAP_NET_BIND_SERVICE).
FIRST_FREE_PORT = 1024

#: What the unit needs of the host. It stays until the activation has succeeded, as nginx's site names the address
#: until then; so it has no time limit.
RESOURCES = {
    "LimitCORE": "0",
    "MemoryMax": "64M",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "SystemCallErrorNumber": "EPERM",
    "SystemCallFilter": "@system-service",
    "TasksMax": "4",
}


#: systemd, which has the listening socket.
INIT = 1

#: The number of pidfd_getfd(2), for which Python has no function, on every architecture.
PIDFD_GETFD = 438


class HoldError(Exception):
    """An address cannot be kept; no file was changed."""


def unit_name(name: str) -> str:
    """Return the unit that keeps the addresses of a site (blogctl's release/settings.py stops it)."""
    return f"{name}-hold.service"


def addresses(unit: str) -> list[str]:
    """Return the TCP addresses in the text of a socket unit. A Unix socket in root's directory needs no holder."""
    values = (line.partition("=")[2].strip() for line in unit.splitlines() if line.startswith("ListenStream="))
    return [value for value in values if value and not value.startswith("/")]


def properties(wanted: Iterable[str]) -> dict[str, str]:
    """Return the properties of the unit: root's account without its powers, in the host's network."""
    needs_power = any(hold_program.split(address)[1] < FIRST_FREE_PORT for address in wanted)
    return {
        **RESOURCES,
        **cage.HARDENING,
        **cage.file_system(network=True),
        "CapabilityBoundingSet": "CAP_NET_BIND_SERVICE" if needs_power else "",
    }


def start(name: str, path: str, text: str) -> None:
    """Keep the addresses of a site's socket unit, those before and those after a change of the unit's file.

    :param path: the unit's file, which may be missing.
    :param text: what is to be in it.
    :raises HoldError: if somebody else has a new address, or the holder does not start.
    """
    new, old = addresses(text), addresses(_read(path))
    every = list(dict.fromkeys([*new, *old]))
    if not every:
        return
    # An earlier holder is replaced; this process keeps the addresses meanwhile.
    with _kept(name, new), _kept(name, old, optional=True):
        subprocess.run(["systemctl", "--quiet", "stop", unit_name(name)], capture_output=True, check=False)
        cage.prepare()
        result = subprocess.run(command(name, every), capture_output=True, text=True, check=False)
        if result.returncode:
            raise HoldError(
                f"{unit_name(name)}, which keeps {', '.join(every)} until {name}.socket listens, does not start:"
                f" {result.stderr.strip()}. The site's files were not changed; 'journalctl -u {unit_name(name)}' may"
                " say more."
            )


def command(name: str, wanted: Sequence[str]) -> list[str]:
    """Return the command that starts the holder and ends once it has bound what is free."""
    options = (f"--unit={unit_name(name)}", "--service-type=notify")
    text = cage.source_of(hold_program)
    return [
        *cage.command(f"Addresses of {name}", properties(wanted), options=options),
        *(PYTHON, "-I", "-c", text, *wanted),
    ]


def _read(path: str) -> str:
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as handle:
        return handle.read()
    return ""


@contextlib.contextmanager
def _kept(name: str, wanted: Iterable[str], optional: bool = False) -> Iterator[None]:
    """Keep addresses while the block runs.

    :param optional: leave out those that somebody has.
    """
    with contextlib.ExitStack() as stack:
        for address in wanted:
            try:
                stack.callback(hold_program.close, _bind(name, address))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise HoldError(
                        f"flask_blog_bind: {address!r}: it cannot be bound: {error.strerror}. The site's files were"
                        " not changed. Choose an address that this host has."
                    ) from error
                if not optional and not is_ours(name, address):
                    raise HoldError(taken(name, address)) from error
        yield


def _bind(name: str, address: str) -> list[socket.socket]:
    """Bind an address, also beside the site's own socket.

    :raises OSError: if somebody else has it.
    """
    try:
        return hold_program.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not is_ours(name, address):
            raise
        allow_beside(address)
        return hold_program.bind(address)


def is_ours(name: str, address: str) -> bool:
    """Say whether the site itself listens at an address."""
    port = hold_program.split(address)[1]
    return bool(host.listeners(port)) and host.port_conflict(_port(name, address)) is None


def allow_beside(address: str, pid: int = INIT) -> None:
    """Set SO_REUSEPORT for a listening socket that systemd has opened before its unit said C(ReusePort=yes).

    Where the kernel does not let root do that, the holder waits for the address and may lose it to another account.
    """
    wanted = hold_program.split(address)
    with contextlib.suppress(OSError):
        process = os.pidfd_open(pid)
        try:
            for number in os.listdir(f"/proc/{pid}/fd"):
                if host.readlink(f"/proc/{pid}/fd/{number}").startswith("socket:"):
                    _share(process, int(number), wanted)
        finally:
            os.close(process)


def _share(process: int, number: int, wanted: tuple[str, int]) -> None:
    """Set SO_REUSEPORT for a socket of another process, if it is a TCP socket at this address."""
    with contextlib.suppress(OSError), _copy_of(process, number) as one:
        internet = one.family in (socket.AF_INET, socket.AF_INET6) and one.type == socket.SOCK_STREAM
        if internet and one.getsockname()[:2] == wanted:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _copy_of(process: int, number: int) -> socket.socket:
    """Return a socket of another process (pidfd_getfd(2)).

    :raises OSError: if the kernel does not give it, or it is closed by now.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(PIDFD_GETFD, process, number, 0)
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return socket.socket(fileno=found)


def _port(name: str, address: str) -> dict[str, object]:
    return {
        "variable": "flask_blog_bind",
        "value": address,
        "port": hold_program.split(address)[1],
        "units": [f"{name}.socket", f"{name}.service"],
    }


def taken(name: str, address: str) -> str:
    """Say who has an address that the site is to get."""
    reason = host.port_conflict(_port(name, address)) or (
        f"flask_blog_bind: {address!r}: the port is taken by a program that does not listen there. Stop it, or give"
        " flask_blog_bind another port."
    )
    return f"{reason} It was taken after the plan was made; the site's files were not changed."
