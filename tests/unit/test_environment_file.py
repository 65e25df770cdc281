"""Every value comes back from systemd's environment file as it was given."""

from __future__ import annotations

import random

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.flaskblog.hosting.plugins.filter.environment_file import FilterModule, environment_file


def read_as_systemd(text: str) -> dict[str, str]:
    """Read an environment file by the rules of systemd.exec(5), EnvironmentFile=.

    Lines that are empty or begin with C(#) or C(;) are passed over. A value may be quoted like in a shell; inside
    double quotes a backslash stands for itself, unless a double quote, a backslash, a backtick or a dollar follows,
    or the end of the line, which then continues. Nothing is expanded.
    """
    found, position = {}, 0
    while position < len(text):
        if text[position] in "\n\r \t":
            position += 1
            continue
        if text[position] in "#;":
            position = text.index("\n", position) + 1
            continue
        equals = text.index("=", position)
        name = text[position:equals].strip()
        position = equals + 1
        assert text[position] == '"', f"{name} is not in double quotes"
        position += 1
        value = ""
        while text[position] != '"':
            if text[position] == "\\":
                position += 1
                if text[position] in '"\\`$':
                    value += text[position]
                elif text[position] != "\n":
                    value += "\\" + text[position]
            else:
                value += text[position]
            position += 1
        found[name] = value
        position += 1
        assert text[position] == "\n", f"something follows the value of {name}"
        position += 1
    return found


NASTY = [
    "",
    " ",
    " leading and trailing ",
    'a "quoted" word',
    "it's",
    "$HOME ${HOME} $(id) `id`",
    "back\\slash \\n \\\\ \\",
    "\\",
    '"',
    '\\"',
    "two\nlines",
    "\n",
    "ends with backslash and newline\\\n",
    "# no comment",
    "; no comment",
    "a=b=c",
    "100 %n %%",
    "tab\there",
    "carriage\rreturn",
    "Größe ☃ 🎉",
    "postgresql://user:p@ss:w0rd@host/db?a=b&c=d#e",
    'SECRET_KEY="0000"\nADMIN=1',
]


@pytest.mark.parametrize("value", NASTY)
def test_a_nasty_value_comes_back_as_it_was(value: str) -> None:
    assert read_as_systemd(environment_file({"A": value, "B": "after"})) == {"A": value, "B": "after"}


def test_many_random_values_come_back_as_they_were() -> None:
    letters = random.Random(2026)  # noqa: S311
    for _ in range(500):
        settings = {
            f"S{number}": "".join(letters.choices("ab \\\"'`$#;=%\n\r\té", k=letters.randint(0, 12)))
            for number in range(4)
        }
        assert read_as_systemd(environment_file(settings)) == settings


@pytest.mark.parametrize(
    ("value", "word"), [(True, "true"), (False, "false"), (8, "8"), (0.5, "0.5"), (None, ""), ("True", "True")]
)
def test_values_that_are_no_text_become_what_apps_read(value: object, word: str) -> None:
    assert read_as_systemd(environment_file({"A": value})) == {"A": word}


def test_the_order_of_a_mapping_does_not_change_the_file() -> None:
    assert environment_file({"B": 1, "A": 2}) == environment_file({"A": 2, "B": 1}) == 'A="2"\nB="1"\n'


def test_what_no_environment_can_hold_is_ansibles_error() -> None:
    with pytest.raises(AnsibleFilterError, match="NUL"):
        environment_file({"A": "a\0b"})


def test_the_filter_is_found_under_its_name() -> None:
    assert FilterModule().filters() == {"environment_file": environment_file}
