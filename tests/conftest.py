"""Fixtures of the tests that need no machine: the checkout as the collection, and the role's programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROLE = ROOT / "roles" / "flask_blog"

os.environ["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
# Commands of the tests' own environment (ansible-playbook, gixy), even if it is not on PATH.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
sys.path.insert(0, str(ROLE / "files"))

from ansible.plugins.loader import init_plugin_loader  # noqa: E402  (reads the configuration named above)

init_plugin_loader([str(ROOT / "collections")])


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def role() -> Path:
    """The role's folder."""
    return ROLE
