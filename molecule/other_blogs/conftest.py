"""Fixtures of the tests of other blogs: their sources, and deployments with other variables."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def sources(operator: Any) -> Path:
    """The machine's copies of the blogs."""
    return Path(os.environ["OTHER_BLOGS"], operator.machine[-2:])


@pytest.fixture
def deploy(operator: Any) -> Callable[..., Any]:
    """Deploy one blog of the machine, with other variables if a test gives them: deploy(blog, name=value)."""
    release = operator.machine[-2:]

    def run(blog: str, **variables: object) -> Any:
        extra = [f"--extra-vars={json.dumps({f'flask_blog_{name}': value})}" for name, value in variables.items()]
        return type(operator)(f"{blog}-{release}", HERE).play(*extra)

    return run


@pytest.fixture
def home(visit: Callable[..., Any]) -> Callable[[str], str]:
    """Read a blog's home page: home(blog)."""
    return lambda blog: str(visit(f"{blog}.example.com").ask("/").text)
