"""Fixtures: a visitor of the site."""

from __future__ import annotations

from typing import Any

import pytest
from https import Browser


@pytest.fixture
def browser(operator: Any) -> Browser:
    """A new visitor."""
    return Browser(operator.address())
