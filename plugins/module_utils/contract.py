# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The contract between the collection's modules and blogctl: names, forms and rules that both rely on.

The modules import this file from the collection. blogctl has a link to it, which becomes a file on the host. This file
needs the standard library alone. gunicorn.conf.py repeats a few of these facts, as it runs in the app's own
environment; tests/contract compares the two.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

#: Version of this contract, in C(site.json) and in the tool. A change that an older role or tool cannot read adds one.
INTERFACE = 1
#: The oldest version of this contract that the tool supports: a site that an older collection deployed goes on.
OLDEST_INTERFACE = 1

#: Says which version of the tool a host has: JSON with C(version), C(interface) and C(oldest_interface).
TOOL_VERSION = "/usr/local/lib/flask-blog-hosting/version.json"

# -- root's directory in /run: locks, and notes of changes that no running process has loaded --

#: Only root can create files here. /run is in memory: a reboot, which loads everything anew, drops all of it.
RUNTIME = "/run/flask-blog-hosting"

#: One lock for each purpose: C(lock) an operation, C(data) use of the live data, C(hold) a start of the service,
#: C(calls) programs that an operation started, C(build) a release or an environment that is being made, C(certificate)
#: requests for a certificate, C(offsite) copies of backups to a repository, C(notify) messages about failures.
LOCKS = ("lock", "data", "hold", "calls", "build", "certificate", "offsite", "notify")

#: Exists while nginx has not loaded its changed files. All sites of the host share it.
NGINX_RELOAD = f"{RUNTIME}/nginx.reload"

#: Exists while a site's process has not loaded its changed settings, or its socket has not moved to its new address.
PENDING = ("activate", "socket")


def no_redirect(site: str) -> str:
    """Return the path of the file that exists while a site's HTTP does not redirect to HTTPS.

    A reload of nginx has processes of both configurations for a moment: one that redirects to HTTPS, and one that does
    not serve it. While a site changes between the two, its HTTP serves pages.
    """
    return f"{RUNTIME}/{site}.no-redirect"


#: Seconds after which nginx's processes of before accept nothing any more (0.1 s in its source), and a visitor who was
#: redirected has arrived.
REDIRECT_PAUSE = 1.0


def host_lock() -> str:
    """Return the path of the lock for what all sites of the host share: held while a run applies managed objects."""
    return f"{RUNTIME}/host.apply"


def lock_path(site: str, lock: str) -> str:
    """Return the path of one of a site's C(LOCKS).

    :raises ValueError: for a lock that does not exist.
    """
    if lock not in LOCKS:
        raise ValueError(f"there is no lock {lock!r}")
    return f"{RUNTIME}/{site}.{lock}"


def pending_path(site: str, what: str) -> str:
    """Return the path of the note that a change of a site, one of C(PENDING), is not loaded yet.

    :raises ValueError: for a change that has no note.
    """
    if what not in PENDING:
        raise ValueError(f"there is no note of {what!r}")
    return f"{RUNTIME}/{site}.{what}"


# -- settings that a process reads when it starts --


def settings_copies(site: str) -> str:
    """Return the directory with copies of the settings that the running process was started with."""
    return f"{RUNTIME}/{site}.previous"


def settings_copy(site: str, path: str) -> str:
    """Return the path of the copy of one settings file."""
    return f"{settings_copies(site)}/{path.replace('/', '%')}"


def settings_revision(paths: Iterable[str]) -> str:
    """Return the sha256 over the files that a site's processes read when they start.

    gunicorn.conf.py computes the same at its start. If the two differ, the process runs with old settings.
    """
    total = hashlib.sha256()
    for path in paths:
        try:
            content = Path(path).read_bytes()
        except OSError:
            content = b"missing"
        total.update(f"{path}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()


# -- what the running process says that it serves --


@dataclass(frozen=True)
class Served:
    """What gunicorn's master says that it serves (sd_notify(3), C(STATUS=)).

    The app can forge it, control characters included: use C(printable) before it is shown. An empty text is unknown.
    """

    release: str = ""
    venv: str = ""
    revision: str = ""

    @classmethod
    def of(cls, unit: Mapping[str, str]) -> Served:
        """Read a service's properties C(StatusText) and C(MainPID); anything unexpected counts as unknown."""
        try:
            note = json.loads(unit.get("StatusText", ""))
        except (ValueError, RecursionError):
            return cls()
        if not isinstance(note, dict) or str(note.get("pid")) != unit.get("MainPID") or note.get("pid") == 0:
            return cls()
        texts = {key: note.get(key) for key in ("release", "venv", "revision")}
        return cls(**{key: text for key, text in texts.items() if isinstance(text, str)})


# -- releases and environments --

#: In each release; says what it is. Written last, so a release without it is not whole.
MANIFEST = ".release.json"
#: In a release: the files of its source in folders that the app writes to, by their path in the data folder.
SEEDS = ".release-data"
#: In each virtual environment, once it is complete.
VENV_MARK = ".complete.json"
#: Ends the name of a release or environment that is being made.
INCOMPLETE = ".incomplete"
#: Ends the name of a release or environment that is being removed.
REMOVED = ".removed"


def is_whole(name: str) -> bool:
    """Say whether a directory name is that of a release or environment that is neither being made nor removed."""
    return not name.endswith((INCOMPLETE, REMOVED))


@dataclass(frozen=True)
class Manifest:
    """What a release says of itself in its C(MANIFEST)."""

    id: str
    #: sha256 of the tree
    digest: str
    #: the app's folder, relative to the release
    app_dir: str
    #: where the app is imported from, relative to its folder
    source_root: str
    #: path to kind and identity of each file, such as C(file 1a2b...)
    files: dict[str, str] = field(default_factory=dict)
    #: of a release from Git
    commit: str | None = None
    ref: str | None = None
    repository: str | None = None
    #: what its virtual environment is built from (source/release.py); empty in a release of an older version
    environment: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, found: object) -> Manifest:
        """Read what a release says.

        :param found: the manifest's JSON; keys that are not known are ignored.
        :raises ValueError: naming what is missing or of the wrong type.
        """
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
        texts = {key: found.get(key) for key in ("id", "digest", "app_dir", "source_root")}
        if wrong := [key for key, value in texts.items() if not isinstance(value, str)]:
            raise ValueError(f"it lacks {', '.join(wrong)}")
        git = {key: found[key] for key in ("commit", "ref", "repository") if isinstance(found.get(key), str)}
        tables = {
            key: dict(value) if isinstance(value := found.get(key), dict) else {} for key in ("files", "environment")
        }
        return cls(**texts, **git, **tables)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest's JSON; what is not known is left out."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def replace_link(link: str | os.PathLike[str], target: str) -> None:
    """Point a symbolic link somewhere in one step: at no moment is it missing. It outlives a power cut.

    The directory must belong to root: C(link_aside) is a name in it.
    """
    aside = link_aside(link)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside)  # left by a process that was killed
    os.symlink(target, aside)
    try:
        os.replace(aside, link)
    except BaseException:
        os.unlink(aside)
        raise
    directory = os.open(os.path.dirname(link) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def link_aside(link: str | os.PathLike[str]) -> str:
    """Return where a link is made before it replaces the one before."""
    folder, name = os.path.split(link)
    return os.path.join(folder, f".{name}.new")


# -- where visitors reach a site --

#: In each directory of a site with what depends on HTTP or HTTPS; the site's C(scheme_link) leads to one of them.
SCHEME = "scheme.json"


@dataclass(frozen=True)
class Scheme:
    """By what visitors reach a site, as the link on its host says."""

    #: C(http) or C(https)
    scheme: str
    #: its name, and the port if that is not the scheme's own
    host: str
    port: int
    #: by these, visitors reach it; a trusted proxy may take HTTPS from them
    public_schemes: list[str]
    #: the port of HTTP, if that only redirects
    redirect_port: int | None = None
    #: whether nginx expects the PROXY protocol on its ports
    proxy_protocol: bool = False

    @classmethod
    def of(cls, site: Mapping[str, Any]) -> Scheme:
        """Read what the site's link leads to; an older role wrote no link, and the values among the settings.

        :param site: its settings.
        """
        found: Any = None
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(Path(site.get("scheme_link", ""), SCHEME).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            found = site
        # Such a site may be reached by both.
        schemes = found.get("public_schemes", ["http", "https"])
        port = found.get("redirect_port")
        host = str(found.get("host") or site["names"][0])
        scheme = str(found.get("scheme", "http"))
        more = None if port is None else int(port), found.get("proxy_protocol") is True
        return cls(scheme, host, int(found.get("port", 80)), list(schemes), *more)


# -- the data --

#: In the site's state directory, once the blog has its first data.
INITIALISED = "initialised"
#: In the site's state directory, while a first deployment has not passed its last step.
UNVERIFIED = "unverified"
#: In the site's state directory, after a first release has failed: the files that it left in the data folder, by path.
LEFT_BEHIND = "left-behind.json"
#: Files of such a list, and bytes of their paths as JSON; a data folder with more is not taken for new again.
LEFT_BEHIND_LIMIT = 100
LEFT_BEHIND_BYTES = 16 * 1024
#: Starts an SQLite database (https://www.sqlite.org/fileformat.html).
SQLITE_MAGIC = b"SQLite format 3\0"
#: What SQLite keeps beside a database that is in use (https://www.sqlite.org/tempfiles.html).
SQLITE_COMPANIONS = ("-wal", "-shm", "-journal")


#: Endings of the files that apps generate.
WRITABLE_FILE = re.compile(
    r"\.(atom|bin|cfg|css|csv|gif|gz|html?|ico|idx|ini|jpe?g|js|json|jsonl|lock|log|md|pdf|pickle|pid|pkl|png|rss|svg"
    r"|toml|tsv|txt|webp|xml|ya?ml|zip)",
    re.IGNORECASE,
)


def is_writable_file(path: str) -> bool:
    """Say whether an entry of flask_blog_writable_paths is one file, such as C(static/sitemap.xml).

    With a trailing slash it is a folder, whatever its name.
    """
    return bool(WRITABLE_FILE.fullmatch(os.path.splitext(path)[1]))


def file_identity(status: os.stat_result) -> list[int]:
    """Return what changes if a file is written or replaced, and stays if its owner or mode changes."""
    return [status.st_ino, status.st_size, status.st_mtime_ns]


def left_behind(state: str | os.PathLike[str]) -> dict[str, list[int]]:
    """Return the files that a first release left in the data folder when it failed, by path, each with its identity."""
    try:
        found = json.loads(Path(state, LEFT_BEHIND).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def data_is_new(*, initialised: bool, has_live_release: bool, holds_files: bool) -> bool:
    """Say whether a blog has yet to get its first data."""
    return not (initialised or has_live_release or holds_files)


# -- health --

#: A page or a redirect.
HEALTHY = frozenset(range(200, 400))
#: A home page may also ask for a login.
HEALTHY_OR_LOGIN = HEALTHY | {401, 403}

#: Asked for with this header, an instance answers with the second one: its name and its release. nginx removes both
#: from what visitors send.
PROBE_HEADER = "X-Flask-Blog-Probe"
INSTANCE_HEADER = "X-Flask-Blog-Instance"
#: With this header nginx proves to gunicorn that a request came through it.
KEY_HEADER = "X-Flask-Blog-Key"
#: The line of nginx's configuration with the key, for C(str.format()); a key is 64 hexadecimal digits.
KEY_LINE = f'proxy_set_header {KEY_HEADER} "{{value}}";'
#: A request with this header and a site's key of 64 hexadecimal digits is answered by nginx with the site's name.
SITE_HEADER = "X-Flask-Blog-Site"


def is_healthy(status: int, *, allow_login: bool = False) -> bool:
    """Say whether an HTTP status is one of a page that works.

    :param allow_login: whether a page that asks for a login works, too.
    """
    return status in (HEALTHY_OR_LOGIN if allow_login else HEALTHY)
