# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Check and convert the types of the role's variables, as the templates and vars/ read them.

C(-e NAME=VALUE) and INI inventories give text. Ansible checks it against the specification and then leaves it as it is.
A boolean or a number may therefore be text; anything else that the templates would read otherwise is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import HIDDEN, problem

#: An option of the specification.
Option = Mapping[str, Any]

#: Text that the filter C(bool) reads in all versions of Ansible. The specification accepts C(y) and C(t) as well.
TRUE, FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
#: What YAML makes of text without quotes, or of another mistake. Text from a vault has a class of its own.
NO_TEXT = (bool, float, list, tuple, Mapping)
#: Hidden in messages, beside the options with C(no_log).
SECRET = frozenset({"secrets", "rehearsal_environment", "acme_dns", "acme_dns.credentials", "basic_auth"})
YAML = "Text from -e NAME=VALUE or an INI file stays text: use YAML, or -e '{{\"flask_blog_{}\": {}}}'"


def problems(option: Option, name: str, value: Any) -> Iterator[str]:
    """Yield what is wrong with the type of a variable, given without its prefix.

    :param option: its specification.
    """
    shown = HIDDEN if option.get("no_log") or name in SECRET else value
    if value is None:
        yield problem(name, value, "it has no value", "Give it one, or remove the line")
    elif check := _CHECKS.get(option["type"]):
        yield from check(option, name, value, shown)


def converted(option: Option, value: Any) -> Any:
    """Return a value without problems in the type that its specification declares."""
    kind = option["type"]
    if kind == "bool":
        return is_true(value)
    if kind == "int":
        return int(value)
    if kind == "str":
        return str(value)
    if kind == "dict" and "options" in option:
        return {key: converted(one, value.get(key, one["default"])) for key, one in option["options"].items()}
    return value


def is_boolean(value: Any) -> bool:
    """Return whether a value is a boolean, or the text of one."""
    return str(value).lower() in TRUE | FALSE


def is_true(value: Any) -> bool:
    """Return the value of a boolean that may be text."""
    return str(value).lower() in TRUE


def _boolean(_: Option, name: str, value: Any, shown: Any) -> Iterator[str]:
    if not is_boolean(value):
        yield problem(name, shown, "it is neither true nor false", "Write 'true' or 'false'")


def _number(_: Option, name: str, value: Any, shown: Any) -> Iterator[str]:
    """Ansible reads C(true), C("8_0"), C("8\\n") and digits of other scripts as numbers.

    The templates would write them unchanged, and nginx and systemd do not read them as numbers.
    """
    if isinstance(value, bool) or not re.fullmatch(r"0|-?[1-9][0-9]{0,17}", str(value)):
        yield problem(name, shown, "it is no number", "Write it with the digits 0 to 9")


def _text(_: Option, name: str, value: Any, shown: Any) -> Iterator[str]:
    """YAML reads C(no) as false and C(1.10) as 1.1. A whole number has the same digits as text."""
    if isinstance(value, NO_TEXT):
        yield problem(name, shown, f"it is {_kind(value)} where text belongs", "Write it in quotes")


def _list(_: Option, name: str, value: Any, shown: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            remedy = YAML.format(name, "[...]")
        else:
            parts = [value] if re.search(r"\s", value) else [part for part in value.split(",") if part]
            remedy = f"Write it as {parts!r}"
        yield problem(name, shown, "it is text where a list belongs", remedy)
    elif not isinstance(value, (list, tuple)):
        yield problem(name, shown, f"it is {_kind(value)} where a list belongs", "Write it as ['...']")
    else:
        for item in value:
            if item is None or isinstance(item, (int, *NO_TEXT)):
                yield problem(name, item, f"it is {_kind(item)} where text belongs", "Write it in quotes")


def _mapping(option: Option, name: str, value: Any, shown: Any) -> Iterator[str]:
    if not isinstance(value, Mapping):
        remedy = YAML.format(name, "{...}")
        yield problem(name, shown, f"it is {_kind(value)} where a mapping belongs", remedy)
        return
    for key, one in option.get("options", {}).items():
        if key in value:
            yield from problems(one, f"{name}.{key}", value[key])


def _kind(value: Any) -> str:
    """Return what YAML made of a value, for people."""
    kinds = ((bool, "a boolean"), ((int, float), "a number"), (str, "text"), (Mapping, "a mapping"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "nothing" if value is None else "a list")


_CHECKS: Mapping[str, Callable[[Option, str, Any, Any], Iterator[str]]] = {
    "bool": _boolean,
    "int": _number,
    "str": _text,
    "list": _list,
    "dict": _mapping,
}
