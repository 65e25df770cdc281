"""The channels of a message: a webhook, a command, and mail."""

from __future__ import annotations

import contextlib
import email.message
import email.policy
import grp
import json
import os
import pwd
import signal
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from . import message as messages
from . import web
from .settings import COMMAND, MAIL, WEBHOOK, Settings
from .web import Undelivered

#: The interface of every mail system on Debian (Debian Policy 11.6).
SENDMAIL = "/usr/sbin/sendmail"
#: Seconds for the command, and for sendmail to take a message.
TIMEOUT = 30.0
#: Where such a program writes to.
STDERR = 2

Message = dict[str, Any]


def by_webhook(settings: Settings, message: Message) -> None:
    """POST a message as JSON.

    :raises Undelivered: if it is not taken.
    """
    web.send(settings.webhook, messages.for_webhook(message))


def by_command(settings: Settings, message: Message) -> None:
    """Run a command with the message as JSON on its standard input, as an account without rights.

    :raises Undelivered: if the account is root or missing, or the command fails or takes too long.
    """
    try:
        account = pwd.getpwnam(settings.command_user)
    except KeyError:
        raise Undelivered(
            f"the host has no account {settings.command_user!r} (flask_blog_notify.command_user)"
        ) from None
    if account.pw_uid == 0:
        raise Undelivered(f"{account.pw_name} is root, who runs no such command (flask_blog_notify.command_user)")
    groups = [group.gr_gid for group in grp.getgrall() if account.pw_name in group.gr_mem]
    own: dict[str, Any] = {}
    if os.geteuid() != account.pw_uid:
        own = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": account.pw_dir, "LC_ALL": "C.UTF-8"}
    _run(settings.command, json.dumps(message).encode() + b"\n", environment, own)


def by_mail(settings: Settings, message: Message) -> None:
    """Pass a message to the host's mail system.

    :raises Undelivered: if there is none, or it does not take the message.
    """
    if not os.access(SENDMAIL, os.X_OK):
        raise Undelivered(f"the host has no {SENDMAIL}; install a mail system, such as the package msmtp-mta or dma")
    _run([SENDMAIL, "-i", "-t"], mail_of(settings.mail, message), {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, {})


def mail_of(addresses: Sequence[str], message: Message) -> bytes:
    """Return a message as mail (RFC 5322). The mail system adds the sender and the date."""
    mail = email.message.EmailMessage(policy=email.policy.default.clone(linesep="\n"))
    mail["To"] = ", ".join(addresses)
    mail["Subject"] = " ".join(str(message["title"]).split())
    # No answer from a person on holiday (RFC 3834).
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(str(message["text"]), cte="quoted-printable")
    return mail.as_bytes()


def _run(words: Sequence[str], given: bytes, environment: dict[str, str], own: dict[str, Any]) -> None:
    """Run a program in a process group of its own, which ends with it.

    :param own: the account that it runs as; root's, if it is empty.
    :raises Undelivered: if it cannot run, fails or takes too long.
    """
    try:
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.PIPE,
            # To the journal, or to a person who tests it: it may be endless.
            stdout=STDERR,
            stderr=STDERR,
            cwd="/",
            env=environment,
            start_new_session=True,
            **own,
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Undelivered(f"{words[0]} cannot run: {reason}") from error
    try:
        process.communicate(given, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise Undelivered(f"{words[0]} took longer than {TIMEOUT:.0f} s and was ended") from None
    if process.returncode:
        raise Undelivered(f"{words[0]} ended with status {process.returncode}")


#: How each channel sends.
CHANNELS: dict[str, Callable[[Settings, Message], None]] = {WEBHOOK: by_webhook, COMMAND: by_command, MAIL: by_mail}
