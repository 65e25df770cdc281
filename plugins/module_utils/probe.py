# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Ask the running site, through its proxy, what a visitor would ask."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import bounded_http
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable

#: Bytes of an answer that are read at most. A longer one is not compared: its status counts.
LIMIT = 64 * 1024 * 1024

#: Statuses of a home page that is there, if only for somebody else: a blog may ask for a login.
ANSWERED = frozenset(range(200, 400)) | {401, 403}


@dataclass(frozen=True)
class Answer:
    """What the site answered: C(status) 0 and the reason in words where it did not, C(sha256) of a whole body."""

    status: int
    reason: str = ""
    sha256: str | None = None


def get(host: str, port: int, path: str, timeout: float) -> Answer:
    """Send one GET to the proxy on this host, under a site's name; no redirect is followed.

    :param timeout: seconds for the whole answer.
    """
    headers = {"Host": host, "User-Agent": "flaskblog.hosting"}
    try:
        answer = bounded_http.get(("127.0.0.1", port), path, headers, seconds=timeout, limit=LIMIT)
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, printable(str(error))[:200] or type(error).__name__)
    return Answer(answer.status, sha256=answer.sha256 if answer.is_whole else None)


def problem_with(question: Mapping[str, Any], answer: Answer) -> str | None:
    """Say what is wrong with an answer, or None.

    :param question: C(what) for people, C(path), and C(sha256) of the expected body or C(lenient) for the statuses.
    """
    if answer.status == 0:
        return f"{question['what']} ({question['path']}): no answer: {answer.reason}"
    allowed = ANSWERED if question.get("lenient") else frozenset(range(200, 400))
    if answer.status not in allowed:
        return f"{question['what']} ({question['path']}): answered {answer.status}"
    if question.get("sha256") and answer.sha256 not in (None, question["sha256"]):
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
            answer = get(site["host"], site["port"], question["path"], timeout=max(5.0, patience))
            problem = problem_with(question, answer)
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
