"""Every condition of the role's tasks is true or false. Ansible refuses a list, a text or a number instead of it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from role_variables import role_variables

ROLE = Path(__file__).parents[2] / "roles" / "flask_blog"
KEYWORDS = ("when", "until", "changed_when", "failed_when")

#: What a comparison finds: a host that was never set up, one with all to do, and one with nothing to do.
BARE = {"layers": ["packages", "account", "unpack", "venv", "state", "activate", "verify"], "release": {"live": None}}
NO_ACCOUNT = {"layers": ["account", "verify"], "release": {"live": "/opt/blog/releases/a"}}
NO_PACKAGE = {"layers": ["packages", "verify"], "release": {"live": "/opt/blog/releases/a"}}
NEW_CODE = {"layers": ["unpack", "activate", "verify"], "release": {"live": "/opt/blog/releases/a"}}
UNCHANGED = {"layers": [], "release": {"live": "/opt/blog/releases/a"}}


def conditions() -> Iterator[tuple[str, str]]:
    """Return the conditions of all tasks, each with its file."""
    for path in sorted((ROLE / "tasks").glob("*.yml")):
        for task in yaml.safe_load(path.read_text()):
            for keyword in KEYWORDS:
                found = task.get(keyword, [])
                for condition in found if isinstance(found, list) else [found]:
                    yield path.stem, str(condition)


@functools.cache
def declared() -> tuple[DataLoader, dict[str, Any]]:
    loader = DataLoader()
    return loader, role_variables(loader, ROLE)


def value_of(condition: str, plan: dict[str, Any]) -> Any:
    """Return what a condition gives after a comparison."""
    loader, variables = declared()
    installed = {"rc": 100, "stdout": "", "stderr": "E: Could not get lock"}
    found = {"__flask_blog_plan": plan, "__flask_blog_installed": installed, "ansible_check_mode": False}
    found["flask_blog_remove"] = "flask-blog"
    hosts = {"ansible_play_batch": ["a"], "hostvars": {"a": {"__flask_blog_doctor": {}}}}
    text = trust_as_template(f"{{{{ ({condition}) }}}}")
    return Templar(loader=loader, variables={**variables, **found, **hosts}).template(text)


def refusal_of_a_release() -> str:
    tasks = yaml.safe_load((ROLE / "tasks" / "release.yml").read_text())
    (condition,) = [task["when"] for task in tasks if "when" in task]
    return str(condition)


@pytest.mark.parametrize("condition", sorted(set(conditions())), ids=lambda one: " ".join(one))
def test_a_condition_is_true_or_false(condition: tuple[str, str]) -> None:
    for plan in (BARE, NO_ACCOUNT, NO_PACKAGE, NEW_CODE, UNCHANGED):
        assert isinstance(value_of(condition[1], plan), bool), plan


@pytest.mark.parametrize(
    ("plan", "refused"),
    [(BARE, True), (NO_ACCOUNT, True), (NO_PACKAGE, True), (NEW_CODE, False), (UNCHANGED, False)],
)
def test_a_release_of_code_alone_needs_a_host_that_is_set_up(plan: dict[str, Any], refused: bool) -> None:
    assert value_of(refusal_of_a_release(), plan) is refused
