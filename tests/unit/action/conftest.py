"""Fixtures of the actions' tests: a blog, a host, and an action's run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from action_host import Host, Run
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.action import ActionBase
from ansible.template import Templar
from role_variables import role_variables

PLAN: dict[str, Any] = {"platforms": ["Debian_12", "Debian_13"], "packages": ["nginx"], "probes": []}


@pytest.fixture
def variables(role: Path, tmp_path: Path) -> dict[str, Any]:
    """The variables of a task in the role, for a blog in a temporary folder."""
    blog = tmp_path / "blog"
    (blog / "static").mkdir(parents=True)
    (blog / "app.py").write_text("app\n")
    (blog / "requirements.txt").write_text("flask\n")
    (blog / "static" / "blog.css").write_text("body {}\n")
    loader = DataLoader()
    found: dict[str, Any] = {"inventory_hostname": "blog.test", "role_path": str(role)}
    found |= role_variables(loader, role)
    return {**found, "flask_blog_source": str(blog)}


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def run(host: Host, variables: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run an action with arguments, some of the role's variables changed (without their prefix)."""

    def act(module: Any, arguments: dict[str, Any], check_mode: bool = False, **chosen: Any) -> dict[str, Any]:
        task_vars = {**variables, **{f"flask_blog_{name}": value for name, value in chosen.items()}}
        loader = DataLoader()
        loader.set_basedir("/nonexistent/playbooks")
        templar = Templar(loader=loader, variables=task_vars)
        shell = SimpleNamespace(tmpdir="/tmp/remote", join_path=lambda *parts: "/".join(parts))
        action = module.ActionModule(
            task=SimpleNamespace(args=templar.template(arguments), check_mode=check_mode, async_val=0, _role=None),
            connection=SimpleNamespace(_shell=shell),
            play_context=None,
            loader=loader,
            templar=templar,
            shared_loader_obj=None,
        )
        monkeypatch.setattr(ActionBase, "run", lambda *_, **__: {})
        monkeypatch.setattr(action, "_execute_module", host.module)
        monkeypatch.setattr(action, "_low_level_execute_command", host.command)
        monkeypatch.setattr(action, "_transfer_file", host.transfer)
        monkeypatch.setattr(action, "_remove_tmp_path", lambda _: None)
        return dict(action.run(task_vars=task_vars))

    return act


@pytest.fixture
def arguments(variables: dict[str, Any]) -> dict[str, Any]:
    names = {"site": "__flask_blog_site", "source": "__flask_blog_source", "objects": "__flask_blog_objects"}
    names["apt"] = "__flask_blog_apt"
    return {**PLAN, **{key: variables[name] for key, name in names.items()}}
