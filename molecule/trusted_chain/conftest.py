"""The ways to the blog of the machine that is tested."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from chain import ASK_THERE, IPV6, NAME, Reply, ask
from machines import machine

#: The machine from which somebody comes who is no proxy.
OTHER = {"debian12": "debian13", "debian13": "debian12"}


@pytest.fixture(scope="module")
def addresses(operator: Any) -> dict[str, str]:
    """The addresses of the machines, those of IPv6 with a 6, and of these tests as the machines see them."""
    names = {"cdn": "cdn", "balancer": "balancer", "other": OTHER[operator.machine.rpartition("-")[2]]}
    found = {name: type(operator)(machine(full), operator.folder).address() for name, full in names.items()}
    with socket.create_connection((found["cdn"], 80), timeout=20) as connection:
        me = connection.getsockname()[0]
    found["blog"] = operator.address()
    sixes = {f"{name}6": str(ipaddress.ip_address(f"{IPV6}{address}")) for name, address in found.items()}
    return {**found, **sixes, "me": me}


@pytest.fixture(scope="module")
def number(operator: Any) -> int:
    """What the proxies' ports end with that lead to this machine."""
    return int(operator.machine[-2:])


@pytest.fixture(scope="module")
def through(addresses: dict[str, str], number: int) -> Callable[..., Reply]:
    """Come through a proxy: through("cdn", 8000, path, headers, tls=...)."""

    def come(proxy: str, begin: int, *arguments: Any, **options: Any) -> Reply:
        return ask(addresses[proxy], begin + number, *arguments, **options)

    return come


@pytest.fixture(scope="module")
def claim(operator: Any, addresses: dict[str, str]) -> Callable[..., Reply]:
    """Ask from one of the machines, and say anything of the client; the blog, if no other address and port is named."""

    def ask_there(
        source: str,
        headers: Mapping[str, str] | None = None,
        *,
        path: str = "/",
        first: str = "",
        tls: bool = False,
        to: str = "blog",
        port: int = 0,
        user: str = "root",
    ) -> Reply:
        full = {"blog": operator.machine, "other": machine(OTHER[operator.machine.rpartition("-")[2]])}
        there = type(operator)(full.get(source) or machine(source), operator.folder)
        target = addresses.get(to, to), port or (443 if tls else 8080)
        return Reply(*there.python(ASK_THERE, *target, path, first, tls, NAME, headers or {}, user=user))

    return ask_there
