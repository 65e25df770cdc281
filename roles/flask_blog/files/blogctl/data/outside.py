"""Find the data that is lost or in no backup: databases outside the data folder, and declared ones that are missing.

The app may write anywhere in its own /tmp, /var/tmp and /dev/shm, and change them at any moment. Root walks there by
descriptors alone and reads the first bytes of regular files; a path is text for a message.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from ..host import journal, systemd
from ..host.files import write_atomically
from ..host.undeclared_paths import DATABASES, OPENED, PATHS, RUN_AGAIN, database_remedy
from ..shared.printable import printable
from ..site import Site
from . import tree
from .seed import state_folder

#: Where the service may write besides its data folder (vars/main/sandbox.yml); a restart empties all of them.
TEMPORARY = ("tmp", "var/tmp", "dev/shm")
#: Names of databases that hold no data: those of test tools and caches, and SQLite's own temporary files.
NO_DATA = (".coverage*", "*cache*", "etilqs_*")
#: The default of flask_blog_databases: a blog with a database server, or with one in instance/, has no such file.
UNCHANGED = ["database.db"]
#: Entries of a directory tree, descriptors of a process and databases in a message that are looked at.
ENTRIES_LIMIT, DESCRIPTORS_LIMIT, NAMED = 3000, 4096, 5
#: Levels of directories, and seconds for everything.
DEPTH_LIMIT, SEARCH_TIMEOUT = 8, 3.0

#: Where the kernel shows control groups (cgroups(7)); tests have their own.
CGROUPS = "/sys/fs/cgroup"
PROC = "/proc"


def running(site: Site) -> dict[str, str]:
    """Return the properties of the service that say which processes to look at; empty without systemd."""
    try:
        return systemd.properties_of(site.settings["service_unit"], "MainPID", "ControlGroup", "InvocationID")
    except OSError:
        return {}


def problems(site: Site, shown: Mapping[str, str]) -> list[str]:
    """Return a sentence for each part of a site's data that would be lost, with the remedy; empty if all is kept.

    :param shown: what P(running) returned.
    """
    data = site.path("data")
    outside = databases_outside(site, shown)
    found = [_sentence(path, site) for path in outside[:NAMED]]
    if len(outside) > NAMED:
        found.append(f"{len(outside) - NAMED} more databases lie outside {data}.")
    found += [
        f"{DATABASES} names {path}, and there is no file {data}/{path} after the start. The app's own setting for its"
        f" database may name another file: correct {DATABASES}; or create the file with flask_blog_init_commands,"
        f" {RUN_AGAIN}."
        for path in missing(site)
    ]
    return found


def logged(site: Site, shown: Mapping[str, str]) -> list[str]:
    """Return a sentence for each database that a restart removes, from what the app's workers have logged.

    A backup's unit sees no process of the app, and an app may open its database long after its first start.

    :param shown: what P(running) returned.
    """
    if not (invocation := shown.get("InvocationID", "")):
        return []
    try:
        lines = journal.lines_of_run(invocation, containing="opens the database '")
    except OSError:  # without a journal
        return []
    paths = dict.fromkeys(match["path"] for match in OPENED.finditer(lines))
    return [_sentence(path, site) for path in paths if is_temporary(path) and holds_data(path)][:NAMED]


def _sentence(path: str, site: Site) -> str:
    lost = "a restart of the service removes it" if is_temporary(path) else "it is in no backup and no snapshot"
    return f"The app keeps a database in {path!r}, outside {site.path('data')}: {lost}. {database_remedy(path, site)}."


def note(site: Site, found: list[str]) -> None:
    """Keep the problems for a backup, whose unit sees no process of the app."""
    place = _note(site)
    if found:
        write_atomically(place, json.dumps(found))
    else:
        place.unlink(missing_ok=True)


def noted(site: Site) -> list[str]:
    """Return the problems that were found last."""
    try:
        found = json.loads(_note(site).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(one) for one in found] if isinstance(found, list) else []


def _note(site: Site) -> Path:
    return state_folder(site) / "outside"


def declared(site: Site) -> list[str]:
    """Return the databases and folders that an inventory names itself; an older role wrote none."""
    databases = site.settings.get("databases", UNCHANGED)
    paths = site.settings.get("writable_paths", [])
    named = [] if databases == UNCHANGED else [f"{DATABASES}: {path}" for path in databases]
    return named + [f"{PATHS}: {path}" for path in paths if path != "static/uploads"]


def missing(site: Site) -> list[str]:
    """Return the databases that an inventory names and that do not exist."""
    databases, data = site.settings.get("databases", UNCHANGED), site.path("data")
    if databases == UNCHANGED:
        return []
    return [path for path in map(os.path.normpath, databases) if not tree.has_file(str(data), path)]


def is_temporary(path: str) -> bool:
    """Say whether a file lies where systemd removes it with the service."""
    return path.startswith(tuple(f"/{place}/" for place in TEMPORARY))


def databases_outside(site: Site, shown: Mapping[str, str]) -> list[str]:
    """Return the paths of the SQLite databases that the service keeps outside its data folder, as it sees them.

    They are printable. Nothing is found while the service does not run.
    """
    deadline = time.monotonic() + SEARCH_TIMEOUT
    seen: set[tuple[int, int]] = set()
    found: list[str] = []
    with contextlib.suppress(OSError):
        for path, status in _in_temporary(shown.get("MainPID", "0"), deadline):
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                found.append(path)
    with contextlib.suppress(OSError):
        for path, status in _opened(site, shown.get("ControlGroup", ""), deadline):
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                found.append(path)
    return [printable(path.encode("utf-8", "backslashreplace").decode()).replace("\n", " ") for path in found]


def holds_data(path: str) -> bool:
    """Say whether the name of a database outside the data folder is not that of a cache or a test tool."""
    return not any(fnmatch.fnmatchcase(part.lower(), name) for part in path.split("/") for name in NO_DATA)


# -- the service's own /tmp, /var/tmp and /dev/shm --


def _in_temporary(pid: str, deadline: float) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the databases in the directories for temporary files of a process."""
    if not pid.isdigit() or pid == "0":
        return
    # The link leads to the file system that the process sees; nothing above these directories is the app's.
    root = os.open(f"{PROC}/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for place in TEMPORARY:
            with contextlib.suppress(OSError), tree.beneath(root, place) as directory:
                yield from _walk(directory, f"/{place}", deadline)
    finally:
        os.close(root)


def _walk(directory: int, path: str, deadline: float) -> Iterator[tuple[str, os.stat_result]]:
    left = [(path, os.dup(directory), 0)]
    entries = ENTRIES_LIMIT
    try:
        while left and entries > 0 and time.monotonic() < deadline:
            path, descriptor, depth = left.pop(0)
            try:
                with os.scandir(descriptor) as listed:
                    names = [entry.name for entry in islice(listed, entries)]
                entries -= len(names)
                for name in sorted(names):
                    inner = f"{path}/{name}"
                    if not holds_data(inner):
                        continue
                    status = _status(name, descriptor)
                    if status is None:
                        continue
                    if stat.S_ISDIR(status.st_mode) and depth < DEPTH_LIMIT:
                        with contextlib.suppress(OSError):
                            left.append((inner, os.open(name, tree.OPEN_DIRECTORY, dir_fd=descriptor), depth + 1))
                    elif stat.S_ISREG(status.st_mode) and _is_database(name, descriptor):
                        yield inner, status
            finally:
                os.close(descriptor)
    finally:
        for _, descriptor, _ in left:
            os.close(descriptor)


def _status(name: str, directory: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None


def _is_database(name: str, directory: int | None = None) -> bool:
    """Say whether a regular file is an SQLite database."""
    try:
        if directory is None:
            handle = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        else:
            handle = os.open(name, tree.OPEN_FILE, dir_fd=directory)
    except OSError:
        return False
    try:
        return stat.S_ISREG(os.fstat(handle).st_mode) and tree.is_database(handle)
    finally:
        os.close(handle)


# -- the files that its processes have open --


def _opened(site: Site, group: str, deadline: float) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the databases outside the data folder that a process of the service has open for writing."""
    data = tree.real_path(str(site.path("data")))
    if not group.startswith("/"):
        return
    processes = Path(f"{CGROUPS}{group}/cgroup.procs").read_text(encoding="ascii").split()
    for pid in processes:
        try:
            with os.scandir(f"{PROC}/{pid}/fd") as listed:
                descriptors = list(islice(listed, DESCRIPTORS_LIMIT))
        except OSError:
            continue  # it has ended
        for entry in descriptors:
            if time.monotonic() > deadline:
                return
            with contextlib.suppress(OSError, ValueError):
                path = os.readlink(entry.path)
                if not path.startswith("/") or path.startswith(f"{data}/") or not holds_data(path):
                    continue
                status = os.stat(entry.path)
                # Not by its path: the kernel's link leads to the open file itself.
                if (
                    stat.S_ISREG(status.st_mode)
                    and status.st_nlink
                    and _is_open_for_writing(pid, entry.name)
                    and _is_database(entry.path)
                ):
                    yield path, status


def _is_open_for_writing(pid: str, descriptor: str) -> bool:
    """Say whether a descriptor is open for writing (proc_pid_fdinfo(5)): an app may read any database."""
    for line in Path(f"{PROC}/{pid}/fdinfo/{descriptor}").read_text(encoding="ascii").splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False
