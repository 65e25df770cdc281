#!/usr/bin/env python3
"""Write the generated parts of the roles' READMEs: variables, entry points and tags.

docs/tools/variables.py            writes them
docs/tools/variables.py --check    reports whether they are fresh, for tests and hooks
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "roles"
#: The command that tells the reader of the README not to edit what stands between the markers.
TOOL = "docs/tools/variables.py writes what follows"


def specs_file(role: Path) -> Path:
    return role / "meta" / "argument_specs.yml"


def specifications(role: Path) -> dict[str, Any]:
    """Return the specification of each entry point of a role."""
    return dict(yaml.safe_load(specs_file(role).read_text(encoding="utf-8"))["argument_specs"])


def groups(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each heading of the specification (C(# -- the site --)) with the variables under it, each one once."""
    title, names, seen = "", list[str](), set[str]()
    for line in text.splitlines():
        if heading := re.fullmatch(r"\s*# -- (.+) --", line):
            if names:
                yield title, names
            title, names = heading[1], []
        elif (variable := re.fullmatch(r" {6}(flask_blog_\w+):", line)) and variable[1] not in seen:
            names.append(variable[1])
            seen.add(variable[1])
    yield title, names


def plain(text: str) -> str:
    r"""Turn Ansible's markup into Markdown: C(x) and O(x) become code, \) a parenthesis."""
    text = re.sub(r"\b[CO]\(((?:\\.|[^)\\])*)\)", lambda match: f"`{match[1]}`", text)
    return text.replace("\\)", ")").replace("|", "\\|")


def cell(description: str | list[str]) -> str:
    """Return a description, one sentence or several, as the text of one table cell."""
    sentences = [description] if isinstance(description, str) else description
    return plain(" ".join(" ".join(sentence.split()) for sentence in sentences))


def meaning(option: dict[str, Any]) -> str:
    """Return a variable's description with its choices."""
    text = cell(option["description"])
    if choices := option.get("choices"):
        text += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
    return text


def default(option: dict[str, Any]) -> str:
    """Return a variable's default as it is written in YAML."""
    if option.get("required"):
        return "required"
    value = option["default"]
    if isinstance(value, str):
        return f"`{value}`" if value else '`""`'
    return f"`{json.dumps(value)}`"


def table(heading: str, rows: list[list[str]]) -> str:
    """Return a table.

    :param heading: its first line, C(| A | B |).
    """
    rule = re.sub(r"[^|]+", "---", heading)
    return "\n".join([heading, rule, *(f"| {' | '.join(row)} |" for row in rows)])


def variables(role: Path) -> str:
    """Return the tables of variables, one for each group."""
    specs = [*specifications(role).values()]
    options = {name: option for spec in specs[::-1] for name, option in spec["options"].items()}
    parts = []
    for title, names in groups(specs_file(role).read_text(encoding="utf-8")):
        rows = [[f"`{name}`", default(options[name]), meaning(options[name])] for name in names]
        parts.append(f"### {title[:1].upper()}{title[1:]}\n\n" + table("| Variable | Default | Meaning |", rows))
    return "\n\n".join(parts)


def entry_points(role: Path) -> str:
    """Return the table of entry points, each with its playbook."""
    rows = []
    for name, spec in specifications(role).items():
        playbook = "site" if name == "main" else name
        rows.append([f"`{name}`", f"`playbooks/{playbook}.yml`", cell(spec["description"])])
    return table("| Entry point | Playbook | Effect |", rows)


def tags(role: Path) -> str:
    """Return the table of tags, which are the layers of tasks/main.yml in their order."""
    layers = yaml.safe_load((role / "tasks" / "main.yml").read_text(encoding="utf-8"))
    rows = [[", ".join(f"`{tag}`" for tag in layer["tags"]), layer["name"]] for layer in layers]
    return table("| Tag | Layer |", rows)


#: The generated parts of each role's README.
PARTS = {
    "flask_blog": {"variables": variables, "entry points": entry_points, "tags": tags},
    "host": {"variables": variables},
}


def fresh(role: Path, readme: str) -> str:
    """Return a role's README with fresh text between the markers of each part.

    :raises SystemExit: if a marker is missing.
    """
    for name, generate in PARTS[role.name].items():
        begin, end = f"<!-- {name}: begin ({TOOL}) -->", f"<!-- {name}: end -->"
        before, found, rest = readme.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise SystemExit(f"{role.name}/README.md lacks its markers: {begin} and {end}")
        readme = f"{before}{begin}\n\n{generate(role)}\n\n{end}{after}"
    return readme


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the generated parts of the roles' READMEs.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a part is stale")
    options = parser.parse_args()
    stale = False
    for path in sorted(ROLES.glob("*/README.md")):
        readme = path.read_text(encoding="utf-8")
        wanted = fresh(path.parent, readme)
        if not options.check:
            path.write_text(wanted, encoding="utf-8")
        elif readme != wanted:
            print(f"{path.relative_to(ROOT)} is stale: run docs/tools/variables.py", file=sys.stderr)
            stale = True
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
