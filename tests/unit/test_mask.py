"""Secrets are masked in messages, in each notation in which an app or a traceback prints them."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from ansible_collections.flaskblog.hosting.plugins.filter.environment_file import environment_file
from ansible_collections.flaskblog.hosting.plugins.module_utils import mask
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv.build import BuildError

PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQ\nEFAAS\n-----END KEY-----\n"
SECRETS = ["hunter2", "pa'ss wörd\"&<$HOME\\", "a+b/c=d?e", "tab\there", PEM]
NOTATIONS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in Python": repr,
    "in Python's bytes": lambda value: repr(value.encode()),
    "in a list": lambda value: repr([value]),
    "in JSON": json.dumps,
    "in JSON with all letters": lambda value: json.dumps(value, ensure_ascii=False),
    "in a URL's path": quote,
    "in a URL's query": lambda value: quote(value, safe=""),
    "in a form": quote_plus,
    "in a URL with small letters": lambda value: re.sub("%..", lambda code: code[0].lower(), quote(value, safe="")),
    "in HTML": html.escape,
    "in a shell": shlex.quote,
    "in an environment file": lambda value: environment_file({"X": value}),
    "in one line": lambda value: value.replace("\n", " | "),
}


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_masked_in_each_notation(secret: str, notation: str) -> None:
    printed = NOTATIONS[notation](secret)
    found = mask.Mask([secret]).text(f"before {printed} after")
    assert mask.MASKED in found
    assert found.startswith("before ")
    assert found.endswith(" after")
    assert printed.strip("'\"\n") not in found
    assert not any(
        line in found for line in secret.splitlines() if line[:5] != "-----" and len(line) >= mask.LEAST_LINE
    )


def test_each_line_of_a_secret_is_masked() -> None:
    for line in PEM.splitlines()[1:3]:
        assert mask.Mask([PEM]).text(f"Error in {line}: bad") == "Error in ********: bad"
    assert mask.Mask([PEM]).text("-----BEGIN KEY----- EFAAS") == "-----BEGIN KEY----- EFAAS", "they are no secret"


def test_the_longest_of_two_secrets_is_masked_as_one() -> None:
    assert mask.Mask(["hunter2", "hunter2-and-more"]).text("hunter2-and-more hunter2") == "******** ********"


def test_a_short_value_stays_as_it_is_a_part_of_too_much() -> None:
    assert mask.Mask(["", " ", "587", "a\nb", "abcde"]).text("port 587 abcde a b") == "port 587 abcde a b"
    assert mask.Mask(["abcdef"]).text("abcdef") == "********"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://ada:pa%20ss@index.test/simple", "https://********@index.test/simple"),
        ("git+https://token@git.test/x", "git+https://********@git.test/x"),
        ("postgresql://ada:p@ss@db/blog", "postgresql://********@db/blog"),
        ("redis://:password@127.0.0.1:6379/0", "redis://********@127.0.0.1:6379/0"),
        ("ssh://git@git.test/x", "ssh://git@git.test/x"),
        ("http://127.0.0.1:8000/@ada", "http://127.0.0.1:8000/@ada"),
        ("see https://a.test/ and mail ada@b.test", "see https://a.test/ and mail ada@b.test"),
    ],
)
def test_passwords_in_urls_are_masked_without_being_known(text: str, masked: str) -> None:
    assert mask.Mask().text(text) == masked
    assert str(BuildError(f"ERROR: {text}")) == f"ERROR: {masked}"


def test_all_texts_of_json_are_masked_and_its_keys_are_not() -> None:
    value = {"hunter2": ["a hunter2", 1, None, {"x": "hunter2"}], "n": 2.5}
    assert mask.Mask(["hunter2"]).all_texts(value) == {"hunter2": ["a ********", 1, None, {"x": "********"}], "n": 2.5}


def test_an_environment_file_is_read_as_it_was_written() -> None:
    settings = dict(enumerate(SECRETS))
    written = environment_file({f"S{number}": value for number, value in settings.items()})
    assert mask.parsed(f'# a comment\n{written}SECRET_KEY="0a1b"\n') == {
        **{f"S{number}": value for number, value in settings.items()},
        "SECRET_KEY": "0a1b",
    }


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("DECLARED", "something", {"something"}),
        ("API_KEY", "something", {"something"}),
        ("MAIL_PASSWORD", "something", {"something"}),
        ("SITE_NAME", "A blog", set()),
        ("MONKEYS", "something", set()),
        ("TOKEN_LIFETIME", "86400000", set()),
        ("DATABASE_URL", "postgresql://ada:p%40ssword@db/x", {"p%40ssword", "p@ssword"}),
        ("BROKEN_URL", "http://[::1", set()),
    ],
)
def test_what_is_secret_is_declared_or_told_by_the_name(name: str, value: str, found: set[str]) -> None:
    assert mask.secret_values({name: value}, ["DECLARED"]) == found


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "environment").write_text(environment_file({"OWN": "hunter2", "MAIL_USERNAME": "travel-blog"}))
    (tmp_path / "rehearsal-environment").write_text(environment_file({"TEST_TOKEN": "rehearsed"}))
    return {"name": "travel-blog", "config": str(tmp_path), "secret_settings": ["OWN", "MAIL_USERNAME"]}


def test_a_site_s_secrets_are_those_of_both_files_and_never_its_own_name(settings: dict[str, Any]) -> None:
    assert mask.values_of_site(settings) == {"hunter2", "rehearsed"}


def test_a_site_s_file_is_enough(settings: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    path.write_text(json.dumps(settings))
    assert mask.of_site_file(str(path)).text("hunter2") == "********"
    path.write_text(json.dumps({**settings, "hide_secrets": False}))
    assert mask.of_site_file(str(path)).text("hunter2 https://a:b@c/") == "hunter2 https://a:b@c/"


@pytest.mark.parametrize("content", ["[]", "{", None])
def test_a_site_s_file_that_cannot_be_read_is_no_failure(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "site.json"
    if content is not None:
        path.write_text(content)
    assert mask.of_site_file(str(path)).text("hunter2 https://a:b@c/") == "hunter2 https://********@c/"
