# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: environment_file
short_description: Write settings as systemd's EnvironmentFile reads them
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Quotes every value so that the app receives exactly what was given, quotes, dollars, backslashes and lines included.
  - Booleans become C(true) and C(false), the words that apps and Flask's own C(from_prefixed_env) read.
positional: _input
options:
  _input:
    description: Settings by name.
    type: dict
    required: true
"""

EXAMPLES = r"""
content: "{{ {'SITE_NAME': 'A \"quoted\" name', 'BEHIND_PROXY': true} | flaskblog.hosting.environment_file }}"
"""

RETURN = r"""
_value:
  description: One line for each setting, sorted by name.
  type: str
"""

#: What a backslash must stand before inside double quotes (systemd.exec(5), EnvironmentFile=).
SPECIAL = '\\"`$'


def quoted(value: Any) -> str:
    """Return one value in double quotes, as systemd reads it back.

    :raises ValueError: for what no environment can hold.
    """
    if value is None:
        return '""'
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if "\0" in text:
        raise ValueError("a setting cannot hold a NUL character")
    return '"' + "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in text) + '"'


def environment_file(settings: Mapping[str, Any]) -> str:
    """Return the lines of an environment file."""
    try:
        return "".join(f"{name}={quoted(settings[name])}\n" for name in sorted(settings))
    except ValueError as error:
        raise AnsibleFilterError(f"flaskblog.hosting.environment_file: {error}") from error


class FilterModule:
    """Ansible's entry to the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {"environment_file": environment_file}
