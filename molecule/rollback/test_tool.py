"""blogctl on the command line: with and without a terminal, completion, and exit statuses."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from ledger import NAME, served


def test_a_command_runs_as_the_app_without_a_terminal(host: Any, visit: Callable[..., Any]) -> None:
    code = "import getpass, os; print(getpass.getuser(), os.environ['FLASK_BLOG_RELEASE'], os.isatty(0)); exit(7)"
    said = host.run("blogctl run -- python -c %s </dev/null", code)
    assert said.rc == 7
    assert said.stdout.split() == ["flask-blog", served(visit), "False"]
    assert host.check_output("echo 1+1 | blogctl run -- python -c 'print(input())'") == "1+1"


def test_a_command_does_not_outlive_the_one_who_started_it(host: Any) -> None:
    assert host.run("timeout 4 blogctl run -- sleep 600 </dev/null").rc == 124
    assert host.check_output("systemctl list-units --no-legend --plain 'flask-blog-run-*'") == ""


def test_a_shell_of_the_app_works_on_a_terminal(operator: Any) -> None:
    """docker exec passes a terminal through, and the test types into it."""
    master, terminal = pty.openpty()
    command = ["docker", "exec", "--interactive", "--tty", operator.machine, "blogctl", "run", "--", "flask", "shell"]
    shell = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    try:
        assert b"App: app" in read_until(master, b">>> ")
        os.write(master, b"import os; print('is', 'a terminal' if os.isatty(0) else 'none')\r")
        assert b"is a terminal" in read_until(master, b"is a terminal")
        os.write(master, b"exit(5)\r")
        assert shell.wait(timeout=30) == 5
    finally:
        shell.kill()
        os.close(master)


def read_until(terminal: int, words: bytes) -> bytes:
    """Read from a terminal until a text appears."""
    said = b""
    while words not in said:
        ready, _, _ = select.select([terminal], [], [], 30)
        assert ready, f"it says no more after {said!r}"
        said += os.read(terminal, 4096)
    return said


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["st"], ["status"]),
        (["maintenance", ""], ["off", "on"]),
        (["--site", ""], ["flask-blog"]),
        (["run", "--", "flas"], ["flask"]),
    ],
)
def test_the_tab_key_offers_what_may_come_next(host: Any, typed: list[str], offered: list[str]) -> None:
    """bash itself completes, with the file that bash-completion would load."""
    words = " ".join(f"'{word}'" for word in ["blogctl", *typed])
    code = (
        "source /usr/local/share/bash-completion/completions/blogctl; complete -p blogctl >/dev/null || exit 1;"
        f" COMP_WORDS=({words}); COMP_CWORD={len(typed)}; _blogctl; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    assert host.check_output("bash -c %s", code).split() == offered


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_the_tab_key_offers_releases_to_people_without_root_too(
    host: Any, visit: Callable[..., Any], user: str
) -> None:
    code = "COMP_WORDS=(blogctl activate ''); COMP_CWORD=2; _blogctl; echo \"${COMPREPLY[@]}\""
    file = "/usr/local/share/bash-completion/completions/blogctl"
    offered = host.check_output("runuser -u %s -- bash -c %s", user, f"source {file}; {code}").split()
    known = {one["id"] for one in json.loads(host.check_output("blogctl releases --json"))["releases"]}
    assert set(offered) == known - {served(visit)}


def test_without_root_the_remedy_is_named(host: Any) -> None:
    said = host.run("runuser -u nobody -- /usr/local/sbin/blogctl status")
    assert said.rc == 1
    assert "use sudo" in said.stderr


def test_the_exit_status_says_whether_the_site_serves(
    host: Any, visit: Callable[..., Any], eventually: Callable[..., None]
) -> None:
    assert host.run("blogctl status").rc == 0
    host.check_output("systemctl stop flask-blog.socket flask-blog.service")
    down = host.run("blogctl status --json")
    host.check_output("systemctl start flask-blog.socket flask-blog.service")
    assert down.rc == 6
    assert json.loads(down.stdout)["serves"] is False
    eventually(lambda: visit(NAME).ask("/").status == 200)
    eventually(lambda: host.run("blogctl status").rc == 0)


def test_an_id_that_is_not_there_is_refused_and_nothing_is_recorded(host: Any, visit: Callable[..., Any]) -> None:
    before, live = host.check_output("cat /opt/flask-blog/operations.jsonl"), served(visit)
    for command in ("activate", "rollback"):
        for release in ("deadbeef", "../releases", f"{live}/../{live}"):
            said = host.run("blogctl %s %s", command, release)
            assert said.rc == 1
            assert "there is no release" in said.stderr
    assert host.check_output("cat /opt/flask-blog/operations.jsonl") == before
    assert served(visit) == live
