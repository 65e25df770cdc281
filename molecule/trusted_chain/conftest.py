"""The ways to the blog of the machine that is tested."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from chain import ASK_THERE, NAME, Reply, ask
from machines import machine


@pytest.fixture(scope="module")
def addresses(operator: Any) -> dict[str, str]:
    """The addresses of the machines, and of these tests as the machines see them."""
    found = {name: type(operator)(machine(name), operator.folder).address() for name in ("cdn", "balancer")}
    with socket.create_connection((found["cdn"], 80), timeout=20) as connection:
        found["me"] = connection.getsockname()[0]
    return {**found, "blog": operator.address()}


@pytest.fixture(scope="module")
def through(operator: Any, addresses: dict[str, str]) -> Callable[..., Reply]:
    """Come through a proxy: through("cdn", 8000, path, headers, tls=...); its ports end with the machine's number."""
    number = int(operator.machine[-2:])

    def come(proxy: str, begin: int, *arguments: Any, **options: Any) -> Reply:
        return ask(addresses[proxy], begin + number, *arguments, **options)

    return come


@pytest.fixture(scope="module")
def claim(operator: Any, addresses: dict[str, str]) -> Callable[..., Reply]:
    """Ask the blog from one of the machines, and say anything of the client."""

    def ask_there(
        source: str,
        headers: Mapping[str, str] | None = None,
        *,
        first: str = "",
        tls: bool = False,
        to: str = "",
        user: str = "root",
    ) -> Reply:
        there = operator if source == "blog" else type(operator)(machine(source), operator.folder)
        target = (to or addresses["blog"], 443 if tls else 8080)
        return Reply(*there.python(ASK_THERE, *target, first, tls, NAME, headers or {}, user=user))

    return ask_there
