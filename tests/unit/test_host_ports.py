"""A port that another program has is a conflict; one that the site has is none."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import host
from planned_host import BIND, HTTP


@pytest.mark.parametrize(
    ("wanted", "listeners", "sockets"),
    [
        (BIND, [], []),
        (BIND, [(7, "gunicorn", "blog.service")], []),
        (BIND, [(1, "systemd", "")], ["blog.socket"]),
        (BIND, [(1, "systemd", ""), (7, "gunicorn", "blog.service")], []),
        (HTTP, [(9, "nginx", "nginx.service")], []),
    ],
)
def test_a_port_that_is_free_or_ours_is_no_conflict(
    monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], listeners: list[tuple[int, str, str]], sockets: list[str]
) -> None:
    monkeypatch.setattr(host, "listeners", lambda _: listeners)
    monkeypatch.setattr(host, "sockets_on", lambda _: sockets)
    assert host.port_conflict(wanted) is None


@pytest.mark.parametrize(
    ("wanted", "listeners", "sockets", "holder"),
    [
        (HTTP, [(9, "apache2", "apache2.service")], [], "apache2.service (process 9)"),
        (BIND, [(7, "gunicorn", "other.service")], [], "other.service (process 7)"),
        (BIND, [(7, "flask", "")], [], "flask (process 7)"),
        (BIND, [(1, "systemd", "")], ["other.socket"], "other.socket"),
        (BIND, [(1, "systemd", "")], [], "systemd"),
    ],
)
def test_a_port_of_somebody_else_is_a_conflict_that_names_holder_and_variable(
    monkeypatch: pytest.MonkeyPatch,
    wanted: dict[str, Any],
    listeners: list[tuple[int, str, str]],
    sockets: list[str],
    holder: str,
) -> None:
    monkeypatch.setattr(host, "listeners", lambda _: listeners)
    monkeypatch.setattr(host, "sockets_on", lambda _: sockets)
    message = host.port_conflict(wanted)
    assert message is not None
    assert message.startswith(f"{wanted['variable']}: {wanted['value']!r}: port {wanted['port']} is taken by {holder}.")
    assert message.endswith(f"give {wanted['variable']} another port.")
