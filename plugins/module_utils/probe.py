# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Ask the running site, through its proxy, what a visitor would ask."""

from __future__ import annotations

import hashlib
import http.client
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

#: Statuses of a home page that is there, if only for somebody else: a blog may ask for a login.
ANSWERED = frozenset(range(200, 400)) | {401, 403}


def get(host: str, port: int, path: str, timeout: float) -> tuple[int, bytes]:
    """Send one GET to the proxy on this host, under a site's name.

    :param timeout: seconds for each read and write.
    :returns: the status and the body, no redirect followed; status 0 with the reason where nothing answered.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": host, "User-Agent": "flaskblog.hosting"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode() or type(error).__name__.encode()
    finally:
        connection.close()


def problem_with(question: Mapping[str, Any], status: int, body: bytes) -> str | None:
    """Say what is wrong with an answer, or None.

    :param question: C(what) for people, C(path), and C(sha256) of the expected body or C(allow) for the statuses.
    """
    if status == 0:
        return f"{question['what']} ({question['path']}): no answer: {body.decode(errors='replace')}"
    allowed = ANSWERED if question.get("lenient") else frozenset(range(200, 400))
    if status not in allowed:
        return f"{question['what']} ({question['path']}): answered {status}"
    if question.get("sha256") and hashlib.sha256(body).hexdigest() != question["sha256"]:
        return f"{question['what']} ({question['path']}): answered with something other than the release's file"
    return None


def ask(site: Mapping[str, Any], patience: float = 0.0) -> list[str]:
    """Ask a site all its questions and return what is wrong, in words.

    :param site: C(host), C(port), C(questions).
    :param patience: seconds for which a question is asked again until it is answered well.
    """
    deadline = time.monotonic() + patience
    problems = []
    for question in site["questions"]:
        while True:
            status, body = get(site["host"], site["port"], question["path"], timeout=max(5.0, patience))
            problem = problem_with(question, status, body)
            if problem is None or time.monotonic() >= deadline:
                break
            time.sleep(0.2)
        if problem:
            problems.append(problem)
    return problems


def journal(units: Sequence[str], lines: int = 30) -> str:
    """Return the last lines that some units wrote to the journal."""
    command = ["journalctl", "--no-pager", "--quiet", "--output=short-iso", f"--lines={lines}"]
    command += [f"--unit={unit}" for unit in units]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return result.stdout.strip() or "(the journal holds nothing)"
