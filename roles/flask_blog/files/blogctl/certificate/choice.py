"""Choose what to ask an authority for: for which names, and whether at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..shared import issued
from ..shared.issued import Issued
from ..site import Site
from .preflight import WRONG, Finding
from .state import State, when

#: When this part of a certificate's lifetime is left, it is renewed without names that cannot be validated.
URGENT = issued.RENEWAL / 2


@dataclass(frozen=True)
class Have:
    """The certificate that a site has: C(found) is None if there is none, or it cannot be used."""

    found: Issued | None
    #: why it needs another one; empty if it does not
    reasons: list[str]

    @classmethod
    def of(cls, site: Site, now: float, *, renew: bool = False) -> Have:
        """Look at the certificate of a site.

        :param renew: whether a person asks for another one.
        """
        found, problem = issued.read(site.path("certificate"))
        reasons = issued.reasons(site.settings, now) or (["a new one was asked for"] if renew else [])
        return cls(None if problem else found, reasons)

    def is_due(self, site: Site, now: float) -> bool:
        """Say whether it has to be replaced whatever its names."""
        found = self.found
        return found is None or found.renewal <= now or found.directory != issued.authority(site.settings)

    def is_urgent(self, site: Site, now: float) -> bool:
        """Say whether it is better to have one for fewer names than to wait."""
        found = self.found
        return found is None or found.left(now) < URGENT or found.directory != issued.authority(site.settings)


@dataclass
class Choice:
    """What to ask for: C(names) is empty if the authority is not asked, and C(problem) may say why."""

    names: list[str] = field(default_factory=list)
    problem: str = ""
    #: names that the certificate will lack, each with the reason
    missing: dict[str, str] = field(default_factory=dict)
    #: what is not proven, each with its reason: the authority finds out
    unproven: dict[str, str] = field(default_factory=dict)


def choose(
    site: Site, have: Have, findings: Mapping[str, Finding], state: State, now: float, *, renew: bool, at_once: bool
) -> Choice:
    """Choose the names to ask for.

    :param findings: of all names that its certificate needs.
    :param renew: whether a person asks for a new certificate.
    :param at_once: whether earlier refusals of the authority are left aside.
    """
    names: Sequence[str] = issued.needed_names(site.settings)
    choice = Choice()
    for name in names:
        finding = findings[name]
        if finding.state == WRONG:
            choice.missing[name] = finding.reason
        elif state.is_waiting(now, name) and not at_once:
            refusal = state.missing.get(name, "the authority could not validate it")
            choice.missing[name] = _asked_after(refusal, state.waits[name])
        elif finding.reason:
            choice.unproven[name] = finding.reason
    feasible = [name for name in names if name not in choice.missing]
    has = [] if have.found is None else have.found.names
    gains = [name for name in feasible if name not in has]
    extra = [name for name in has if name not in names]
    lost = [name for name in choice.missing if name in has]
    due = renew or have.is_due(site, now)
    if not (due or gains or extra):
        # A name that the certificate has stays in it, whatever DNS says of it now.
        choice.missing = {name: reason for name, reason in choice.missing.items() if name not in lost}
        return choice
    if names[0] in choice.missing:
        reason = choice.missing[names[0]]
        choice.problem = f"{names[0]}, the first of flask_blog_server_names: {reason}"
    elif lost and not renew and not have.is_urgent(site, now):
        choice.problem = "; ".join(f"{name} is in the certificate: {choice.missing[name]}" for name in lost)
    elif state.is_waiting(now) and not at_once:
        choice.problem = _asked_after(state.problem or "the authority has refused the last request", state.wait)
    else:
        choice.names = feasible
    return choice


def _asked_after(reason: str, until: float) -> str:
    """Return a reason with the time until which the authority is left alone, once."""
    return f"{reason.partition(' (asked again after')[0]} (asked again after {when(until)}, or with --now)"
