"""A site that had another certificate before an authority issued one: a self-signed or a provided one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from acme_site import Authority, Nginx, lay, serve_https
from blogctl.certificate.preflight import WRONG, Finding
from blogctl.shared import issued
from blogctl.site import Site

BLOG = "blog.example.com"
ELSEWHERE = Finding(WRONG, "it leads elsewhere")


def serve_another_one(acme: Site, nginx: Nginx, days: float = 60) -> Path:
    """Serve the site over HTTPS with a certificate that the authority has not issued."""
    folder = lay(acme, days=days)
    (folder / issued.NOTE).unlink()
    serve_https(acme)
    nginx.load()
    return folder


def test_it_serves_until_the_authoritys_is_there(
    run: Any, acme: Site, authority: Authority, nginx: Nginx, findings: dict[str, Finding]
) -> None:
    folder = serve_another_one(acme, nginx)
    findings[BLOG] = ELSEWHERE
    run()
    assert acme.path("certificate").resolve() == folder
    findings[BLOG] = Finding("ready")
    assert run().issued is True
    assert acme.path("certificate").resolve() != folder


@pytest.mark.parametrize(("days", "alarms"), [(60, 0), (15, 0), (13, 1)])
def test_its_end_is_an_alarm_while_the_authority_issues_none(
    run: Any, acme: Site, nginx: Nginx, findings: dict[str, Finding], days: float, alarms: int
) -> None:
    """Nobody else renews it."""
    serve_another_one(acme, nginx, days)
    findings[BLOG] = ELSEWHERE
    found = run().alarms
    assert len(found) == alarms
    assert all("the certificate of before ends on" in text and "it leads elsewhere" in text for text in found)
