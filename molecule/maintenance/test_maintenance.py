"""Maintenance mode: who gets the page, who gets the site, and what does not end it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger import NAME, Book, copy_of_the_blog
from machines import machine

PLAYBOOK = "../../playbooks/maintenance.yml"
#: Sends one request and prints the answer's status.
ASK = (
    "import http.client\n"
    "c = http.client.HTTPConnection(args[0], 80, timeout=20)\n"
    f"c.request('GET', args[1], headers={{'Host': '{NAME}', **args[2]}})\n"
    "print(c.getresponse().status)"
)


@pytest.fixture
def stranger(operator: Any) -> Callable[..., int]:
    """A client on the scenario's other machine, whose address is not listed."""
    there = type(operator)(machine("stranger"), operator.folder)

    def ask(path: str = "/", **headers: str) -> int:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return int(there.python(ASK, operator.address(), path, sent))

    ask.address = there.address  # type: ignore[attr-defined]
    return ask


@pytest.fixture
def my_address(operator: Any) -> str:
    """The client address of the tests, as the machine sees it."""
    template = "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}"
    command = ["docker", "inspect", "--format", template, operator.machine]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def turn(operator: Any, on: bool, *arguments: str) -> int:
    """Run the playbook and return how many tasks changed something."""
    return int(operator.play(*arguments, "--extra-vars", f"flask_blog_maintenance={on}", playbook=PLAYBOOK).changed)


def from_the_host(operator: Any, path: str) -> set[int]:
    """Send requests from the machine itself, to the loopback address and to its public one."""
    return {operator.python(ASK, address, path, {}) for address in ("127.0.0.1", operator.address())}


def test_before_it_everybody_sees_the_site(visit: Callable[..., Any], stranger: Callable[..., int]) -> None:
    assert visit(NAME).ask("/").status == stranger() == 200


def test_check_mode_says_what_would_change_and_changes_nothing(operator: Any, visit: Callable[..., Any]) -> None:
    assert turn(operator, True, "--check") == 1
    assert turn(operator, False, "--check") == 0
    assert visit(NAME).ask("/").status == 200


def test_the_playbook_turns_it_on_once(operator: Any) -> None:
    assert turn(operator, True) == 1
    assert turn(operator, True) == 0
    assert turn(operator, True, "--check") == 0


@pytest.mark.parametrize("path", ["/", "/healthz", "/static/book.css", "/never-there"])
def test_visitors_get_the_page_and_are_told_when_to_come_back(visit: Callable[..., Any], path: str) -> None:
    answer = visit(NAME).ask(path)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "<h1>Back soon</h1>" in answer.text


def test_nothing_is_written_meanwhile(operator: Any, visit: Callable[..., Any]) -> None:
    before = Book.read(operator)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = visit(NAME).ask("/entries", headers, method="POST", body=b"text=now")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "300")
    assert Book.read(operator) == before


@pytest.mark.parametrize("path", ["/healthz", "/"])
def test_the_host_itself_sees_the_site(operator: Any, path: str) -> None:
    assert from_the_host(operator, path) == {200}


def test_blogctl_says_that_it_is_on(host: Any) -> None:
    assert host.check_output("blogctl maintenance") == "the maintenance page is on"
    assert "maintenance  on" in host.check_output("blogctl status")


def test_a_run_of_the_site_s_playbook_brings_a_release_and_does_not_end_it(
    host: Any, operator: Any, visit: Callable[..., Any], stranger: Callable[..., int], my_address: str, tmp_path: Path
) -> None:
    source = copy_of_the_blog(tmp_path)
    (source / "static" / "new.css").write_text("body { color: green; }\n")
    run = operator.play("--extra-vars", f'{{"source": "{source}", "allow": ["{my_address}"]}}')
    assert run.returncode == 0, run.output
    assert visit(NAME).ask("/static/new.css").status == 200, "a listed address sees the new release"
    assert visit(NAME).ask("/").status == 200
    assert stranger() == stranger("/static/new.css") == stranger("/healthz") == 503


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP"]
)
def test_a_forged_header_does_not_get_around_it(stranger: Callable[..., int], my_address: str, header: str) -> None:
    for listed in (my_address, "127.0.0.1"):
        value = f"for={listed}" if header == "Forwarded" else listed
        assert stranger("/", **{header: value}) == 503


def test_it_outlives_a_reboot(
    operator: Any, visit: Callable[..., Any], stranger: Callable[..., int], eventually: Callable[..., None]
) -> None:
    operator.reboot()

    def answers() -> bool:
        try:
            return bool(visit(NAME).ask("/").status == 200)
        except OSError:
            return False

    eventually(answers, 60)
    assert stranger() == 503
    assert from_the_host(operator, "/healthz") == {200}


def test_behind_a_trusted_proxy_the_visitor_s_address_counts(
    operator: Any, stranger: Callable[..., int], my_address: str
) -> None:
    proxy = stranger.address()  # type: ignore[attr-defined]
    run = operator.play("--extra-vars", f'{{"proxies": ["{proxy}"], "allow": ["{my_address}"]}}')
    assert run.returncode == 0, run.output
    assert stranger("/", X_Forwarded_For=my_address) == 200
    assert stranger("/", X_Forwarded_For="198.51.100.7") == 503
    assert stranger("/", X_Forwarded_For=f"{my_address}, 198.51.100.7") == 503, "the visitor wrote the first one"
    assert stranger() == 503, "the proxy itself"


def test_off_brings_the_site_back_for_everybody(
    operator: Any, visit: Callable[..., Any], stranger: Callable[..., int]
) -> None:
    assert turn(operator, False, "--check") == 1
    assert stranger() == 503
    assert turn(operator, False) == 1
    assert turn(operator, False) == 0
    assert visit(NAME).ask("/").status == stranger() == 200
