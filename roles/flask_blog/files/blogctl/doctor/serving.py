"""Whether the site serves what it should: the release, its environment, the settings that its process runs with."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..data import outside
from ..host import environment, health, maintenance, systemd
from ..host.releases import live_release, live_target
from ..host.undeclared_paths import DATABASES, database_remedy
from ..release import status
from ..release.hints import hints
from ..shared import contract
from ..site import Site
from .check import ERROR, ON_CONTROLLER, PLAYBOOK, WARNING, Check, Finding, command, output_of

#: Seconds in which the app answers.
ANSWER_TIMEOUT = 10.0
#: Databases outside the data folder that are named.
NAMED = 5


def serves(site: Site) -> Iterator[Finding]:
    """Compare what is served with what was activated, and ask whether it answers."""
    if maintenance.is_on(site):
        yield Finding(
            WARNING,
            "the maintenance page is on",
            "visitors get it instead of the site",
            "Turn it off when the work is done.",
            command(site, "maintenance", "off"),
        )
    answer = health.ask(site, timeout=ANSWER_TIMEOUT)
    linked, served = live_release(site), health.served_release(site)
    if answer.is_healthy and served is not None and served == linked:
        return
    if answer.is_healthy and linked and served:
        yield Finding(
            ERROR,
            f"{served} is served, and {linked} was activated",
            "visitors see another release than the one that the last run reported",
            "Activate it again.",
            command(site, "activate", linked),
        )
        return
    target = live_target(site)
    if target is None or not os.path.isdir(target) or environment.problem_of_live(site):
        return  # P(release_is_there) and P(environment_fits) say why
    found = status.why(site, linked, served)
    seen = f"{site.settings['health_path']}: {answer.reason}"
    yield Finding(
        ERROR,
        f"the site does not serve: {seen}" + (f": {found['cause']}" if found["cause"] else ""),
        "visitors get an error page",
        found["remedy"] or "The journal of the blog may show the reason.",
        "" if found["remedy"] else command(site, "logs", "--since=-15min"),
    )


def environment_fits(site: Site) -> Iterator[Finding]:
    """Look for gunicorn and the right Python in the live release's virtual environment."""
    target, release = live_target(site), live_release(site)
    if target is None or release is None or not os.path.isdir(target):
        return
    if problem := environment.problem(release, Path(target)):
        yield Finding(
            ERROR,
            problem,
            "the service cannot start with it: after the next restart or reboot, the site is down",
            "Build the environment again for this host's Python.",
            command(site, "rebuild", release),
        )


def release_is_there(site: Site) -> Iterator[Finding]:
    """Look for the folder to which the live link leads."""
    target = live_target(site)
    link = site.path("link")
    if target is None:
        cause = status.why(site, None, health.served_release(site))["cause"]
        yield Finding(
            ERROR,
            f"{link} is no link to a release{f': {cause}' if cause else ''}",
            "the service finds no app there",
            f"{status.NOTHING_LIVE} {'Move away what stands there first.' if os.path.lexists(link) else ''}",
            PLAYBOOK,
        )
    elif not os.path.isdir(target):
        yield Finding(
            ERROR,
            f"{link} leads to {target}, and there is no such folder",
            "the service cannot start: after the next restart or reboot, the site is down",
            status.MISSING_FOLDER,
            PLAYBOOK,
        )


def unit_is_ours(site: Site) -> Iterator[Finding]:
    """Compare the working directory, the environment and the settings of the service with what the role wrote."""
    unit, link = site.unit("service_unit"), str(site.path("link"))
    names = (
        "LoadState",
        "WorkingDirectory",
        "ExecStart",
        "User",
        "DropInPaths",
        "NeedDaemonReload",
    )
    found = systemd.properties_of(unit, *names)
    if found.get("LoadState") != "loaded":
        yield Finding(
            ERROR,
            f"systemd knows no {unit}",
            "nothing starts the app",
            ON_CONTROLLER,
            PLAYBOOK,
        )
        return
    reasons = []
    folder = found.get("WorkingDirectory", "").lstrip("!-+")
    if folder != link:
        reasons.append(f"its working directory is {folder or '/'}, not {link}")
    program = re.search(r"path=([^ ;]+)", found.get("ExecStart", ""))
    if not program or program[1] != f"{link}/venv/bin/gunicorn":
        reasons.append(f"it runs {program[1] if program else 'nothing'}, not {link}/venv/bin/gunicorn")
    # systemctl(1) shows a line for each file, so it is no property like others.
    _, files = output_of("systemctl", "show", "--property=EnvironmentFiles", unit)
    missing = [str(path) for path in site.environments if f"={path} (" not in files]
    if missing:
        reasons.append(f"it does not read {', '.join(missing)}")
    if found.get("User", site.settings["user"]) != site.settings["user"]:
        reasons.append(f"it runs as {found['User'] or 'root'}, not as {site.settings['user']}")
    drop_ins = found.get("DropInPaths", "")
    if reasons:
        yield Finding(
            ERROR,
            f"{unit} was changed: {'; '.join(reasons)}",
            "the app starts in another place, with other packages or without its settings",
            "Go back to the unit that the role wrote, and restart it; requests wait meanwhile."
            if drop_ins
            else ON_CONTROLLER,
            f"systemctl revert {unit} && systemctl restart {unit}" if drop_ins else PLAYBOOK,
        )
    elif drop_ins:
        yield Finding(
            WARNING,
            f"{unit} has settings beside those of the role: {drop_ins}",
            "the role neither tests nor keeps them, and they may weaken the sandbox",
            "Remove them, unless you wrote them and know why.",
            f"systemctl revert {unit} && systemctl restart {unit}",
        )
    if found.get("NeedDaemonReload") == "yes":
        yield Finding(
            WARNING,
            f"systemd has not read {unit} since its file changed",
            "the next start would use another configuration than the file says",
            "Let systemd read its units.",
            "systemctl daemon-reload",
        )


def settings_are_loaded(site: Site) -> Iterator[Finding]:
    """Compare the settings on the disk with those that the running process has read."""
    unit = site.unit("service_unit")
    served = contract.Served.of(systemd.properties_of(unit, "MainPID", "StatusText"))
    if served.revision and served.revision != contract.settings_revision(site.settings.get("settings_files", [])):
        yield Finding(
            WARNING,
            "the settings changed since the app was started",
            "a restart or reboot brings settings into use that nobody has seen working",
            "Restart the app, which reads them; requests wait meanwhile.",
            f"systemctl restart {unit}",
        )


def data_is_kept(site: Site) -> Iterator[Finding]:
    """Look for databases outside the data folder, and for declared ones that do not exist."""
    shown = outside.running(site)
    data = site.path("data")
    for path in outside.databases_outside(site, shown)[:NAMED]:
        temporary = outside.is_temporary(path)
        yield Finding(
            ERROR,
            f"the app keeps a database in {path!r}, outside {data}",
            "a restart of the service removes it" if temporary else "it is in no backup and no snapshot",
            f"{database_remedy(path, site)}.",
        )
    for path in outside.missing(site):
        yield Finding(
            WARNING,
            f"{DATABASES} names {path}, and there is no file {data}/{path}",
            "if the app keeps its posts in another file, they are in no backup",
            f"Correct {DATABASES}, or create the file with flask_blog_init_commands, and run the playbook again.",
            PLAYBOOK,
        )


def app_complains(site: Site) -> Iterator[Finding]:
    """Look for known problems in what the app has written to the journal since it was started."""
    for sentence in hints(site, outside.running(site)):
        what, remedy = _split(sentence)
        yield Finding(WARNING, what, "visitors meet it as errors, lost sessions or lost data", remedy or ON_CONTROLLER)


def _split(text: str) -> tuple[str, str]:
    """Return the first sentence of a text, and the rest."""
    found = re.search(r"\. (?=[A-Z])", text)
    return (text[: found.start()], text[found.end() :]) if found else (text, "")


def all_is_loaded(site: Site) -> Iterator[Finding]:
    """Look for changes that a run has made and that nothing has loaded."""
    notes = {
        contract.NGINX_RELOAD: "nginx has not loaded its changed files",
        str(site.pending("activate")): "the app has not loaded its changed settings",
        str(site.pending("socket")): "the site's socket has not moved to its new address",
    }
    for note, what in notes.items():
        if os.path.exists(note):
            yield Finding(
                WARNING,
                f"{what}: a run of the playbook failed or was interrupted",
                "what is on the disk is not what serves",
                "Run the playbook again, which completes it.",
                PLAYBOOK,
            )


CHECKS = (
    Check("release", "which release is live", release_is_there),
    Check("environment", "whether the virtual environment fits this host", environment_fits),
    Check("serving", "whether the site serves", serves, 30.0),
    Check("unit", "what the service runs", unit_is_ours),
    Check("settings", "whether the app runs with its present settings", settings_are_loaded),
    Check("unloaded", "whether all changes were loaded", all_is_loaded),
    Check("data", "where the app keeps its data", data_is_kept, 12.0),
    Check("app", "what the app has logged", app_complains),
)
