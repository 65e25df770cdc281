#!/usr/bin/env python3
"""Write the README's tables of variables from the role's specification.

docs/tools/variables.py            writes them
docs/tools/variables.py --check    says whether they are fresh, for tests and hooks
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
SPECS = ROOT / "roles" / "flask_blog" / "meta" / "argument_specs.yml"
README = ROOT / "README.md"
BEGIN = "<!-- variables: begin (docs/tools/variables.py writes what follows) -->"
END = "<!-- variables: end -->"


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


def meaning(option: dict[str, Any]) -> str:
    """Return a variable's description in one cell."""
    description = option["description"]
    sentences = [description] if isinstance(description, str) else description
    words = " ".join(" ".join(sentence.split()) for sentence in sentences)
    if choices := option.get("choices"):
        words += f" One of {', '.join(f'C({choice})' for choice in choices)}."
    return plain(words)


def default(option: dict[str, Any]) -> str:
    """Return a variable's default as somebody would write it in YAML."""
    if option.get("required"):
        return "required"
    value = option["default"]
    if isinstance(value, str):
        return f"`{value}`" if value else '`""`'
    return f"`{json.dumps(value)}`"


def tables() -> str:
    """Return the tables, one for each group."""
    text = SPECS.read_text(encoding="utf-8")
    entry_points = yaml.safe_load(text)["argument_specs"].values()
    options = {name: option for one in [*entry_points][::-1] for name, option in one["options"].items()}
    parts = []
    for title, names in groups(text):
        rows = [f"| `{name}` | {default(options[name])} | {meaning(options[name])} |" for name in names]
        parts.append(
            "\n".join([f"### {title.capitalize()}", "", "| Variable | Default | Meaning |", "|---|---|---|", *rows])
        )
    return "\n\n".join(parts)


def fresh(readme: str) -> str:
    """Return the README with fresh tables between its markers."""
    before, _, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{README} lacks its markers: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the README's tables of variables from the specification.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the tables are stale")
    options = parser.parse_args()
    readme = README.read_text(encoding="utf-8")
    wanted = fresh(readme)
    if options.check:
        if readme != wanted:
            print("README.md is stale: run docs/tools/variables.py", file=sys.stderr)
        return int(readme != wanted)
    README.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
