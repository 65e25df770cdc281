"""Fixtures of the tests of certificates: a site, its authority, nginx, and a clock."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from acme_site import NAMES, Authority, Nginx, silent, with_acme
from blogctl.certificate import authority as client
from blogctl.certificate import obtain, preflight, state
from blogctl.certificate.preflight import READY, Finding
from blogctl.host import journal, scheme, systemd, visitors
from blogctl.host.run_as_app import Output
from blogctl.release import promotion
from blogctl.shared import cage, contract
from blogctl.site import Site


@pytest.fixture
def acme(site: Site) -> Site:
    """A site that is to get a certificate, and is served by HTTP."""
    return with_acme(site)


@pytest.fixture
def authority(acme: Site, monkeypatch: pytest.MonkeyPatch) -> Authority:
    found = Authority(acme)
    monkeypatch.setattr(client, "ask", found.ask)
    return found


@pytest.fixture
def nginx(acme: Site, monkeypatch: pytest.MonkeyPatch) -> Nginx:
    monkeypatch.setattr(contract, "NGINX_RELOAD", f"{contract.RUNTIME}/nginx.reload")
    found = Nginx(acme)
    monkeypatch.setattr(scheme, "load", found.load)
    monkeypatch.setattr(visitors, "problem", found.problem)
    return found


@pytest.fixture
def promoted(acme: Site, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Changes to HTTPS; release/test_promotion.py tests how."""
    done: list[str] = []

    def promote(site: Site) -> None:
        contract.replace_link(site.path("config") / "scheme", scheme.target_of(site, "https"))
        scheme.load()
        done.append("https")

    monkeypatch.setattr(promotion, "promote", promote)
    monkeypatch.setattr(promotion, "obstacle", lambda _: "")
    return done


@pytest.fixture
def scheduled(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each attempt was the last one for some time."""
    found: list[bool] = []
    monkeypatch.setattr(state, "schedule", lambda _, *, is_complete: found.append(is_complete))
    return found


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    """What is found out about each name."""
    found = dict.fromkeys(NAMES, Finding(READY))
    monkeypatch.setattr(preflight, "examine", lambda _site, names, _resolver: {name: found[name] for name in names})
    return found


Obtain = Callable[..., obtain.Outcome]


@pytest.fixture
def run(
    acme: Site,
    authority: Authority,
    nginx: Nginx,
    promoted: list[str],
    scheduled: list[bool],
    findings: dict[str, Finding],
    monkeypatch: pytest.MonkeyPatch,
) -> Obtain:
    """Run C(blogctl certificate)."""
    monkeypatch.setattr(systemd, "start_recovery", lambda _: None)
    monkeypatch.setattr(systemd, "is_active", lambda _: False)
    monkeypatch.setattr(systemd, "systemctl", silent)
    monkeypatch.setattr(obtain, "recover_locked", lambda _: "")
    monkeypatch.setattr(journal, "log", lambda *_: None)
    return lambda **chosen: obtain.obtain(acme, **chosen)


@pytest.fixture
def started(acme: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Run a program in place of certbot, without its unit; returns how it was called."""
    called: dict[str, Any] = {"runs": 0}
    program = tmp_path / "certbot"
    logged: list[str] = []

    @contextlib.contextmanager
    def start(site: Site, unit: str, _: str, properties: Any, environment: list[str], arguments: list[str]) -> Any:
        called.update(unit=unit, properties=properties, environment=environment, arguments=arguments)
        called["runs"] += 1
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert process.stdout
            yield process, Output(site, process.stdout.fileno())

    monkeypatch.setattr(client, "started", start)
    monkeypatch.setattr(client, "CERTBOT", str(program))
    monkeypatch.setattr(cage, "prepare", lambda: None)
    monkeypatch.setattr(journal, "log", lambda _, text: logged.append(text))

    def install(text: str) -> None:
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)

    called |= {"install": install, "logged": logged}
    return called
