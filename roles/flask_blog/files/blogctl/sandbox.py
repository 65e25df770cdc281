"""Run a release where no visitor reaches it: its commands, and an instance that tries its own pages."""

from __future__ import annotations

import grp
import os
import pwd
import re
import time
from pathlib import Path

from . import as_app, data, health, services
from .site import HostError, OperationError, Site, app_folder, release_manifest

#: Seconds that a refused instance has to say the rest.
REST = 2.0
#: The copy of the data lies here, below the backups.
COPY = "rehearsal"


def run_commands(site: Site, release: str, commands: list[str], place: Path) -> None:
    """Run a release's own commands on some data, in their order.

    :param place: what the commands find in the place of the data folder.
    :raises OperationError: naming the first command that fails, with what it said.
    """
    folder = app_folder(site, release)
    root = release_manifest(site, release).get("source_root", "")
    for command in commands:
        as_app.run_as_app(site, folder, root, command, place)


def forget_copy(site: Site) -> None:
    """Remove the copy of the data that a rehearsal worked on; the app's account has written it, and empties it."""
    copy = _copy(site)
    if copy.is_dir() and not copy.is_symlink():
        data.empty(site, copy)
        copy.rmdir()


def _copy(site: Site) -> Path:
    # Below a folder that only root enters: the app must not be able to put a link in its place.
    return site.path("backups") / COPY


#: What an instance says of its own pages (gunicorn.conf.py): that they are there, or what is wrong with one.
READY = re.compile(r"is ready: ")
#: What programs say if a server is out of reach: as strerror(3), getaddrinfo(3), and clients of databases put it.
UNREACHABLE = re.compile(
    r"Connection refused|Network is unreachable|No route to host|Name or service not known"
    r"|Temporary failure in name resolution|No address associated with hostname|could not translate host name"
    r"|could not connect to server|[Cc]an't connect to (local )?(MySQL|server)|Connection timed out"
    r"|No such file or directory[^\n]*(socket|\.sock|PGSQL)|(socket|\.sock|PGSQL)[^\n]*No such file or directory"
    r"|Errno (111|101|113|110|99)\b|Cannot assign requested address",
)
ISOLATED = (
    "\nA rehearsal has no network and none of the host's sockets, so that it cannot change anything real. If the"
    " release needs a server for this, choose: flask_blog_rehearsal_environment (settings for rehearsals alone, such as"
    " another database's URL), flask_blog_rehearse: start (start the app beside the live one with its real services,"
    " without its commands), or flask_blog_rehearse: false (no rehearsal)."
)


def prove(site: Site, release: str, place: Path) -> None:
    """Start a release on some data and let it try its health path and its home page.

    :param place: what it finds in the place of the data folder; on the live data it has the live network, too.
    :raises OperationError: with what was wrong, and the last lines that it said.
    """
    folder = app_folder(site, release)
    root = release_manifest(site, release).get("source_root", "")
    seconds, health_path = site.settings["activation_timeout"], site.settings["health_path"]
    deadline = time.monotonic() + seconds
    problem = f"{health_path}: no answer within {seconds} s"
    with as_app.instance(site, folder, root, place) as (_, output):
        for line in output.lines(seconds):
            if READY.search(line):
                return
            if refusal := health.REFUSAL.search(line):
                problem = refusal[1]
                break
        else:
            if time.monotonic() < deadline:
                problem = f"{health_path}: it ended by itself"
        # The rest of what it says, such as a traceback, is on its way.
        for _ in output.lines(REST):
            pass
    raise OperationError(f"{problem}\nIts last lines:\n{output.last(120)}")


def rehearse(site: Site, release: str, commands: list[str]) -> bool:
    """Try a release on a copy of the data, mounted in the data's place: its commands, then its pages.

    Nothing else of the host can be reached from there.

    :returns: whether the commands changed the data.
    :raises OperationError: naming the step that failed.
    """
    copy = _copy(site)
    forget_copy(site)
    try:
        try:
            before = _make_copy(site, copy)
        except (OSError, ValueError, OperationError) as error:
            raise HostError(f"the data cannot be copied for it: {error}") from error
        run_commands(site, release, commands, copy)
        changed = bool(commands) and data.fingerprint(site, copy) != before
        prove(site, release, copy)
        return changed
    except (OperationError, OSError, ValueError) as error:
        words = f"The rehearsal of {release} failed; the live site was not touched: {error}"
        if UNREACHABLE.search(str(error)):
            words += ISOLATED
        raise OperationError(words) from error
    finally:
        forget_copy(site)


def _make_copy(site: Site, copy: Path) -> str:
    """Copy the data to a folder of the app's account in one that only root enters; return the copy's fingerprint."""
    account = pwd.getpwnam(site.settings["user"]).pw_uid, grp.getgrnam(site.settings["group"]).gr_gid
    copy.mkdir(mode=0o700)
    os.chown(copy, *account)
    found, skipped = data.copy(site, copy)
    if skipped:
        services.log(site, f"the rehearsal works with a part of the data: {skipped}")
    return found


def refuse_without_gunicorn(site: Site, release: str) -> None:
    """Refuse a release without an environment that it could start in, before anything is touched.

    :raises OperationError: with the remedy.
    """
    venv = app_folder(site, release) / "venv"
    if not os.access(venv / "bin" / "gunicorn", os.X_OK):
        raise OperationError(f"the release {release} has no gunicorn in {venv}; bring its code with the playbook again")
