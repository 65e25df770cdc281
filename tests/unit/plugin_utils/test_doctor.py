"""One table of what is wrong on all hosts."""

from __future__ import annotations

from typing import Any

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.doctor import table


def result(*findings: dict[str, Any], site: str = "blog") -> dict[str, Any]:
    return {"details": {"site": site, "findings": list(findings)}}


NGINX = {
    "level": "error",
    "check": "nginx",
    "what": "nginx does not run",
    "fix": "Start it.",
    "command": "systemctl start nginx.service",
}
DNS = {"level": "warning", "check": "names", "what": "a.example has no address", "fix": "Change it.", "command": ""}


def test_errors_of_all_hosts_come_first_and_each_has_its_fix() -> None:
    found = table([("web1", result(DNS)), ("web22", result(NGINX)), ("web3", result())])
    assert found["lines"] == [
        "HOST   SITE  LEVEL    WHAT IS WRONG",
        "web22  blog  error    nginx: nginx does not run",
        "                      fix: systemctl start nginx.service",
        "web1   blog  warning  names: a.example has no address",
        "                      fix: Change it.",
        "web3   blog  healthy",
    ]
    assert found["summary"] == "1 error and 1 warning on 2 of 3 hosts; the table above has a fix for each."
    assert not found["healthy"]


def test_healthy_hosts_are_named_and_nothing_is_wrong() -> None:
    found = table([("web1", result()), ("web2", result(site="news"))])
    assert found["healthy"]
    assert found["summary"] == "All hosts are healthy."
    assert found["lines"][1:] == ["web1  blog  healthy", "web2  news  healthy"]


def test_a_host_that_cannot_be_examined_is_a_row_and_an_error() -> None:
    found = table([("web1", {"unreachable": True, "msg": "no route"}), ("web2", {"failed": True}), ("web3", None)])
    assert not found["healthy"]
    assert found["lines"][1] == "web1  -     error  it could not be examined: no route"
    assert sum("it did not answer" in line for line in found["lines"]) == 2


def test_a_host_cannot_forge_a_line_or_control_the_terminal() -> None:
    forged = {**NGINX, "what": "a\nweb9  blog  healthy\x1b[2J", "command": "x\ny"}
    lines = table([("web1", result(forged))])["lines"]
    assert len(lines) == 3
    assert "\x1b" not in "".join(lines)
