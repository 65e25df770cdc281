"""A module that is called without what it needs says so, and does nothing."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.modules import apply, operation, plan, unpack, venv, verify

NEEDED: dict[ModuleType, dict[str, Any]] = {
    apply: {"site": {}},
    operation: {"site": "blog", "operation": "rollback"},
    plan: {"site": {}, "platforms": [], "account": {}},
    unpack: {"site": {}, "release": {}},
    venv: {"site": {}, "release": {}},
    verify: {"site": {}, "probes": []},
}


@pytest.mark.parametrize(
    ("module", "missing"),
    [
        pytest.param(module, name, id=f"{module.__name__.rpartition('.')[2]}-{name}")
        for module in NEEDED
        for name in NEEDED[module]
    ],
)
def test_a_missing_argument_is_named(run_module: Any, module: ModuleType, missing: str) -> None:
    given = {name: value for name, value in NEEDED[module].items() if name != missing}
    outcome = run_module(module, **given)
    assert outcome.failed
    assert outcome.said["msg"] == f"missing required arguments: {missing}"


@pytest.mark.parametrize(
    ("name", "missing"), [("activate", "release"), ("restore", "backup"), ("maintenance", "maintenance")]
)
def test_what_an_operation_needs_is_named(run_module: Any, name: str, missing: str) -> None:
    outcome = run_module(operation, site="blog", operation=name)
    assert outcome.failed
    assert outcome.said["msg"] == f"operation is {name} but all of the following are missing: {missing}"
