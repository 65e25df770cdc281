"""Fixtures: a visitor of the site, and the authority's DNS."""

from __future__ import annotations

from typing import Any

import pytest
from authority import Dns
from https import Browser


@pytest.fixture
def browser(operator: Any) -> Browser:
    """A new visitor."""
    return Browser(operator.address())


@pytest.fixture
def dns(operator: Any, host: Any) -> Dns:
    """Let names lead to the machine, or to another address."""

    def lead(*names: str, address: str = "") -> None:
        for name in names:
            host.check_output(f"authority dns {name} {address or operator.address()}")

    return lead
