"""A group that would give the app root's rights, or that the host does not have, is refused."""

from __future__ import annotations

import grp
from types import SimpleNamespace

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import names


@pytest.fixture(autouse=True)
def groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host has no group but "disk"."""

    def group(name: str) -> SimpleNamespace:
        if name != "disk":
            raise KeyError(name)
        return SimpleNamespace(gr_gid=6)

    monkeypatch.setattr(grp, "getgrnam", group)


def problems(group: str) -> list[str]:
    return list(names.group_problems({"name": "blog", "user": "blog", "group": group}))


@pytest.mark.parametrize("group", ["docker", "disk", "shadow", "root", "adm", "sudo"])
def test_a_group_with_roots_rights_is_refused_with_the_remedy(group: str) -> None:
    (message,) = problems(group)
    assert message.startswith(f"flask_blog_group: {group!r}: its members can get root's rights")
    assert message.endswith("Choose another group for the blog, or leave it out.")


def test_a_group_that_the_host_does_not_have_is_refused_and_the_apps_own_is_made() -> None:
    (message,) = problems("writers")
    assert "the host has no such group" in message
    assert problems("blog") == []
