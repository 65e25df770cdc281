"""Read systemd's units as the role writes them, for several variants of the variables."""

from __future__ import annotations

import re
from typing import Any

UNITS = (
    "flask-blog.service",
    "flask-blog-next.service",
    "flask-blog.socket",
    "flask-blog-recovery.service",
    "flask-blog-backup.service",
    "flask-blog-backup.timer",
    "flask-blog-proof.service",
    "flask-blog-proof.timer",
    "flask-blog-offsite.service",
    "flask-blog-offsite.timer",
    "flask-blog-notify-check.service",
    "flask-blog-notify-check.timer",
)

VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "www-data": {"user": "www-data", "group": "www-data"},
    "a weird factory": {"wsgi": """blog:create_app("it's 100 %n", path='C:\\\\x', cost='$5')"""},
    "an app below the top": {"app_dir": "web", "bind": "[::1]:9000"},
    "no backups": {"backup_schedule": "never"},
    "a schedule": {"backup_schedule": "Mon..Fri 03:15"},
    "a repository": {"backup_repository": "/mnt/disk/blog", "backup_password": "correct horse battery"},
    "no network": {"outbound": False},
    "limits as text": {"memory_max": "1G", "memory_high": "infinity", "tasks_max": "100", "outbound": "false"},
    "a Unix socket": {"bind": "unix"},
}

#: The app's own.
APP_UNITS = UNITS[:2]


def unit(render: Any, file: str, /, **variables: Any) -> str:
    return str(render(**variables).text(f"/etc/systemd/system/{file}"))


def settings(text: str) -> dict[str, list[str]]:
    """The settings of a unit by C(Section.Key), continued lines joined (systemd.syntax(7))."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith(("#", ";")):
            key, equals, value = line.partition("=")
            assert section, f"{line!r} stands in no section"
            assert equals, f"{line!r} is no setting"
            found.setdefault(f"{section}.{key}", []).append(value)
    return found


def words(command: str) -> list[str]:
    """Split a command line as systemd does (systemd.service(5), Command lines), specifiers and variables undone."""
    found, position = [], 0
    while position < len(command):
        if command[position] == " ":
            position += 1
            continue
        word, quote = "", ""
        while position < len(command) and (quote or command[position] != " "):
            letter = command[position]
            if letter == "\\":
                position += 1
                word += command[position]
            elif letter == quote:
                quote = ""
            elif not quote and letter in "\"'" and not word:
                quote = letter
            elif letter in "%$":
                assert command[position + 1] == letter, f"a lone {letter} means something to systemd"
                position += 1
                word += letter
            else:
                word += letter
            position += 1
        assert not quote, "a quote is not closed"
        found.append(word)
    return found
