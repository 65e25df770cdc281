"""Get a site its certificate, renew it, let nginx serve it, and watch over that, as C(blogctl certificate) does."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import FAILURES, Busy, OperationError
from ..host import journal, scheme, systemd
from ..host.locks import certificate_alone, locked
from ..release import promotion
from ..release.recovery import recover_locked
from ..shared import issued
from ..shared.printable import printable
from ..site import Site
from . import authority, install, material, preflight, state
from .choice import Choice, Have, choose
from .preflight import Resolver


@dataclass
class Outcome:
    """What was done, and what is still wrong."""

    #: whether a new certificate is used, and whether the site has changed to HTTPS
    issued: bool = False
    promoted: bool = False
    #: what would be done (--dry-run)
    planned: str = ""
    #: why there was no more to be done
    problem: str = ""
    #: names that the certificate lacks, each with the reason
    missing: dict[str, str] = field(default_factory=dict)
    #: what a person must look at; the unit fails with it
    alarms: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def obtain(
    site: Site,
    *,
    renew: bool = False,
    at_once: bool = False,
    dry_run: bool = False,
    resolver: Resolver | None = None,
) -> Outcome:
    """Do what is due.

    :param renew: get a new certificate in any case.
    :param at_once: ask the authority although it has refused a request a short time ago.
    :raises OperationError: if the site does not work with the certificate; it is served as before.
    """
    if site.settings.get("tls") != issued.ACME:
        raise OperationError(
            f"flask_blog_tls of {site.name} is {site.settings.get('tls', 'none')}, so no authority is asked for its"
            " certificate. Nothing was done"
        )
    with certificate_alone(site):
        outcome = Outcome()
        now = time.time()
        have, known = Have.of(site, now, renew=renew), state.read(site)
        folder = None
        if have.reasons:
            findings = preflight.examine(site, issued.needed_names(site.settings), resolver)
            choice = choose(site, have, findings, known, now, renew=renew, at_once=at_once)
            outcome.problem, outcome.missing = choice.problem, choice.missing
            if dry_run:
                outcome.planned = _planned(site, choice)
                return outcome
            if choice.names:
                # If this program is killed meanwhile; the end stops it if everything is there.
                state.schedule(site, is_complete=False)
                folder = _get(site, have, choice, known, outcome, renew=renew)
        elif dry_run:
            outcome.planned = _planned(site, Choice())
            return outcome
        try:
            _put_to_use(site, folder, outcome)
        except Busy as error:
            if renew and folder is not None and not issued.reasons(site.settings, now):
                raise  # nothing else asks for it again: the present one is good
            outcome.problem = str(error)  # what was issued is used by the next attempt
        except OperationError as error:
            known.problem, known.problem_time, known.missing = str(error), time.time(), outcome.missing
            state.write(site, known)
            state.schedule(site, is_complete=False)
            raise
        _conclude(site, known, outcome)
        return outcome


def _planned(site: Site, choice: Choice) -> str:
    steps = [f"would ask {issued.authority(site.settings)} for {', '.join(choice.names)}"] if choice.names else []
    if site.scheme.scheme == "http" and (choice.names or _is_usable(site)):
        steps.append("would change the site to HTTPS")
    return " and ".join(steps)


def _is_usable(site: Site) -> bool:
    return issued.read(site.path("certificate"))[1] == ""


def _get(site: Site, have: Have, choice: Choice, known: state.State, outcome: Outcome, *, renew: bool) -> Path | None:
    """Get a certificate for the names that were chosen; return its directory, or None with the outcome's problem."""
    names = choice.names
    if not renew and (found := install.prepared(site, names, time.time())):
        return found
    journal.log(site, f"asks {issued.authority(site.settings)} for a certificate: {'; '.join(have.reasons)}")
    try:
        # A second time without the names that the authority could not validate.
        for _ in range(2):
            folder = install.begin(site, names)
            answer = authority.ask(site)
            if not answer.problem:
                found = install.complete(site, folder, names, time.time())
                known.refusals, known.wait = 0, 0.0
                known.waits = {name: until for name, until in known.waits.items() if name not in names}
                return found
            # A wildcard is validated by the name that it stands below.
            bad = {name: why for name in names if (why := answer.names.get(name.removeprefix("*.")))}
            outcome.missing |= {name: _explained(name, reason, choice, answer) for name, reason in bad.items()}
            if answer.refused:
                known.refused(time.time(), list(bad))
            names = [name for name in names if name not in bad]
            if not bad or not names or choice.names[0] in bad:
                outcome.problem = f"{issued.authority(site.settings)} issues no certificate: {answer.problem}"
                return None
            if not renew and have.found and not have.is_urgent(site, time.time()):
                if lost := [name for name in bad if name in have.found.names]:
                    outcome.problem = f"the certificate with {', '.join(lost)} is kept for now: {answer.problem}"
                    return None
                if not have.is_due(site, time.time()) and {*names} == {*have.found.names}:
                    return None  # it has these already
        outcome.problem = f"{issued.authority(site.settings)} issues no certificate: {answer.problem}"
    except FAILURES as error:
        outcome.problem = f"no certificate could be requested: {printable(str(error))}"
        known.refused(time.time(), [])
    finally:
        install.remove_begun(site)
    return None


def _explained(name: str, reason: str, choice: Choice, answer: authority.Answer) -> str:
    """Return why an authority could not validate a name, with what was found out about it before."""
    if not answer.refused:  # the client did not get as far as that
        return f"no entry in DNS can be written for it: {reason}"
    before = choice.unproven.get(name)
    return f"the authority could not validate it: {reason}" + (f"; here, {before}" if before else "")


def _put_to_use(site: Site, folder: Path | None, outcome: Outcome) -> None:
    """Let nginx serve the site with a new certificate, and over HTTPS if it does not yet.

    :param folder: of the new certificate; None if there is none.
    :raises OperationError: if the site does not work with it; it is served as before.
    """
    serves_http = site.scheme.scheme == "http"
    if folder is None and not (serves_http and _is_usable(site)):
        return
    with locked(site, "certificate"):
        systemd.start_recovery(site)
        recover_locked(site)
        if folder is not None:
            install.use(site, folder)
            outcome.issued = True
        if site.scheme.scheme == "http":
            if obstacle := promotion.obstacle(site):
                outcome.problem = f"the certificate is there, and the site does not change to HTTPS yet: {obstacle}"
                return
            promotion.promote(site)
            outcome.promoted = True
            install.prune(site)


def _conclude(site: Site, known: state.State, outcome: Outcome) -> None:
    """Ask the site which certificate it serves, write down what is known, and see to the next attempt."""
    now = time.time()
    found, _ = issued.read(site.path("certificate"))
    if problem := install.served_problem(site):
        # Such as a reload that never came.
        scheme.try_to_load(site)
        if problem := install.served_problem(site, install.SHOW_TIMEOUT):
            outcome.alarms.append(f"visitors do not get the site with its certificate: {problem}")
    if found and found.left(now) < issued.LATE:
        why = f": {outcome.problem}" if outcome.problem else ""
        outcome.alarms.append(f"the certificate ends on {issued.date(found.ends)} and was not renewed{why}")
    elif not found and site.scheme.scheme == "https" and (why := material.ends_soon(site.path("certificate"))):
        outcome.alarms.append(f"{why}, and the authority has issued none yet: {outcome.problem or 'see above'}")
    if site.settings.get("acme_profile") and "-profile" not in authority.settings_of(site):
        outcome.warnings.append(
            "flask_blog_acme_profile is not used: certbot of Debian 12 knows no profiles, so the authority's own choice"
            " applies"
        )
    problems = [*outcome.alarms, *([outcome.problem] if outcome.problem else [])]
    known.problem, known.missing = "; ".join(problems), outcome.missing
    known.problem_time = now if problems else 0.0
    state.write(site, known)
    is_complete = not problems and not outcome.missing and not issued.reasons(site.settings, now)
    state.schedule(site, is_complete=is_complete)
