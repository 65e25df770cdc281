"""Watch an instance that is starting, so that nobody waits for one that cannot start."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..site import Site
from . import diagnosis, health, journal, memory, systemd
from .releases import app_folder

#: Seconds between two looks: each costs two programs, and the app needs the processor now.
INTERVAL = 1.0
#: Workers that are killed before the app counts as too large: the first one may have met a peak of something else.
KILLED_WORKERS = 2

#: Sub-states of a service whose process has ended (systemctl --state=help).
ENDED = frozenset({"auto-restart", "auto-restart-queued", "dead", "failed", "stop-sigterm", "final-sigterm"})
#: What systemd writes before each start of a unit, in the form of journalctl.
STARTING = re.compile(r"^.* systemd\[\d+\]: Starting ", re.MULTILINE)
#: Lines of a service that starts again and again: gunicorn writes about 95 at each attempt.
LAST_LINES = 400


@dataclass
class Watch:
    """An instance that is starting."""

    site: Site
    #: its unit
    unit: str
    #: the journal's end before it was started
    since: str
    #: the directory of the release's app
    folder: Path
    #: starts by systemd that are no failure yet
    restarts: int = 0
    #: what the kernel had counted before
    counted: memory.Events = field(default_factory=memory.of_services)
    #: systemd's number of restarts at the first look, as it may be that of earlier starts
    _restarts: int | None = None
    _next: float = field(default_factory=lambda: time.monotonic() + INTERVAL)

    @classmethod
    def of(cls, site: Site, release: str, unit: str, restarts: int = 0) -> Watch:
        """Watch what a unit does from now on with a release."""
        return cls(site, unit, journal.cursor(), app_folder(site, release), restarts)

    def problem(self) -> str:
        """Return why the instance cannot start; an empty text while it may. It looks once in C(INTERVAL) seconds."""
        if time.monotonic() < self._next:
            return ""
        found = self._problem()
        self._next = time.monotonic() + INTERVAL
        return found

    def _problem(self) -> str:
        state = systemd.properties_of(self.unit, "SubState", "NRestarts")
        count = int(found) if (found := state.get("NRestarts", "")).isdecimal() else 0
        self._restarts = count if self._restarts is None else min(count, self._restarts)
        if count - self._restarts + (state.get("SubState") in ENDED) > self.restarts:
            return "it ended by itself"
        output = self.output()
        if refusal := health.REFUSAL.search(output):
            return refusal[1]
        if diagnosis.OWN_SERVER.search(output) or diagnosis.NO_THREADS.search(output):
            return "no answer"
        if diagnosis.killed_workers(output) >= KILLED_WORKERS:
            return "its workers were killed one after the other"
        if diagnosis.TIMED_OUT.search(output):
            return "a worker did not finish loading the app within flask_blog_proxy_read_timeout"
        return ""

    def output(self) -> str:
        """Return what the instance wrote since it was started, or its last lines if the journal has no such place."""
        return journal.lines_since(self.unit, self.since) if self.since else journal.last_lines(self.unit)

    def diagnose(self) -> diagnosis.Diagnosis:
        """Return why the instance failed."""
        journal.sync()
        output = self.output()
        return diagnosis.diagnose(self.site, output, self.folder, lost=self._lost(output))

    def _lost(self, output: str) -> memory.Events:
        """Return what the kernel killed. A unit's control group may be gone with it; the one of all services stays."""
        if not diagnosis.killed_workers(output) and "OOM killer" not in output and "oom-kill" not in output:
            return memory.Events()
        found = memory.of_unit(self.unit)
        return found if found.kills else memory.of_services().since(self.counted)


def diagnose_last_start(site: Site, unit: str, folder: Path | None) -> diagnosis.Diagnosis:
    """Return why the last start of a unit failed, from its last lines in the journal.

    :param folder: the directory of the release's app, if there is one.
    """
    output = journal.last_lines(unit, LAST_LINES)
    starts = [found.start() for found in STARTING.finditer(output)]
    # The last start may have just begun, and have said nothing yet.
    for start in [*reversed(starts), 0]:
        found = diagnosis.diagnose(site, output[start:], folder)
        if found.cause:
            return found
    return diagnosis.diagnose(site, output, folder)
