# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Probe the running site through its proxy, as a visitor would."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import bounded_http, contract
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable

#: Bytes that are read of an answer. A longer one is not compared with a file; its status counts.
LIMIT = 64 * 1024 * 1024

#: Seconds that one answer may take if the caller waits for less.
MIN_TIMEOUT = 5.0

#: Seconds between two attempts.
POLL_INTERVAL = 0.2


@dataclass(frozen=True)
class Answer:
    """What the site answered.

    C(status) is 0 if there was no answer, and C(reason) says why. C(sha256) is that of a body that was read completely,
    C(location) the header of that name.
    """

    status: int
    reason: str = ""
    sha256: str | None = None
    location: str = ""


def get(host: str, port: int, path: str, timeout: float) -> Answer:
    """Send one GET to the proxy on this host, for a site's name. Redirects are not followed.

    :param timeout: seconds for the whole answer.
    """
    headers = {"Host": host, "User-Agent": "flaskblog.hosting"}
    try:
        answer = bounded_http.get(("127.0.0.1", port), path, headers, seconds=timeout, limit=LIMIT)
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, printable(str(error))[:200] or type(error).__name__)
    return Answer(
        answer.status,
        sha256=answer.sha256 if answer.is_whole else None,
        location=str(answer.headers.get("Location", "")),
    )


def problem_with(wanted: Mapping[str, Any], answer: Answer, host: str, schemes: Sequence[str]) -> str | None:
    """Return what is wrong with an answer, or None.

    :param wanted: C(what) for people, C(path), and C(sha256) of the expected body, or C(allow_login) if 401 and 403
        are good answers, too.
    :param host: the site's name, and its port if that is not the scheme's own.
    :param schemes: by which visitors reach the site.
    """
    asked = f"{wanted['what']} ({wanted['path']})"
    if answer.status == 0:
        return f"{asked}: no answer: {answer.reason}"
    if not contract.is_healthy(answer.status, allow_login=bool(wanted.get("allow_login"))):
        return f"{asked}: answered {answer.status}"
    if problem := contract.redirect_problem(answer.status, answer.location, host, schemes):
        return f"{asked}: {problem}"
    if wanted.get("sha256") and answer.sha256 not in (None, wanted["sha256"]):
        return f"{asked}: answered with something other than the release's file"
    return None


def ask(site: Mapping[str, Any], timeout: float = 0.0) -> list[str]:
    """Probe a site, and return the problems.

    :param site: C(host), C(port), C(schemes) and C(probes).
    :param timeout: seconds in which each probe is retried until its answer is good.
    """
    deadline = time.monotonic() + timeout
    problems = []
    for wanted in site["probes"]:
        while True:
            answer = get(site["host"], site["port"], wanted["path"], timeout=max(MIN_TIMEOUT, timeout))
            problem = problem_with(wanted, answer, site["host"], site["schemes"])
            if problem is None or time.monotonic() >= deadline:
                break
            time.sleep(POLL_INTERVAL)
        if problem:
            problems.append(problem)
    return problems


def journal(units: Sequence[str], lines: int = 30) -> str:
    """Return the last lines that some units wrote to the journal."""
    command = ["journalctl", "--no-pager", "--quiet", "--output=short-iso", f"--lines={lines}"]
    command += [f"--unit={unit}" for unit in units]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return result.stdout.strip() or "(the journal holds nothing)"
