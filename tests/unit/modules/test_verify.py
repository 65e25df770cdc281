"""The last layer fails if the running site does not respond as expected."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import probe
from ansible_collections.flaskblog.hosting.plugins.modules import verify as module


@pytest.fixture(autouse=True)
def journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "journal", lambda units: f"the journal of {units}")


def arguments(server: Any) -> dict[str, Any]:
    wanted = {"what": "the health path", "path": "/healthz"}
    site = {"name": "blog", "names": ["blog.test"], "host": "blog.test", "port": server.port, "site_key": "/no/key"}
    site["public_schemes"] = ["http"]
    return {"site": site, "probes": [wanted], "units": ["blog.service"], "timeout": 0}


def test_a_site_that_answers_is_verified(server: Any, run_module: Any) -> None:
    server.answers = {"/healthz": (200, b"")}
    outcome = run_module(module, **arguments(server))
    assert not outcome.failed
    assert outcome.said["changed"] is False
    assert len(server.asked) == 1


def test_a_site_that_does_not_is_a_failure_with_its_journal(server: Any, run_module: Any) -> None:
    server.answers = {"/healthz": (500, b"")}
    outcome = run_module(module, **arguments(server))
    assert outcome.failed
    assert outcome.said["problems"] == ["the health path (/healthz): answered 500"]
    assert "the journal of ['blog.service']" in outcome.said["msg"]


def test_check_mode_asks_nobody(server: Any, run_module: Any) -> None:
    assert not run_module(module, check_mode=True, **arguments(server)).failed
    assert server.asked == []
