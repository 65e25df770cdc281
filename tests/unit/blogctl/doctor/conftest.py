"""Fixtures of the tests of the doctor."""

from __future__ import annotations

import pytest
from blogctl.doctor import backups, machine, serving, units, web
from blogctl.host import health, journal, memory, systemd
from blogctl.host.releases import point_link
from blogctl.site import Site
from doctor_host import Host
from fake_machine import Add


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host()
    monkeypatch.setattr(systemd, "properties_of", found.properties_of)
    monkeypatch.setattr(memory, "properties_of", found.properties_of)
    monkeypatch.setattr(systemd, "is_active", lambda unit: found.units.get(unit, {}).get("ActiveState") == "active")
    for module in (backups, machine, serving, units, web):
        monkeypatch.setattr(module, "output_of", found.output_of)
    monkeypatch.setattr(health, "ask", lambda *_, **__: found.answer)
    monkeypatch.setattr(health, "served_release", lambda _: found.served)
    monkeypatch.setattr(journal, "last_lines", lambda *_: found.journal)
    monkeypatch.setattr(journal, "lines_of_run", lambda *_, **__: found.journal)
    monkeypatch.setattr(journal, "lines_of_day", lambda *_: found.journal)
    return found


@pytest.fixture
def live(site: Site, add_release: Add, host: Host) -> Site:
    """A site with a live release that serves."""
    point_link(site, str(add_release("old")))
    link = str(site.path("link"))
    host.units["blog.service"] = {
        "LoadState": "loaded",
        "ActiveState": "active",
        "WorkingDirectory": link,
        "ExecStart": f"{{ path={link}/venv/bin/gunicorn ; argv[]={link}/venv/bin/gunicorn --config x app:app ; }}",
        "User": site.settings["user"],
        "InvocationID": "0123",
    }
    files = f"EnvironmentFiles={site.path('environment')} (ignore_errors=no)\n"
    host.programs["systemctl show --property=EnvironmentFiles"] = (
        0,
        f"EnvironmentFiles=/a (ignore_errors=no)\n{files}",
    )
    return site
