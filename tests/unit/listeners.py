"""Sockets that listen as programs and systemd do, for the tests of addresses that are reserved."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

#: An account that is neither root nor this process's.
STRANGER = 65534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="another account can be tried by root alone")


def open_socket(host: str, port: int, *, reuse: bool, reuse_port: bool) -> socket.socket:
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
    return one


def listening(host: str, port: int, *, reuse: bool = True, reuse_port: bool = True) -> socket.socket:
    """Listen as systemd does for a unit with C(ReusePort=yes)."""
    one = open_socket(host, port, reuse=reuse, reuse_port=reuse_port)
    try:
        one.bind((host, port))
        one.listen(5)
    except OSError:
        one.close()
        raise
    return one


@contextlib.contextmanager
def another_account() -> Iterator[None]:
    os.seteuid(STRANGER)
    try:
        yield
    finally:
        os.seteuid(0)


def can_listen(host: str, port: int) -> bool:
    """Return whether an account can bind an address in any way."""
    for reuse in (True, False):
        for reuse_port in (True, False):
            with contextlib.suppress(OSError):
                listening(host, port, reuse=reuse, reuse_port=reuse_port).close()
                return True
    return False


def is_free(place: str, port: int) -> bool:
    """Return whether nothing has bound an address."""
    with contextlib.suppress(OSError):
        listening(place, port, reuse=False, reuse_port=False).close()
        return True
    return False
