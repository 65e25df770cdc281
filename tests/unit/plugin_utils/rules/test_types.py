"""A value of another type than the specification declares is refused with a remedy, and not shown if it is secret."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import types

KEEP = {"type": "dict", "options": {"daily": {"type": "int", "default": 0}, "weekly": {"type": "int", "default": 0}}}

REFUSED: list[tuple[dict[str, Any], Any, str]] = [
    ({"type": "bool"}, "maybe", "flask_blog_x: 'maybe': it is neither true nor false. Write 'true' or 'false'."),
    ({"type": "bool"}, ["true"], "flask_blog_x: ['true']: it is neither true nor false."),
    ({"type": "int"}, "5.0", "flask_blog_x: '5.0': it is no number."),
    ({"type": "str"}, False, "flask_blog_x: False: it is a boolean where text belongs. Write it in quotes."),
    ({"type": "str"}, 1.1, "flask_blog_x: 1.1: it is a number where text belongs."),
    ({"type": "str"}, ["a"], "flask_blog_x: ['a']: it is a list where text belongs."),
    ({"type": "str", "no_log": True}, 1.5, "flask_blog_x: '(hidden)': it is a number where text belongs."),
    ({"type": "list"}, "a.db,b.db", "it is text where a list belongs. Write it as ['a.db', 'b.db']."),
    ({"type": "list"}, "flask a, b", "Write it as ['flask a, b']."),
    ({"type": "list"}, '["a"]', "use YAML, or -e '{\"flask_blog_x\": [...]}'."),
    ({"type": "list"}, {"a": 1}, "flask_blog_x: {'a': 1}: it is a mapping where a list belongs."),
    ({"type": "list"}, ["a", True], "flask_blog_x: True: it is a boolean where text belongs."),
    ({"type": "list"}, [2026], "flask_blog_x: 2026: it is a number where text belongs."),
    ({"type": "list"}, [None], "flask_blog_x: None: it is nothing where text belongs."),
    ({"type": "dict"}, '{"A": "b"}', "it is text where a mapping belongs."),
    (KEEP, {"daily": "7_0"}, "flask_blog_x.daily: '7_0': it is no number."),
    *(({"type": kind}, None, "flask_blog_x: None: it has no value. Give it one") for kind in types._CHECKS),
]


@pytest.mark.parametrize(("option", "value", "message"), REFUSED, ids=str)
def test_a_value_of_another_type_is_refused(option: dict[str, Any], value: Any, message: str) -> None:
    (found,) = types.problems(option, "x", value)
    assert message in found


@pytest.mark.parametrize("name", ["secrets", "rehearsal_environment"])
def test_secrets_in_text_are_not_shown(name: str) -> None:
    (found,) = types.problems({"type": "dict"}, name, '{"KEY": "hunter2"}')
    assert "hunter2" not in found
    assert f"flask_blog_{name}: '(hidden)'" in found


class VaultText:
    """Text from a vault, which older versions of Ansible keep in a class that is not derived from str."""

    def __str__(self) -> str:
        return "key"


def test_text_from_a_vault_is_text() -> None:
    assert list(types.problems({"type": "str"}, "deploy_key", VaultText())) == []
    assert types.converted({"type": "str"}, VaultText()) == "key"


def test_what_is_missing_of_a_mapping_has_its_default() -> None:
    assert types.converted(KEEP, {"daily": "7"}) == {"daily": 7, "weekly": 0}
