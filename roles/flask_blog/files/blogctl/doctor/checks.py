"""All checks, in the order in which their findings are shown: what keeps visitors away first."""

from __future__ import annotations

from . import backups, drift, machine, names, serving, storage, traffic, units, web

CHECKS = (
    *backups.CHECKS[:1],
    *serving.CHECKS,
    *web.CHECKS,
    *storage.CHECKS,
    *names.CHECKS,
    *backups.CHECKS[1:],
    *units.CHECKS,
    *drift.CHECKS,
    *machine.CHECKS,
    *traffic.CHECKS,
)
