"""A name that the authority cannot validate: the others keep what they have, and nobody is asked too often."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from acme_site import NAMES, Authority, Nginx, lay, serve_https, used
from blogctl.certificate import state
from blogctl.errors import Busy
from blogctl.host import locks
from blogctl.site import Site

BLOG, WWW = NAMES


def test_no_certificate_is_issued_twice_for_the_same_names(
    run: Callable[..., Any], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let's Encrypt issues five of them a week."""
    authority.unreachable = {WWW}
    assert run().issued is True
    real, passed = time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + passed)
    for _ in range(6):
        passed += state.WAIT + 5
        assert run().issued is False
    authority.unreachable = set()
    passed += 24 * 3600
    assert run().issued is True


def test_a_name_in_the_certificate_is_not_dropped_for_a_failure_that_may_pass(
    run: Callable[..., Any], acme: Site, authority: Authority, nginx: Nginx
) -> None:
    lay(acme, days=28, begins=28 - 90)
    serve_https(acme)
    nginx.load()
    authority.unreachable = {WWW}
    outcome = run()
    assert outcome.issued is False
    assert f"the certificate with {WWW} is kept for now" in outcome.problem
    assert used(acme).names == [BLOG, WWW]


def test_a_renewal_by_hand_that_cannot_be_used_now_says_so(
    run: Callable[..., Any], acme: Site, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setattr(
        "blogctl.certificate.obtain.locked", lambda site, operation: locks.locked(site, operation, wait=0)
    )
    with locks.locked(acme, "activate"), pytest.raises(Busy):
        run(renew=True)
