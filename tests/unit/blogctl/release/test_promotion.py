"""From HTTP to HTTPS on the host: whole, or not at all, wherever it fails or is killed."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from acme_site import Nginx, lay, with_acme
from blogctl.errors import OperationError
from blogctl.host import scheme, systemd, visitors
from blogctl.host.releases import point_link
from blogctl.release import history, promotion, recovery
from blogctl.release.settings import keep_settings
from blogctl.shared import contract
from blogctl.site import Site
from fake_machine import Add, Machine, killed


@pytest.fixture
def nginx(site: Site, machine: Machine, old: Path, monkeypatch: pytest.MonkeyPatch) -> Nginx:
    """A site that serves HTTP and has a certificate."""
    with_acme(site)
    lay(site)
    found = Nginx(site)
    monkeypatch.setattr(contract, "REDIRECT_PAUSE", 0.0)
    monkeypatch.setattr(scheme, "load", found.load)
    monkeypatch.setattr(visitors, "problem", found.problem)
    return found


def copies(site: Site) -> Path:
    return Path(contract.settings_copies(site.name))


def nothing_is_pending(site: Site) -> bool:
    notes = [contract.no_redirect(site.name), *(contract.pending_path(site.name, what) for what in contract.PENDING)]
    return not any(map(os.path.exists, notes)) and not copies(site).exists()


def test_nginx_and_the_app_change_to_https_with_an_entry_in_the_journal(
    site: Site, machine: Machine, nginx: Nginx
) -> None:
    promotion.promote(site)
    assert (site.scheme.scheme, nginx.loaded[1]) == ("https", "https")
    assert machine.changes == ["restart blog-next.service", "restart blog.service", "stop --no-block blog-next.service"]
    (entry,) = history.read(site)
    assert (entry.operation, entry.result, entry.origin, entry.release) == ("promote", "done", "old", "old")
    assert nothing_is_pending(site)


@pytest.fixture
def new(site: Site, machine: Machine, nginx: Nginx) -> Callable[..., None]:
    """Let a site have its first release."""

    def activated(seconds: float = 0.0, origin: str | None = None, result: str = history.DONE) -> None:
        when = datetime.datetime.fromtimestamp(time.time() - seconds, datetime.UTC).isoformat()
        entry = history.Operation(1, "activate", "root", when, result, 1.0, origin, "old")
        history.journal_path(site).write_text(json.dumps(dataclasses.asdict(entry)) + "\n")

    return activated


def test_the_app_of_a_site_that_is_new_restarts_alone(
    site: Site, machine: Machine, new: Callable[..., None], nginx: Nginx
) -> None:
    new()
    promotion.promote(site)
    assert (site.scheme.scheme, nginx.loaded[1]) == ("https", "https")
    assert machine.changes == ["restart blog.service"]
    assert [entry.operation for entry in history.read(site)] == ["activate", "promote"]
    assert nothing_is_pending(site)


@pytest.mark.parametrize(
    "known",
    [{"seconds": 301}, {"seconds": -60}, {"origin": "older"}, {"result": history.FAILED}],
    ids=["for long", "by a clock that was wrong", "from an earlier release", "not served"],
)
def test_visitors_of_a_site_that_is_known_do_not_wait(
    site: Site, machine: Machine, new: Callable[..., None], known: dict[str, Any]
) -> None:
    new(**known)
    promotion.promote(site)
    assert machine.changes[0] == "restart blog-next.service"


def test_a_new_site_whose_app_does_not_start_over_https_is_served_by_http(
    site: Site, machine: Machine, new: Callable[..., None], nginx: Nginx
) -> None:
    new()
    answer = machine.answer
    machine.answer = lambda which, release: (
        "/healthz: answered 500" if site.scheme.scheme == "https" else answer(which, release)
    )
    with pytest.raises(OperationError, match="answered 500"):
        promotion.promote(site)
    assert (site.scheme.scheme, nginx.loaded[1]) == ("http", "http")
    assert machine.changes[-1] == "restart blog.service", "with its settings of before"
    assert nothing_is_pending(site)


def test_http_serves_pages_until_the_app_runs_with_its_new_settings(
    site: Site, machine: Machine, nginx: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirect that a browser keeps must not come before it is certain."""
    seen = []
    systemctl = machine.systemctl

    def watched(*words: str) -> None:
        seen.append(os.path.exists(contract.no_redirect(site.name)))
        systemctl(*words)

    monkeypatch.setattr(systemd, "systemctl", watched)
    promotion.promote(site)
    assert seen
    assert all(seen)


def test_a_site_that_does_not_answer_over_https_is_served_by_http_as_before(
    site: Site, machine: Machine, nginx: Nginx
) -> None:
    nginx.dead = {"https"}
    with pytest.raises(OperationError, match="The site cannot be served over HTTPS: no answer") as failure:
        promotion.promote(site)
    assert "It is served by HTTP as before." in str(failure.value)
    assert (site.scheme.scheme, nginx.loaded[1]) == ("http", "http")
    assert machine.changes == [], "the app was not touched"
    assert nothing_is_pending(site)


def test_nginx_that_refuses_its_configuration_keeps_http(
    site: Site, nginx: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = nginx.load

    def refuse() -> None:
        if site.scheme.scheme == "https":
            raise OperationError("nginx: [emerg] no such certificate")
        load()

    monkeypatch.setattr(scheme, "load", refuse)
    with pytest.raises(OperationError, match="emerg"):
        promotion.promote(site)
    assert site.scheme.scheme == "http"
    assert nothing_is_pending(site)


@pytest.mark.parametrize("where", ["next", "main"])
def test_an_app_that_does_not_start_with_its_new_settings_keeps_http(
    site: Site, machine: Machine, nginx: Nginx, where: str
) -> None:
    answer = machine.answer

    def sick_over_https(which: str, release: str) -> str | None:
        return "/healthz: answered 500" if which == where and site.scheme.scheme == "https" else answer(which, release)

    machine.answer = sick_over_https
    with pytest.raises(OperationError, match="answered 500"):
        promotion.promote(site)
    assert (site.scheme.scheme, nginx.loaded[1]) == ("http", "http")
    assert history.History.of(site).failed == {}, "the release is not to blame"
    assert nothing_is_pending(site)


def test_an_interrupt_stays_one_and_http_is_served(site: Site, nginx: Nginx, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> str:
        if site.scheme.scheme == "https":
            raise KeyboardInterrupt
        return ""

    monkeypatch.setattr(visitors, "problem", interrupt)
    with pytest.raises(KeyboardInterrupt):
        promotion.promote(site)
    assert site.scheme.scheme == "http"
    assert nothing_is_pending(site)


def test_notes_of_a_deployment_that_was_interrupted_stay_if_it_fails(site: Site, nginx: Nginx) -> None:
    keep_settings(site)
    nginx.dead = {"https"}
    with pytest.raises(OperationError):
        promotion.promote(site)
    assert site.pending("activate").exists()
    assert copies(site).exists()


@pytest.mark.parametrize("reached", ["begun", "linked", "nginx", "app"])
def test_a_promotion_that_was_killed_is_undone(site: Site, machine: Machine, nginx: Nginx, reached: str) -> None:
    """Whatever nginx and the app had loaded."""
    keep_settings(site)
    Path(contract.no_redirect(site.name)).touch()
    if reached != "begun":
        contract.replace_link(site.path("config") / "scheme", scheme.target_of(site, "https"))
    if reached in ("nginx", "app"):
        nginx.load()
    killed(site, "old", promotion.PROMOTE)
    with contextlib.suppress(OSError):
        recovery.recover(site)
    assert (site.scheme.scheme, nginx.loaded[1]) == ("http", "http")
    assert "restart blog.service" in machine.commands, "the settings that it runs with are not known here"
    (entry,) = history.read(site)
    assert entry.result == history.INTERRUPTED
    assert nothing_is_pending(site)


def test_an_app_that_does_not_start_after_a_killed_promotion_blocks_no_later_release(
    site: Site, machine: Machine, nginx: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_settings(site)
    contract.replace_link(site.path("config") / "scheme", scheme.target_of(site, "https"))
    nginx.load()
    killed(site, "old", promotion.PROMOTE)

    def refuse(*arguments: str) -> None:
        if "restart" in arguments:
            raise OperationError("it does not start")
        machine.systemctl(*arguments)

    monkeypatch.setattr(systemd, "systemctl", refuse)
    with contextlib.suppress(OSError):
        assert "it does not start" in recovery.recover(site)
    (entry,) = history.read(site)
    assert entry.result == history.INTERRUPTED


def test_a_promotion_that_was_killed_at_its_end_stays(site: Site, machine: Machine, nginx: Nginx) -> None:
    promotion.promote(site)
    Path(contract.no_redirect(site.name)).touch()
    killed(site, "old", promotion.PROMOTE)
    machine.commands.clear()
    recovery.recover(site)
    assert site.scheme.scheme == "https"
    assert "restart blog.service" not in machine.commands
    assert nothing_is_pending(site)


def test_after_a_boot_nginx_and_the_app_agree_and_nothing_is_undone(site: Site, machine: Machine, nginx: Nginx) -> None:
    contract.replace_link(site.path("config") / "scheme", scheme.target_of(site, "https"))
    killed(site, "old", promotion.PROMOTE)
    recovery.recover(site)
    assert site.scheme.scheme == "https"
    assert "restart blog.service" not in machine.commands


def test_nginx_loads_a_certificate_whose_change_was_killed(site: Site, nginx: Nginx) -> None:
    promotion.promote(site)
    folder = lay(site)
    killed(site, "old", scheme.CERTIFICATE)
    recovery.recover(site)
    assert nginx.loaded == (str(folder), "https")


@pytest.mark.parametrize(
    ("state", "words"),
    [("no release", "no release is live yet"), ("stopped", "does not run"), ("moving", "run the playbook again")],
)
def test_a_site_that_does_not_run_is_not_changed(
    site: Site, machine: Machine, nginx: Nginx, add_release: Add, state: str, words: str
) -> None:
    assert promotion.obstacle(site) == ""
    if state == "no release":
        site.path("link").unlink()
    elif state == "stopped":
        machine.active.clear()
    else:
        site.pending("socket").touch()
    assert words in promotion.obstacle(site)
    point_link(site, str(site.path("releases") / "old"))
