#!/usr/bin/env python3
"""Write blogctl's man page from the grammar that its help comes from.

docs/tools/man_page.py            writes it
docs/tools/man_page.py --check    says whether it is fresh, for tests and hooks
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "roles" / "flask_blog" / "files"
PAGE = FILES / "man" / "blogctl.8"

sys.path.insert(0, str(FILES))

from blogctl import commands  # noqa: E402  (its place is named above)
from blogctl.commands import grammar, reference  # noqa: E402
from blogctl.commands.command import Command  # noqa: E402


def page() -> str:
    """Return the man page (man(7))."""
    known = commands.load_all()
    top = grammar.parser(known)
    parsers = grammar.subparsers(top)
    statuses = {str(status): meaning for status, meaning in grammar.statuses_of(known).items()}
    lines = [
        '.\\" Managed by Ansible (flaskblog.hosting). Written by docs/tools/man_page.py.',
        '.TH BLOGCTL 8 "" "flaskblog.hosting" "System Administration"',
        *section("NAME", [escaped(f"blogctl - {reference.SUMMARY}")]),
        *section("SYNOPSIS", synopsis(reference.USAGE)),
        *section("DESCRIPTION", paragraphs(reference.DESCRIPTION)),
        *section("COMMANDS", [line for one in known for line in command(one, parsers[one.name])]),
        *section("OPTIONS", ["They may stand before a command or after it.", *options(top)]),
        *section("EXIT STATUS", [*definitions(statuses), ".PP", escaped(reference.STATUSES_NOTE)]),
        *section("ENVIRONMENT", definitions(reference.ENVIRONMENT)),
        *section("FILES", [escaped(reference.FILES_NOTE), *definitions(reference.FILES, font="I")]),
        *section("EXAMPLES", definitions(reference.EXAMPLES)),
        *section("SEE ALSO", [",\n".join(reference_to(name) for name in reference.SEE_ALSO)]),
    ]
    return "\n".join(lines) + "\n"


def section(title: str, lines: list[str]) -> list[str]:
    """Return a section."""
    return [f".SH {title}", *lines]


def escaped(text: str) -> str:
    """Return a text in which roff finds no control character (groff_man(7), groff_char(7))."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return f"\\&{text}" if text.startswith(".") else text


def sentences(text: str) -> str:
    """Return a text with each sentence on a line of its own, as roff needs it for the space after it (man(7))."""
    return re.sub(r"(?<=\.) (?=[A-Z])", "\n", escaped(text))


def synopsis(usages: tuple[str, ...]) -> list[str]:
    """Return the command lines, one a line."""
    return [line for usage in usages for line in (f".B {escaped(usage)}", ".br")][:-1]


def paragraphs(texts: tuple[str, ...]) -> list[str]:
    """Return paragraphs."""
    return [line for text in texts for line in (".PP", sentences(text))][1:]


def definitions(rows: Mapping[str, str], font: str = "B") -> list[str]:
    """Return a list of terms with their meaning."""
    return [line for term, meaning in rows.items() for line in (".TP", f".{font} {escaped(term)}", escaped(meaning))]


def reference_to(name: str) -> str:
    """Return a reference to another man page, such as C(journalctl(1))."""
    title, _, number = name.partition("(")
    return f".BR {escaped(title)} ({number}"


def command(one: Command, parser: argparse.ArgumentParser) -> list[str]:
    """Return a command with its own options and exit statuses."""
    usage = " ".join((one.usage or own_usage(one, parser)).split())
    lines = [f".SS {escaped(usage)}", sentences(grammar.sentences_of(one))]
    return [*lines, *options(parser, without=("--site", "--json", "--help"))]


def own_usage(one: Command, parser: argparse.ArgumentParser) -> str:
    """Return a command's line without the options of all commands."""
    parts = [f"blogctl {one.name}"]
    for action in actions(parser, without=("--site", "--json", "--help")):
        if action.option_strings:
            parts.append(f"[{action.option_strings[-1]}{f' {action.metavar}' if action.metavar else ''}]")
        else:
            name = "|".join(map(str, action.choices)) if action.choices and not action.metavar else action.metavar
            parts.append(f"[{name}]" if action.nargs == "?" else str(name))
    return " ".join(parts)


def actions(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> Iterator[argparse.Action]:
    """Yield a parser's arguments, but for options that are left out and for the commands."""
    for action in parser._actions:
        if not (isinstance(action, argparse._SubParsersAction) or {*action.option_strings} & {*without}):
            yield action


def options(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> list[str]:
    """Return the options and arguments of a parser."""
    rows = {}
    for action in actions(parser, without):
        value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else "")
        names = ", ".join(action.option_strings)
        rows[f"{names} {value}".strip()] = str(action.help)
    return definitions(rows)


def main() -> int:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if the page is stale")
    if not parser.parse_args().check:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE.relative_to(ROOT)} is stale; run docs/tools/man_page.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
