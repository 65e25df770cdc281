"""Bad input is refused with a message, and nothing is changed.

All cases share one run of Ansible: each is an inventory host with the variables of a valid site, except for the wrong
ones.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from machines import machine

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import bad_sources  # noqa: E402  (the line above says where it lies)

ROOT = HERE.parent.parent
CASES: list[dict[str, Any]] = yaml.safe_load((HERE / "vars" / "cases.yml").read_text(encoding="utf-8"))["cases"]
MACHINES = ["debian12", "ubuntu", "bare"]
GOOD = {
    "ansible_host": machine(MACHINES[0]),
    "ansible_connection": "community.docker.docker",
    "ansible_python_interpreter": "/usr/bin/python3",
    "ansible_user": "root",
    "ansible_become": False,
    "flask_blog_source": str(ROOT / "tests" / "blogs" / "notes"),
    "flask_blog_wsgi": "main:application",
    "flask_blog_server_names": ["notes.example.com"],
}
#: Prints the identity of every file of a machine, except those that systemd and the journal write.
FINGERPRINT = [
    *("find", "/etc", "/home", "/opt", "/root", "/srv", "/usr", "/var", "-xdev"),
    *("(", "-path", "/var/log", "-o", "-path", "/var/lib/systemd", "-o", "-path", "/var/tmp", ")", "-prune", "-o"),
    *("-printf", r"%p %y %m %u:%g %s %T@ %l\n"),
]


@dataclass(frozen=True)
class Attempt:
    """One run with all cases, and the machines before and after it."""

    messages: dict[str, str]
    before: list[list[str]]
    after: list[list[str]]


def fingerprints() -> list[list[str]]:
    """Return a sorted list of all files for each machine."""
    commands = [["docker", "exec", machine(name), *FINGERPRINT] for name in MACHINES]
    return [
        sorted(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())
        for command in commands
    ]


def host_variables(case: dict[str, Any], sources: Path) -> dict[str, Any]:
    """Return a valid site's variables, overridden by the wrong ones."""
    keys = {name: json.dumps((sources / name).read_text())[1:-1] for name in ("locked_key", "open_key")}
    text = json.dumps(case.get("set", {}))
    texts = {"here": str(HERE), "sources": str(sources), "zeros": "0" * 64, "machines": machine(""), **keys}
    for name, value in texts.items():
        text = text.replace(f"{{{name}}}", value)
    unset = case.get("unset", [])
    return {name: value for name, value in {**GOOD, **json.loads(text)}.items() if name not in unset}


@pytest.fixture(scope="module")
def attempt(tmp_path_factory: pytest.TempPathFactory) -> Attempt:
    """Try to deploy all cases."""
    folder = tmp_path_factory.mktemp("bad")
    bad_sources.make(folder)
    hosts = {case["wrong"].replace(" ", "_"): host_variables(case, folder) for case in CASES}
    inventory = folder / "inventory.json"
    inventory.write_text(json.dumps({"flask_blogs": {"hosts": hosts}}))
    before = fingerprints()
    result = subprocess.run(
        ["ansible-playbook", "--inventory", str(inventory), "--forks=4", str(ROOT / "playbooks" / "site.yml")],
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_PIPELINING": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    # Lines that a plugin displays come before the callback's JSON.
    report = json.loads(result.stdout[result.stdout.index("{\n") :])
    failures = {
        host: answer.get("msg", "")
        for play in report["plays"]
        for task in play["tasks"]
        for host, answer in task["hosts"].items()
        if answer.get("failed") or answer.get("unreachable")
    }
    return Attempt({name.replace("_", " "): words for name, words in failures.items()}, before, fingerprints())


@pytest.mark.parametrize("case", CASES, ids=[case["wrong"] for case in CASES])
def test_bad_input_is_refused_with_the_remedy(attempt: Attempt, case: dict[str, Any]) -> None:
    message = attempt.messages.get(case["wrong"])
    assert message is not None, "it was not refused"
    for words in case["says"]:
        assert re.search(words, message, re.DOTALL), message


def test_no_secret_was_shown(attempt: Attempt) -> None:
    assert not any("hunter2" in message for message in attempt.messages.values())


@pytest.mark.parametrize("index", range(len(MACHINES)), ids=MACHINES)
def test_no_file_of_the_machine_was_touched(attempt: Attempt, index: int) -> None:
    assert len(attempt.before[index]) > 5000
    assert sorted(set(attempt.after[index]) ^ set(attempt.before[index]))[:20] == []
