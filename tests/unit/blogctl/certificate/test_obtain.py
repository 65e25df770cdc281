"""When an authority is asked, for which names, and what becomes of its answer."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from acme_site import DAY, DIRECTORY, NAMES, Answer, Authority, Nginx, lay, serve_https, used
from blogctl.certificate import describe, install, state
from blogctl.certificate.preflight import UNPROVEN, WRONG, Finding
from blogctl.errors import OperationError
from blogctl.host import locks, scheme
from blogctl.release import history
from blogctl.shared import contract, issued
from blogctl.shared.issued import CHAIN, KEY
from blogctl.site import Site

BLOG, WWW = NAMES
ELSEWHERE = Finding(WRONG, "it resolves to 192.0.2.9, which answers 404")


def test_the_first_certificate_is_for_all_names_and_the_site_changes_to_https(
    run: Any, acme: Site, authority: Authority, promoted: list[str], scheduled: list[bool]
) -> None:
    outcome = run()
    assert (outcome.issued, outcome.promoted, outcome.problem, outcome.missing) == (True, True, "", {})
    assert authority.asked == [[BLOG, WWW]]
    assert used(acme).names == [BLOG, WWW]
    assert promoted == ["https"]
    assert scheduled == [False, True], "for the case that it is killed meanwhile; then no more"
    folder = acme.path("certificate").resolve()
    assert (folder / KEY).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in acme.path("certificates").iterdir()] == [folder.name]


def test_a_good_certificate_is_left_alone(run: Any, acme: Site, authority: Authority, nginx: Nginx) -> None:
    run()
    before, reloads = used(acme), nginx.reloads
    outcome = run()
    assert (outcome.issued, outcome.promoted) == (False, False)
    assert (used(acme), nginx.reloads, len(authority.asked)) == (before, reloads, 1)


@pytest.mark.parametrize(
    ("lifetime", "age", "renewed"),
    [
        (6, 3.9, False),
        (6, 4.1, True),
        (45, 29, False),
        (45, 31, True),
        (64, 42, False),
        (64, 43, True),
        (90, 59, False),
        (90, 61, True),
    ],
)
def test_a_third_of_the_lifetime_before_its_end_it_is_renewed_whatever_the_lifetime(
    run: Any, acme: Site, nginx: Nginx, lifetime: float, age: float, renewed: bool
) -> None:
    folder = lay(acme, days=lifetime - age, begins=-age)
    serve_https(acme)
    nginx.load()
    assert run().issued is renewed
    assert (acme.path("certificate").resolve() != folder) is renewed
    assert folder.exists() is not renewed, "the key of before is removed"


def test_a_name_that_leads_elsewhere_does_not_keep_the_others_waiting(
    run: Any, acme: Site, authority: Authority, findings: dict[str, Finding], scheduled: list[bool]
) -> None:
    findings[WWW] = ELSEWHERE
    outcome = run()
    assert authority.asked == [[BLOG]]
    assert (outcome.issued, outcome.promoted, outcome.missing) == (True, True, {WWW: ELSEWHERE.reason})
    assert scheduled == [False, False]
    assert describe.status(acme)["missing"] == {WWW: ELSEWHERE.reason}
    assert run().issued is False
    assert len(authority.asked) == 1
    findings[WWW] = Finding("ready")
    assert run().issued is True
    assert used(acme).names == [BLOG, WWW]
    assert scheduled == [False, False, False, False, True]


def test_without_the_canonical_name_nothing_is_requested(
    run: Any, acme: Site, authority: Authority, findings: dict[str, Finding], promoted: list[str]
) -> None:
    findings[BLOG] = ELSEWHERE
    outcome = run()
    assert outcome.problem == f"{BLOG}, the first of flask_blog_server_names: {ELSEWHERE.reason}"
    assert (authority.asked, promoted, outcome.alarms) == ([], [], [])


def test_a_name_that_was_removed_is_in_the_next_certificate_no_more(run: Any, acme: Site, authority: Authority) -> None:
    run()
    acme.settings["names"] = [BLOG]
    assert run().issued is True
    assert used(acme).names == [BLOG]


def test_names_that_the_authority_cannot_validate_are_left_out_at_once_and_for_an_hour(
    run: Any, acme: Site, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.unreachable = {WWW}
    outcome = run()
    assert authority.asked == [[BLOG, WWW], [BLOG]]
    assert "could not validate it: unauthorized wrong file" in outcome.missing[WWW]
    assert outcome.promoted
    authority.unreachable = set()
    again = run()
    assert (again.issued, len(authority.asked)) == (False, 2)
    assert "asked again after" in again.missing[WWW]
    assert run(at_once=True).issued is True
    assert used(acme).names == [BLOG, WWW]


def test_a_refused_name_is_asked_for_again_after_the_hour(
    run: Any, acme: Site, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.unreachable = {WWW}
    run()
    authority.unreachable = set()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + state.WAIT + 5)
    assert run().issued is True
    assert used(acme).names == [BLOG, WWW]


def test_what_is_not_proven_is_for_the_authority_to_find_out(
    run: Any, authority: Authority, findings: dict[str, Finding]
) -> None:
    findings[WWW] = Finding(UNPROVEN, "it resolves to 203.0.113.7, and port 80 there does not answer (timed out)")
    assert run().issued is True
    authority.unreachable = {WWW}
    outcome = run(renew=True)
    assert "here, it resolves to 203.0.113.7" in outcome.missing[WWW]


def test_after_a_refusal_the_authority_is_left_alone_for_longer_and_longer(
    run: Any, acme: Site, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.refusal = Answer("urn:ietf:params:acme:error:rateLimited: too many", refused=True)
    assert DIRECTORY in run().problem
    assert len(authority.asked) == 1
    waits = []
    for _ in range(6):
        assert run().problem.count("asked again after") == 1
        known = state.read(acme)
        waits.append(known.wait - time.time())
        monkeypatch.setattr(time, "time", lambda until=known.wait: until + 1)
        run()
    assert len(authority.asked) == 7
    assert [round(wait / 3600) for wait in waits] == [1, 2, 4, 8, 12, 12]
    authority.refusal = None
    assert run(at_once=True).issued is True
    assert (state.read(acme).refusals, state.read(acme).wait) == (0, 0)


def test_an_authority_that_is_down_is_asked_at_the_next_attempt(
    run: Any, authority: Authority, scheduled: list[bool]
) -> None:
    authority.refusal = Answer("Connection refused")
    assert run().problem.endswith("issues no certificate: Connection refused")
    run()
    assert len(authority.asked) == 2
    assert scheduled == [False] * 4


def test_an_authority_that_is_down_is_no_alarm_before_the_last_quarter(
    run: Any, acme: Site, authority: Authority, nginx: Nginx
) -> None:
    authority.refusal = Answer("Connection refused")
    for left, alarms in ((28, 0), (22, 1)):
        lay(acme, days=left, begins=left - 90)
        serve_https(acme)
        nginx.load()
        outcome = run()
        assert len(outcome.alarms) == alarms, outcome
    assert "was not renewed" in outcome.alarms[0]
    assert "Connection refused" in outcome.alarms[0]


@pytest.mark.parametrize("left", [28, 13])
def test_a_name_is_dropped_from_a_renewal_only_when_time_runs_out(
    run: Any, acme: Site, authority: Authority, nginx: Nginx, findings: dict[str, Finding], left: int
) -> None:
    lay(acme, days=left, begins=left - 90)
    serve_https(acme)
    nginx.load()
    findings[WWW] = ELSEWHERE
    outcome = run()
    assert outcome.issued is (left == 13)
    assert used(acme).names == ([BLOG] if left == 13 else [BLOG, WWW])
    assert outcome.missing == {WWW: ELSEWHERE.reason}


def test_a_new_key_is_made_when_a_person_asks_for_it(run: Any, acme: Site) -> None:
    run()
    before = (acme.path("certificate") / KEY).read_text()
    assert run(renew=True).issued is True
    assert (acme.path("certificate") / KEY).read_text() != before


@pytest.mark.parametrize("name", [KEY, CHAIN])
def test_a_file_that_was_changed_or_removed_by_hand_is_replaced(run: Any, acme: Site, name: str) -> None:
    for damage in ("another\n", None):
        run()
        place = acme.path("certificate") / name
        if damage:
            place.write_text(damage)
        else:
            place.unlink()
        assert issued.reasons(acme.settings, time.time()) == [f"{name} of the certificate changed or missing"]
        assert run().issued is True
        assert issued.reasons(acme.settings, time.time()) == []


def test_another_authority_means_another_certificate(run: Any, acme: Site, authority: Authority) -> None:
    run()
    acme.settings["acme_directory"] = "https://other.test/directory"
    assert run().issued is True
    assert used(acme).directory == "https://other.test/directory"


def test_a_certificate_that_nginx_does_not_show_is_taken_back(
    run: Any, acme: Site, nginx: Nginx, scheduled: list[bool]
) -> None:
    run()
    before, nginx.stuck = acme.path("certificate").resolve(), True
    with pytest.raises(OperationError, match="does not serve the site with its new certificate") as failure:
        run(renew=True)
    assert "The one of before was put back." in str(failure.value)
    assert acme.path("certificate").resolve() == before
    assert scheduled[-1] is False
    assert "does not serve" in describe.status(acme)["problem"]
    assert [entry.result for entry in history.read(acme) if entry.operation == scheme.CERTIFICATE] == ["failed"]


def test_a_certificate_that_nobody_has_loaded_is_loaded_and_an_alarm_if_that_does_not_help(
    run: Any, acme: Site, nginx: Nginx
) -> None:
    run()
    nginx.loaded = ("/etc/blog/certificates/former", "https")
    assert run().alarms == []
    nginx.loaded, nginx.stuck = ("/etc/blog/certificates/former", "https"), True
    (alarm,) = run().alarms
    assert "visitors do not get the site with its certificate: the server shows another certificate" in alarm


@pytest.mark.parametrize("names", [["other.example.com"], [BLOG]])
def test_a_certificate_for_other_names_is_refused(run: Any, acme: Site, authority: Authority, names: list[str]) -> None:
    authority.names = names
    outcome = run()
    assert "is refused: it is for" in outcome.problem
    assert not outcome.promoted
    assert not acme.path("certificate").exists()
    assert list(acme.path("certificates").iterdir()) == [], "no key is left"


def test_a_certificate_that_has_ended_is_refused(run: Any, authority: Authority) -> None:
    authority.days = 0
    assert "this host's clock says" in run().problem


def test_what_was_issued_before_a_kill_is_used_without_another_request(
    run: Any, acme: Site, authority: Authority
) -> None:
    folder = lay(acme, use=False, days=80, begins=-1)
    assert run().issued is True
    assert (acme.path("certificate").resolve(), authority.asked) == (folder, [])


def test_a_deployment_does_not_wait_for_the_authority(
    run: Any, acme: Site, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = authority.ask

    def slow(site: Site) -> Answer:
        with locks.locked(site, "activate", wait=0):
            return ask(site)

    monkeypatch.setattr("blogctl.certificate.authority.ask", slow)
    assert run().promoted


def test_a_deployment_that_takes_long_is_not_disturbed_and_the_certificate_is_kept(
    run: Any, acme: Site, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "OPERATION_TIMEOUT", 0)
    with locks.locked(acme, "activate"):
        monkeypatch.setattr(
            "blogctl.certificate.obtain.locked", lambda site, operation: locks.locked(site, operation, wait=0)
        )
        assert "another operation" in run().problem
    assert run().promoted
    assert len(authority.asked) == 1


def test_a_dry_run_asks_no_authority_and_changes_nothing(
    run: Any, acme: Site, authority: Authority, scheduled: list[bool]
) -> None:
    outcome = run(dry_run=True)
    assert outcome.planned == f"would ask {DIRECTORY} for {BLOG}, {WWW} and would change the site to HTTPS"
    assert (authority.asked, scheduled, state.path_of(acme).exists()) == ([], [], False)
    run()
    assert run(dry_run=True).planned == ""


@pytest.mark.parametrize("tls", ["none", "provided"])
def test_a_site_with_another_certificate_is_refused(run: Any, acme: Site, tls: str) -> None:
    acme.settings["tls"] = tls
    with pytest.raises(OperationError, match=f"flask_blog_tls of blog is {tls}"):
        run()


@pytest.mark.parametrize("text", ["", "[]", '{"wait": "x"}', '{"waits": 3}', "\0", '{"wait": 1e300}'])
def test_a_damaged_state_is_an_empty_one(run: Any, acme: Site, text: str) -> None:
    state.path_of(acme).write_text(text)
    assert run().promoted


def test_a_clock_that_was_set_back_makes_nobody_wait_for_years(run: Any, acme: Site) -> None:
    state.path_of(acme).write_text(json.dumps({"wait": time.time() + 400 * DAY}))
    assert run().promoted


def test_the_note_of_a_reload_is_gone_once_nginx_has_loaded_the_certificate(run: Any, acme: Site, nginx: Nginx) -> None:
    run()
    run(renew=True)
    assert not install.Path(contract.NGINX_RELOAD).exists()


@pytest.mark.parametrize(("line", "warns"), [("", True), ("required-profile = shortlived\n", False)])
def test_a_profile_that_the_client_does_not_know_is_named_and_fails_nothing(
    run: Any, acme: Site, line: str, warns: bool
) -> None:
    """The role writes the line where certbot knows profiles, which that of Debian 12 does not."""
    acme.settings["acme_profile"] = "shortlived"
    (acme.path("acme") / "cli.ini").write_text(f"server = x\n{line}")
    outcome = run()
    assert outcome.promoted
    assert ["flask_blog_acme_profile is not used" in text for text in outcome.warnings] == [True] * warns
