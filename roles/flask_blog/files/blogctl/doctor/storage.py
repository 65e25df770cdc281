"""Who can write and read the data, and how much room there is for it."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..host.files import write_atomically
from ..host.releases import app_folder, live_release
from ..site import Site
from .check import ERROR, ON_CONTROLLER, PLAYBOOK, WARNING, Check, Finding, command, output_of

#: The account of nginx's workers.
PROXY = "www-data"
#: Readable for every account.
PYTHON = "/usr/bin/python3"
#: Paths that a finding names.
NAMED = 5
#: Run as another account: prints which of the paths on its command line cannot be written, or read with what is below,
#: each with the reason, the owner and the group.
#: Nothing is opened, so neither a FIFO nor a large file keeps it.
PROGRAM = """
import json, os, stat, sys, time
what, deadline, found, seen = sys.argv[1], time.monotonic() + 3, [], 0

def problem(path):
    try:
        status = os.lstat(path)
    except OSError as error:
        return None if isinstance(error, FileNotFoundError) else [error.strerror, -1, -1]
    wanted = os.R_OK if what == "read" else os.W_OK
    # nginx enters a directory, and does not list it.
    wanted = (os.X_OK if what == "read" else wanted | os.X_OK) if stat.S_ISDIR(status.st_mode) else wanted
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        return None  # no link of the app is followed
    is_allowed = os.access(path, wanted, follow_symlinks=False)
    return None if is_allowed else ["not allowed", status.st_uid, status.st_gid]

for path in sys.argv[2:]:
    if reason := problem(path):
        found.append([path, *reason])
    for folder, folders, files in os.walk(path) if what == "read" and not os.path.islink(path) else ():
        for name in [*folders, *files]:
            seen += 1
            if not name.startswith(".") and (reason := problem(os.path.join(folder, name))):
                found.append([os.path.join(folder, name), *reason])
        folders[:] = [name for name in folders if not name.startswith(".")]
        if time.monotonic() > deadline or len(found) > 100:
            break
print(json.dumps(found))
"""

#: Below this part of a file system, and of its inodes, it is nearly full; and below the second one, full.
LOW, FULL = 0.10, 0.03
#: Days until full that are a warning and an error; days of samples that a forecast needs, and that are kept.
SOON, VERY_SOON, NEEDED, KEPT = 14, 3, 3, 60
#: Root's record of samples, one a day, in the site's state directory; hours between two, and bytes that are read.
HISTORY, HOURS, HISTORY_LIMIT = "disk.json", 20, 1 << 20
DAY = 24 * 3600.0


# -- rights --


@dataclass(frozen=True)
class Denied:
    """A path that an account cannot use; owner and group are -1 if it cannot even be seen."""

    path: str
    reason: str
    uid: int
    gid: int


def _denied(user: str, group: str, what: str, paths: Sequence[str]) -> list[Denied]:
    """Return which paths an account cannot use."""
    account = pwd.getpwnam(user)
    gid = grp.getgrnam(group).gr_gid
    groups = os.getgrouplist(user, gid)
    identity = (account.pw_uid, gid, groups) if os.geteuid() == 0 else None
    status, output = output_of(PYTHON, "-I", "-B", "-c", PROGRAM, what, *paths, account=identity)
    if status:
        raise OSError(f"the look with the rights of {user} failed: {output.strip()[-300:]}")
    return [Denied(*one) for one in json.loads(output)]


def app_can_write(site: Site) -> Iterator[Finding]:
    """Look, with the rights of the app's account, whether it can write its databases and folders."""
    data = site.path("data")
    declared = [*site.settings.get("databases", []), *site.settings.get("writable_paths", [])]
    paths = [str(data), *(str(data / path) for path in ("instance", *map(os.path.normpath, declared)))]
    denied = _denied(site.settings["user"], site.settings["group"], "write", list(dict.fromkeys(paths)))
    for one in denied[:NAMED]:
        yield Finding(
            ERROR,
            f"the app ({site.settings['user']}) cannot write {one.path}: {one.reason}",
            "posts, comments and uploads end with an error",
            f"{ON_CONTROLLER} It sets owner and mode again.",
            PLAYBOOK,
        )


def nginx_can_read(site: Site) -> Iterator[Finding]:
    """Look, with the rights of nginx's account, whether it can read static files and uploads."""
    release = live_release(site)
    static = [os.path.normpath(folder) for folder in site.settings.get("static", {}).values()]
    written = [os.path.normpath(path) for path in site.settings.get("writable_paths", [])]
    data = site.path("data")
    if release and (site.path("releases") / release).is_dir():
        folder = app_folder(site, release)
        denied = _denied(PROXY, PROXY, "read", [str(folder / path) for path in static])
        if denied:
            yield Finding(
                ERROR,
                f"nginx ({PROXY}) cannot read static files of the live release: {_shown(denied)}",
                "pages have no style and no pictures, or the app has to serve each file, which is slow",
                f"{ON_CONTROLLER} It sets the modes of the release again.",
                PLAYBOOK,
            )
    uploads = [path for path in written if any(f"{path}/".startswith(f"{folder}/") for folder in static)]
    denied = _denied(PROXY, PROXY, "read", [str(data / path) for path in uploads]) if uploads else []
    # The app chose the mode of these; the playbook leaves it, and the app itself may change it.
    own = (pwd.getpwnam(site.settings["user"]).pw_uid, grp.getgrnam(PROXY).gr_gid)
    chosen = [one for one in denied if (one.uid, one.gid) == own]
    why = "the app has to serve each of them, which is slow, or visitors do not see them"
    if chosen:
        folders = " ".join(shlex.quote(f"{path}/") for path in uploads)
        yield Finding(
            WARNING,
            f"nginx ({PROXY}) cannot read uploads: {_shown(chosen)}",
            why,
            "Let nginx's group read them. If the app writes such files again, let it leave their mode to its umask.",
            command(site, "run", "--", "find", folders, "-type f ! -perm -g=r -exec chmod g+r {} +"),
        )
    if others := [one for one in denied if one not in chosen]:
        yield Finding(
            WARNING,
            f"nginx ({PROXY}) cannot read uploads: {_shown(others)}",
            why,
            f"{ON_CONTROLLER} It hands them to the app and to nginx's group.",
            PLAYBOOK,
        )


def _shown(denied: list[Denied]) -> str:
    more = f" and {len(denied) - NAMED} more" if len(denied) > NAMED else ""
    return ", ".join(one.path for one in denied[:NAMED]) + more


# -- room --


def disks_have_room(site: Site, now: float | None = None) -> Iterator[Finding]:
    """Compare the room and the inodes of each file system with what they need, and say when it is full."""
    now = time.time() if now is None else now
    history = _sampled(site, now)
    for place, values in _places(site).items():
        for what, free, total in (
            ("room", values["free"], values["size"]),
            ("inodes", values["free_inodes"], values["inodes"]),
        ):
            if not total:
                continue  # a file system that makes inodes as it needs them
            days = _days_until_full(history, values["device"], what, free)
            part = free / total
            if part >= LOW and (days is None or days >= SOON):
                continue
            is_bad = part < FULL or (days is not None and days < VERY_SOON)
            shown = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB" if what == "room" else f"{free} of {total} inodes"
            when = (
                f"it is full in about {days:.0f} days, as it grew lately"
                if days is not None
                else "when it is full is not known: the doctor keeps a sample each day that it runs, and has too few"
            )
            yield Finding(
                ERROR if is_bad else WARNING,
                f"{place}: {shown} are free; {when}",
                "on a full disk nobody can post, and no backup and no release can be made",
                "Remove what is not needed: the largest folders are listed by the command. flask_blog_keep_releases"
                " and flask_blog_backup_keep say how many releases and backups stay.",
                f"du -xh --max-depth=3 {place} | sort -h | tail -n 20"
                if what == "room"
                else f"du -x --inodes {place} | sort -n | tail -n 20",
            )


def _places(site: Site) -> dict[str, dict[str, Any]]:
    """Return the file systems that the site needs, each by one of its folders."""
    found: dict[str, dict[str, Any]] = {}
    devices = set[int]()
    for folder in (site.path("data"), site.path("backups"), site.path("root"), Path("/var/log"), Path("/")):
        try:
            device, values = os.stat(folder).st_dev, os.statvfs(folder)
        except OSError:
            continue
        if device not in devices:
            devices.add(device)
            found[str(folder)] = {
                "device": str(folder),
                "free": values.f_bavail * values.f_frsize,
                "size": values.f_blocks * values.f_frsize,
                "free_inodes": values.f_favail,
                "inodes": values.f_files,
            }
    return found


def _sampled(site: Site, now: float) -> list[dict[str, Any]]:
    """Return the samples of earlier days, and keep one of today."""
    path = site.path("state") / HISTORY
    samples: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8") as handle:
            read = json.loads(handle.read(HISTORY_LIMIT))
        samples = [one for one in read if isinstance(one, dict) and isinstance(one.get("time"), int | float)]
    except (OSError, ValueError, TypeError):
        pass
    # A clock that was set back must not stop the samples.
    samples = [one for one in samples if now - KEPT * DAY < one["time"] <= now]
    if os.geteuid() == 0 and (not samples or now - samples[-1]["time"] > HOURS * 3600):
        samples.append({"time": now, "places": _places(site)})
        with contextlib.suppress(OSError):  # such as on a full disk, of which this is to tell
            write_atomically(path, json.dumps(samples))
    return samples


def _days_until_full(history: list[dict[str, Any]], device: str, what: str, free: int) -> float | None:
    """Return the days until a file system is full, by the samples' line of best fit; None if it is not known."""
    key = "free" if what == "room" else "free_inodes"
    points = [
        (float(one["time"]), float(values[key]))
        for one in history
        if isinstance(values := one.get("places", {}).get(device), dict) and isinstance(values.get(key), int | float)
    ]
    if len(points) < NEEDED or points[-1][0] - points[0][0] < NEEDED * DAY:
        return None
    times, values_ = [time_ for time_, _ in points], [value for _, value in points]
    mean_time, mean = sum(times) / len(times), sum(values_) / len(values_)
    spread = sum((one - mean_time) ** 2 for one in times)
    slope = sum((one - mean_time) * (value - mean) for one, value in points) / spread
    # A tenth of a percent of the free room in a day is noise.
    return free / -slope / DAY if -slope * DAY > free / 1000 else float("inf")


CHECKS = (
    Check("write", "whether the app can write its data", app_can_write),
    Check("read", "whether nginx can read static files and uploads", nginx_can_read, 10.0),
    Check("disk", "how much room there is", disks_have_room),
)
