"""Rehearse a release where no visitor reaches it: run its commands, and an instance that requests its own pages."""

from __future__ import annotations

import grp
import os
import pwd
import re
import time
from collections.abc import Sequence
from pathlib import Path

from ..data import folder as data_folder
from ..data.layer import data_layer
from ..errors import HostError, OperationError, with_state
from ..host import diagnosis, environment, health, journal, memory, run_as_app
from ..host.releases import app_folder, release_manifest
from ..host.units import instance_unit
from ..site import Site

#: Seconds in which a refused instance can write the rest of its output.
OUTPUT_TIMEOUT = 2.0

#: What an instance logs once its own pages work (gunicorn.conf.py).
READY = re.compile(r"is ready: ")
#: Messages of programs if a server is unreachable (strerror(3), getaddrinfo(3), clients of databases).
UNREACHABLE = re.compile(
    r"Connection refused|Network is unreachable|No route to host|Name or service not known"
    r"|Temporary failure in name resolution|No address associated with hostname|could not translate host name"
    r"|could not connect to server|[Cc]an't connect to (local )?(MySQL|server)|Connection timed out"
    r"|No such file or directory[^\n]*(socket|\.sock|PGSQL)|(socket|\.sock|PGSQL)[^\n]*No such file or directory"
    r"|Errno (111|101|113|110|99)\b|Cannot assign requested address",
)
ISOLATED = (
    "A rehearsal has no network and none of the host's sockets, so that it cannot change anything real. If the"
    " release needs a server for this, choose: flask_blog_rehearsal_environment (settings for rehearsals alone, such as"
    " another database's URL), flask_blog_rehearse: start (start the app beside the live one with its real services,"
    " without its commands), or flask_blog_rehearse: false (no rehearsal)."
)


def run_commands(site: Site, release: str, commands: list[str], data: Path) -> None:
    """Run a release's own commands, in their order.

    :param data: the data folder, or a copy, which is then mounted at the data folder's path.
    :raises OperationError: naming the first command that fails, with its output.
    """
    folder = app_folder(site, release)
    root = release_manifest(site, release).source_root
    for command in commands:
        run_as_app.run(site, folder, root, command, data)


def remove_copy(site: Site) -> None:
    """Remove the copy of the data that a rehearsal worked on. The app's account wrote it, and so empties it."""
    copy = _copy(site)
    if copy.is_dir() and not copy.is_symlink():
        data_folder.empty(site, copy)
        copy.rmdir()


def _copy(site: Site) -> Path:
    # Below the backups, which only root enters: the app must not be able to put a link in its place.
    return site.path("rehearsal")


def prove(site: Site, release: str, data: Path, paths: Sequence[str] = ()) -> None:
    """Start an instance of a release and let it request its health path and its home page.

    :param data: the data folder, or a copy, which is then mounted at the data folder's path. On the live data the
        instance has the live network, too.
    :param paths: pages that it requests as well.
    :raises OperationError: with the problem, and the last lines of its output.
    """
    folder = app_folder(site, release)
    root = release_manifest(site, release).source_root
    seconds, health_path = site.settings["activation_timeout"], site.settings["health_path"]
    deadline = time.monotonic() + seconds
    problem, before = f"{health_path}: no answer within {seconds} s", memory.of_services()
    with run_as_app.instance(site, folder, root, data, paths) as (_, output):
        for line in output.lines(seconds):
            if READY.search(line):
                return
            if sign := _problem_in(line, output):
                problem = sign
                break
        else:
            if time.monotonic() < deadline:
                problem = f"{health_path}: it ended by itself"
        # The rest of its output, such as a traceback, follows.
        for _ in output.lines(OUTPUT_TIMEOUT):
            pass
        lost = memory.of_services().since(before)
    found = diagnosis.diagnose(site, output.text(), folder, lost)
    if not found.cause and not output.text():
        # A unit that cannot be started writes nothing itself; systemd's lines say why.
        problem = f"{problem}: {diagnosis.of_systemd(journal.last_lines(instance_unit(site), 20))}".rstrip(": ")
    message = found.for_page(site, problem).message("", problem)
    raise HostError(message) if found.of_host else OperationError(message)


def _problem_in(line: str, output: run_as_app.Output) -> str:
    """Return why an instance cannot become ready, from a line and all of its output; an empty text if it still can."""
    if refusal := health.REFUSAL.search(line):
        return refusal[1]
    if diagnosis.OWN_SERVER.search(line):
        return "no answer"
    if diagnosis.KILLED.search(line) and diagnosis.killed_workers(output.text()):
        return "its worker was killed"
    if diagnosis.TIMED_OUT.search(line):
        return "a worker did not finish loading the app within flask_blog_proxy_read_timeout"
    return ""


def rehearse(site: Site, release: str, commands: list[str]) -> bool:
    """Run a release's commands and request its pages on a copy of the data, with nothing else of the host in reach.

    :returns: whether the commands changed the data.
    :raises OperationError: naming the step that failed.
    """
    copy = _copy(site)
    try:
        try:
            before = _make_copy(site)
        except (OSError, ValueError, OperationError) as error:
            raise HostError(f"the data cannot be copied for it: {error}") from error
        run_commands(site, release, commands, copy)
        changed = bool(commands) and data_layer(site).fingerprint(copy) != before
        prove(site, release, copy)
        return changed
    except (OperationError, OSError, ValueError) as error:
        choices = ISOLATED if UNREACHABLE.search(str(error)) else ""
        what = f"The rehearsal of {release} failed; the live site was not touched"
        raise OperationError(with_state(error, choices, what)) from error
    finally:
        remove_copy(site)


def make_folder(site: Site) -> Path:
    """Create the empty directory for data that a rehearsal works on: the app's account's, in one that only root enters.

    P(remove_copy) removes it.
    """
    copy = _copy(site)
    remove_copy(site)
    account = pwd.getpwnam(site.settings["user"]).pw_uid, grp.getgrnam(site.settings["group"]).gr_gid
    copy.mkdir(mode=0o700)
    os.chown(copy, *account)
    return copy


def _make_copy(site: Site) -> str:
    """Copy the data to a directory of its own; return the copy's fingerprint."""
    copy = make_folder(site)
    found, skipped = data_folder.copy(site, copy)
    if skipped:
        journal.log(site, f"the rehearsal works with a part of the data: {skipped}")
    return found


def refuse_without_gunicorn(site: Site, release: str) -> None:
    """Refuse a release that cannot start in its virtual environment, before anything is changed.

    :raises OperationError: with the remedy.
    """
    if problem := environment.problem(release, app_folder(site, release)):
        raise OperationError(f"{problem}; nothing was changed. {environment.remedy(site, release)}.")
