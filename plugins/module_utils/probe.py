# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Probe the running site through its proxy, as a visitor would."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath, bounded_http, contract
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable

#: Bytes that are read of an answer. A longer one is not compared with a file; its status counts.
LIMIT = 64 * 1024 * 1024

#: Seconds that one answer may take if the caller waits for less.
MIN_TIMEOUT = 5.0

#: The proxy's address on this host. Not 127.0.0.1: monitoring often has a server of nginx with that very address, and
#: nginx then asks it for every name, while visitors reach the site. All of 127.0.0.0/8 is this host (RFC 1122).
ADDRESS = "127.0.0.2"

#: Seconds between two attempts.
POLL_INTERVAL = 0.2

#: The most bytes of the file with the site's key that are read.
KEY_FILE_LIMIT = 4096


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


def wanted(site: Mapping[str, Any], probes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what P(ask) needs to know of a site."""
    keys = ("name", "names", "host", "port", "site_key")
    return {**{key: site[key] for key in keys}, "schemes": site["public_schemes"], "probes": probes}


def get(host: str, port: int, path: str, timeout: float, more: Mapping[str, str] | None = None) -> Answer:
    """Send one GET to the proxy on this host, for a site's name. Redirects are not followed.

    :param timeout: seconds for the whole answer.
    :param more: headers besides C(Host).
    """
    headers = {"Host": host, "User-Agent": "flaskblog.hosting", **(more or {})}
    try:
        answer = bounded_http.get((ADDRESS, port), path, headers, seconds=timeout, limit=LIMIT)
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


def other_site(site: Mapping[str, Any], timeout: float) -> str | None:
    """Return the problem if nginx answers for a name of the site with another site; None if all is well.

    Without a key there is nothing to ask for: the site is older than the key, and a run writes it.
    """
    key = _site_key(site["site_key"])
    if not key:
        return None
    right = hashlib.sha256(site["name"].encode()).hexdigest()
    for name in site["names"]:
        host = f"{name}{site['host'][len(site['names'][0]) :]}"
        answer = get(host, site["port"], "/", timeout, {contract.SITE_HEADER: key})
        if answer.status == 0:
            return f"{host}: no answer: {answer.reason}"
        if answer.sha256 != right:
            return (
                f"{host}: another site of this host answers on port {site['port']} (status {answer.status}), not the"
                f" blog {site['name']}. Look for the name in what 'nginx -T' prints, and remove it from the other site,"
                " or choose other flask_blog_server_names"
            )
    return None


def _site_key(path: str) -> str:
    try:
        content = beneath.read_small(os.path.dirname(path), os.path.basename(path), KEY_FILE_LIMIT)
    except (OSError, beneath.Blocked):
        return ""
    found = re.search(rb'"([0-9a-f]{64})"', content)
    return found[1].decode() if found else ""


def ask(site: Mapping[str, Any], timeout: float = 0.0) -> list[str]:
    """Probe a site, and return the problems.

    :param site: as P(wanted) returns it.
    :param timeout: seconds in which each probe is retried until its answer is good.
    """
    deadline = time.monotonic() + timeout
    limit = max(MIN_TIMEOUT, timeout)
    if problem := _retried(lambda: other_site(site, limit), deadline):
        return [problem]

    def problem_of(one: Mapping[str, Any]) -> str | None:
        answer = get(site["host"], site["port"], one["path"], limit)
        return problem_with(one, answer, site["host"], site["schemes"])

    problems = [_retried(partial(problem_of, one), deadline) for one in site["probes"]]
    return [problem for problem in problems if problem]


def _retried(attempt: Callable[[], str | None], deadline: float) -> str | None:
    """Repeat an attempt until it finds no problem or the time is over; return the last problem."""
    while problem := attempt():
        if time.monotonic() >= deadline:
            return problem
        time.sleep(POLL_INTERVAL)
    return None


def journal(units: Sequence[str], lines: int = 30) -> str:
    """Return the last lines that some units wrote to the journal."""
    command = ["journalctl", "--no-pager", "--quiet", "--output=short-iso", f"--lines={lines}"]
    command += [f"--unit={unit}" for unit in units]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return result.stdout.strip() or "(the journal holds nothing)"
