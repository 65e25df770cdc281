# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Reserve the addresses of a site's socket unit before the first start and while flask_blog_bind changes.

nginx is configured for the new address before the unit listens there. An account that bound the port in between would
receive the visitors' requests and the proxy key.
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

#: Limits of the unit. It has no timeout: it runs until the activation has succeeded.
RESOURCES = {
    "LimitCORE": "0",
    "MemoryMax": "64M",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "SystemCallErrorNumber": "EPERM",
    "SystemCallFilter": "@system-service",
    "TasksMax": "4",
}


#: The process id of systemd, which owns the listening socket.
INIT = 1

#: The number of pidfd_getfd(2), for which Python has no function, on every architecture.
PIDFD_GETFD = 438


class HoldError(Exception):
    """An address cannot be reserved; no file was changed."""


def unit_name(name: str) -> str:
    """Return the name of the unit that reserves a site's addresses (blogctl's release/settings.py stops it)."""
    return f"{name}-hold.service"


def addresses(unit: str) -> list[str]:
    """Return the TCP addresses in the text of a socket unit. A Unix socket needs no reservation."""
    values = (line.partition("=")[2].strip() for line in unit.splitlines() if line.startswith("ListenStream="))
    return [value for value in values if value and not value.startswith("/")]


def moves(path: str, text: str) -> bool:
    """Return whether a socket unit gets other addresses by a new text.

    :param path: the unit's file, which may be missing.
    """
    return addresses(text) != addresses(_read(path))


def properties(wanted: Iterable[str]) -> dict[str, str]:
    """Return the properties of the unit: root without capabilities, in the host's network."""
    needs_capability = any(hold_program.split(address)[1] < FIRST_FREE_PORT for address in wanted)
    return {
        **RESOURCES,
        **cage.HARDENING,
        **cage.file_system(network=True),
        "CapabilityBoundingSet": "CAP_NET_BIND_SERVICE" if needs_capability else "",
    }


def start(name: str, path: str, text: str) -> None:
    """Reserve the old and the new addresses of a site's socket unit.

    :param path: the unit's file, which may be missing.
    :param text: the new content of the file.
    :raises HoldError: if another program uses a new address, or the unit does not start.
    """
    new, old = addresses(text), addresses(_read(path))
    every = list(dict.fromkeys([*new, *old]))
    if not every:
        return
    # This process reserves the addresses while the unit is restarted.
    with _reserved(name, new), _reserved(name, old, optional=True):
        subprocess.run(["systemctl", "--quiet", "stop", unit_name(name)], capture_output=True, check=False)
        cage.prepare()
        result = subprocess.run(command(name, every), capture_output=True, text=True, check=False)
        if result.returncode:
            why = result.stderr.strip() or f"systemd-run ended with status {result.returncode}"
            raise HoldError(
                f"{unit_name(name)}, which keeps {', '.join(every)} until {name}.socket listens, does not start: {why}."
                f" The site's files were not changed; 'journalctl -u {unit_name(name)}' may say more."
            )


def command(name: str, wanted: Sequence[str]) -> list[str]:
    """Return the command that starts the unit; it returns once the free addresses are bound."""
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
def _reserved(name: str, wanted: Iterable[str], optional: bool = False) -> Iterator[None]:
    """Reserve addresses while the block runs.

    :param optional: skip addresses that are in use.
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
    """Bind an address, even if the site's own socket listens there.

    :raises OSError: if another program uses it.
    """
    try:
        return hold_program.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not is_ours(name, address):
            raise
        allow_beside(address)
        return hold_program.bind(address)


def is_ours(name: str, address: str) -> bool:
    """Return whether the site itself listens at an address."""
    port = hold_program.split(address)[1]
    return bool(host.listeners(port)) and host.port_conflict(_port(name, address)) is None


def allow_beside(address: str, pid: int = INIT) -> None:
    """Set SO_REUSEPORT for a listening socket that systemd opened before its unit had C(ReusePort=yes).

    If the kernel does not permit this, the unit waits for the address, and another account may bind it first.
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
    """Duplicate a socket of another process (pidfd_getfd(2)).

    :raises OSError: if the kernel denies it, or the socket is closed.
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
    """Return the message for a new address that another program uses."""
    reason = host.port_conflict(_port(name, address)) or (
        f"flask_blog_bind: {address!r}: the port is taken by a program that does not listen there. Stop it, or give"
        " flask_blog_bind another port."
    )
    return f"{reason} It was taken after the plan was made; the site's files were not changed."
