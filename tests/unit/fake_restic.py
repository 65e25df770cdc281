"""What stands for restic: a script that writes down what it is asked, and answers as a test wants."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blogctl.backup import offsite
from blogctl.site import Site

#: Behaves as the file "answers.json" beside it says, by the command, and writes down what it was asked.
SCRIPT = """#!{python}
import json, os, pathlib, sys
here = pathlib.Path({here!r})
words = sys.argv[1:]
command = next(word for word in words if word in
               ("cat", "init", "snapshots", "backup", "forget", "prune", "check", "unlock", "restore"))
seen = {{key: value for key, value in os.environ.items()}}
with (here / "asked").open("a") as log:
    log.write(json.dumps([command, words, seen, os.getcwd()]) + "\\n")
answers = json.loads((here / "answers.json").read_text())
state = here / "snapshots.json"
snapshots = json.loads(state.read_text()) if state.exists() else []
answer = answers.get(command, {{}})
if answer.get("error"):
    sys.stderr.write(answer["error"])
    sys.exit(answer.get("status", 1))
if command == "backup":
    tags = [words[n + 1] for n, word in enumerate(words) if word == "--tag"]
    time, host = (words[words.index(option) + 1] for option in ("--time", "--host"))
    snapshots.append({{"id": "%064x" % (len(snapshots) + 1), "time": time, "hostname": host, "tags": tags}})
elif command == "forget":
    snapshots = [one for one in snapshots if one["id"] not in words]
elif command == "snapshots":
    print(json.dumps(snapshots))
state.write_text(json.dumps(snapshots))
"""


@dataclass
class Restic:
    """What stands for restic."""

    folder: Path
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def fails(self, command: str, error: str, status: int = 1) -> None:
        self.answers[command] = {"error": error, "status": status}
        self.write()

    def works(self) -> None:
        self.answers.clear()
        self.write()

    def write(self) -> None:
        (self.folder / "answers.json").write_text(json.dumps(self.answers))

    @property
    def asked(self) -> list[list[Any]]:
        try:
            return [json.loads(line) for line in (self.folder / "asked").read_text().splitlines()]
        except FileNotFoundError:
            return []

    def forget_log(self) -> None:
        (self.folder / "asked").unlink(missing_ok=True)

    @property
    def commands(self) -> list[str]:
        return [entry[0] for entry in self.asked]

    @property
    def snapshots(self) -> list[dict[str, Any]]:
        return list(json.loads((self.folder / "snapshots.json").read_text()))


def copied(blog: Site, program: Restic) -> offsite.Outcome:
    """The first copy, which makes the repository."""
    outcome = offsite.copy(blog)
    program.works()
    program.forget_log()
    return outcome
