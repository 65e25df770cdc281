"""Every boolean and number of the interface has its effect as text, which -e NAME=VALUE and INI inventories give."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role as role_files
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import types
from role_variables import role_variables

ROLE = Path(__file__).parents[2] / "roles" / "flask_blog"
Option = dict[str, Any]
OPTIONS: dict[str, Option] = {
    name.removeprefix("flask_blog_"): option
    for entry_point in yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"].values()
    for name, option in entry_point["options"].items()
}
#: Text for each boolean that Ansible's own conversions accept, and that no Ansible version reads in another way.
TEXTS = {True: ["true", "YES", "on", "1"], False: ["false", "No", "Off", "0"]}
#: Whole numbers that are valid text of a variable whose type is text.
NUMBERS_AS_TEXT = {
    "version": 2026,
    "source_max_size": 1073741824,
    "source_max_file_size": 1048576,
    "memory_max": 536870912,
    "memory_high": 536870912,
    "client_max_body_size": 8000000,
    "app_dir": 2027,
    "requirements": 2028,
    "rollback_release": 20260101,
    "restore": 20260101,
}


#: A name server that takes updates.
WORDS = {"acme_dns": {"provider": "rfc2136", "server": "192.0.2.53", "key_name": "blog", "key": "c2VjcmV0LXNlY3JldA=="}}

#: What the tasks give to the modules.
TASKS = "\n".join(path.read_text() for path in sorted((ROLE / "tasks").glob("*.yml")))


@functools.cache
def declared() -> tuple[DataLoader, dict[str, Any]]:
    loader = DataLoader()
    return loader, role_variables(loader, ROLE)


def everything(chosen: dict[str, Any]) -> dict[str, str]:
    """Return all that the role derives and renders with these variables: by name or path, as JSON."""
    loader, variables = declared()
    variables = {
        "inventory_hostname": "blog.test",
        "role_path": str(ROLE),
        **variables,
        "flask_blog_source": "https://git.test/blog",
        "flask_blog_maintenance": True,
        "ansible_play_batch": ["blog.test"],
        "hostvars": {"blog.test": {"__flask_blog_doctor": {}}},
        "__flask_blog_plan": {"layers": [], "differences": []},
        "flask_blog_server_names": ["blog.test", "www.blog.test"],
        "flask_blog_release_commands": ["flask db upgrade"],
        **{f"flask_blog_{name}": value for name, value in chosen.items()},
    }
    templar = Templar(loader=loader, variables=variables)
    names = {name for name in re.findall(r"__flask_blog_\w+", TASKS) if name in variables}
    found = {name: templar.template(variables[name]) for name in sorted(names)}
    action: Any = SimpleNamespace(_loader=loader, _templar=templar)
    files = role_files.rendered(action, variables, found.pop("__flask_blog_objects"))
    assert len(names) > 8
    assert len(files) > 40
    found |= {f"{item['kind']} {item['path']}": item for item in files}
    return {name: json.dumps(value, sort_keys=True, default=str) for name, value in found.items()}


def differences(native: dict[str, Any], as_text: dict[str, Any]) -> list[tuple[str, str | None, str | None]]:
    """Return what is not the same for values and their text."""
    one, other = everything(native), everything(as_text)
    return [(name, one.get(name), other.get(name)) for name in {**one, **other} if one.get(name) != other.get(name)]


def all_values(boolean: bool, first_number: int) -> dict[str, Any]:
    """Return a value for each boolean and number: the numbers differ from each other."""
    found: dict[str, Any] = {"rehearse": boolean}
    for place, (name, option) in enumerate(OPTIONS.items(), first_number):
        if option["type"] == "bool":
            found[name] = boolean
        elif option["type"] == "int":
            found[name] = place
        elif "options" in option:
            kinds = {key: one["type"] for key, one in option["options"].items()}
            assert {*kinds.values()} <= {"int", "str", "dict", "list"}, "another type needs a value here"
            values = {key: one["default"] for key, one in option["options"].items()} | WORDS.get(name, {})
            found[name] = values | {key: place + more for more, key in enumerate(kinds) if kinds[key] == "int"}
    return found


def as_text(value: Any, boolean: str) -> Any:
    """Return the text of a number, this text for a boolean, and a mapping with the text of its values."""
    if isinstance(value, dict):
        return {key: as_text(item, boolean) for key, item in value.items()} if value else value
    if isinstance(value, list):
        return value
    return boolean if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(("boolean", "text"), [(boolean, text) for boolean, texts in TEXTS.items() for text in texts])
def test_a_boolean_or_number_has_the_same_effect_as_text(boolean: bool, text: str) -> None:
    native = all_values(boolean, 0 if boolean else 17)
    given = {name: as_text(value, text) for name, value in native.items()}
    for name, value in given.items():
        assert list(types.problems(OPTIONS[name], name, value)) == [], "it is not refused"
        assert types.converted(OPTIONS[name], value) == (value if name == "rehearse" else native[name])
    assert differences(native, given) == []


def test_zero_has_the_same_effect_as_text() -> None:
    """C("0") is true for Jinja."""
    zero = {name: 0 for name, option in OPTIONS.items() if option["type"] == "int"}
    assert differences(zero, dict.fromkeys(zero, "0")) == []


@pytest.mark.parametrize("number", [0, 53])
def test_a_number_of_a_mapping_has_the_same_effect_as_text(number: int) -> None:
    numbers = {"port": number, "propagation_seconds": number}
    native = {"tls": "acme", "acme_dns": WORDS["acme_dns"] | numbers}
    given = {"tls": "acme", "acme_dns": WORDS["acme_dns"] | {key: str(value) for key, value in numbers.items()}}
    assert differences(native, given) == []


def test_a_word_among_booleans_has_its_effect_in_any_case() -> None:
    assert differences({"rehearse": "start"}, {"rehearse": "Start"}) == []


def test_a_number_has_the_same_effect_where_text_belongs() -> None:
    for name, value in NUMBERS_AS_TEXT.items():
        assert list(types.problems(OPTIONS[name], name, value)) == [], "it is not refused"
    assert differences({name: str(value) for name, value in NUMBERS_AS_TEXT.items()}, NUMBERS_AS_TEXT) == []


def test_booleans_are_read_in_the_file_that_converts_them_alone() -> None:
    """C({% if flask_blog_ipv6 %}) is true for "false"; the templates read C(__flask_blog_ipv6)."""
    converted = ROLE / "vars" / "main" / "converted.yml"
    names = [name for name, option in OPTIONS.items() if option["type"] in ("bool", "raw") or "options" in option]
    files = [*ROLE.glob("tasks/*.yml"), *ROLE.glob("vars/**/*.yml"), *ROLE.glob("templates/**/*.j2")]
    for name in names:
        readers = [path for path in files if re.search(rf"(?<!_)flask_blog_{name}\b", path.read_text())]
        assert readers == [converted], name


@pytest.mark.parametrize("text", ["maybe", "", "2", "truthy", " true", "t", "y", "None"])
@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option["type"] == "bool"])
def test_text_that_is_no_boolean_is_refused(name: str, text: str) -> None:
    (problem,) = types.problems(OPTIONS[name], name, text)
    assert problem == f"flask_blog_{name}: {text!r}: it is neither true nor false. Write 'true' or 'false'."
