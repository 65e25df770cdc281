# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A change that could lock the operator out: noted first, reverted by a timer, kept once a new connection confirms it.

C(pending.json) has what the program flask-blog-host-revert.py restores. That program and the confirmation take the same
lock, so that one of them comes first and the other finds nothing to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.hardening import state
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic

LOCK = f"{state.FOLDER}/pending.lock"
REVERTED = f"{state.FOLDER}/reverted.json"
#: The number of the last change that was confirmed.
CONFIRMED = f"{state.FOLDER}/confirmed"

TIMER = "flask-blog-host-revert.timer"
SERVICE = "flask-blog-host-revert.service"
TABLE = "inet flask_blog_host"

#: The settings of SSH without passwords.
KEYS_ONLY_FILE = "/etc/ssh/sshd_config.d/00-flask-blog-host.conf"

#: Reload sshd without waiting: at boot, ssh.service waits for the program that asks for it.
RELOAD_SSH = ("systemctl", "--no-block", "try-reload-or-restart", "ssh.service")

Run = Callable[..., object]


class GuardError(Exception):
    """The change cannot be made, or cannot be confirmed."""


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the lock that the revert takes."""
    atomic.make_directories(state.FOLDER)
    os.chmod(state.FOLDER, 0o700)
    descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def pending() -> dict[str, Any] | None:
    """Return the change that is not confirmed yet, or None."""
    text = atomic.read_text(state.PENDING)
    return dict(json.loads(text)) if text else None


def is_confirmed(number: str) -> bool:
    """Return whether a change was confirmed, whose answer the controller may have missed."""
    return bool(number) and atomic.read_text(CONFIRMED) == number


def failed_revert() -> list[str]:
    """Return the steps that failed when a change, which is still pending, was reverted."""
    note, found = pending(), json.loads(atomic.read_text(REVERTED) or "{}")
    return [str(step) for step in found["failed"]] if note and found.get("id") == note["id"] else []


def arm(features: list[str], table: str | None, files: list[str], connection: str, seconds: int, run: Run) -> str:
    """Note what is there now, and start the timer that restores it.

    :param features: the features that are about to change.
    :param table: the firewall's present rules; None without any.
    :param files: paths of the files that are about to change.
    :param connection: C(SSH_CONNECTION) of this run, which cannot confirm the change.
    :returns: the number of the change.
    """
    number = secrets.token_hex(8)
    note = {
        "id": number,
        "features": features,
        "firewall": "firewall" in features,
        "table": table,
        "files": {path: atomic.read_text(path) for path in files},
        "commands": [list(RELOAD_SSH)] if "ssh" in features else [],
        "connection": connection,
    }
    with locked():
        if pending():
            raise GuardError(f"another change is not confirmed yet; it is reverted within {seconds} s. Run again then.")
        atomic.remove(REVERTED)
        atomic.write(state.PENDING, json.dumps(note), 0, 0, 0o600)
    try:
        run("systemctl", "restart", TIMER)
    except BaseException:
        atomic.remove(state.PENDING)
        raise
    return number


def wait_for_others(seconds: int) -> None:
    """Wait until a change of another run is confirmed or reverted.

    :raises GuardError: if it is neither after all.
    """
    deadline = time.monotonic() + seconds + 15
    while pending():
        if time.monotonic() > deadline:
            raise GuardError(
                f"an earlier change of the firewall or of SSH is neither confirmed nor reverted ({state.PENDING})."
                f" Nothing was changed. 'journalctl -u {SERVICE}' on the host says why; 'systemctl start {SERVICE}'"
                " reverts it."
            )
        time.sleep(0.5)


@contextlib.contextmanager
def confirming(number: str, connection: str) -> Iterator[dict[str, Any]]:
    """Keep a change: its revert waits meanwhile, and finds nothing afterwards.

    :param connection: C(SSH_CONNECTION) of this process.
    :raises GuardError: if it is reverted already, or if this is the connection that made it.
    """
    with locked():
        note = pending()
        if not note or note["id"] != number:
            raise GuardError("the change was reverted before it was confirmed")
        if note["connection"] and note["connection"] == connection:
            raise GuardError("the connection that made the change cannot confirm it")
        yield note
        atomic.remove(state.PENDING)
        atomic.write(CONFIRMED, number, 0, 0, 0o600)


def disarm(run: Run) -> None:
    """Stop the timer of a confirmed change."""
    run("systemctl", "stop", TIMER)


def revert(run: Run) -> None:
    """Revert a change now."""
    run("systemctl", "start", SERVICE)
    run("systemctl", "stop", TIMER)
