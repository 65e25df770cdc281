# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.plugin_utils import doctor

DOCUMENTATION = r"""
name: doctor_table
short_description: Return the findings of all hosts as the lines of a table
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Puts what C(blogctl doctor) found on each host into one table, errors first.
  - A host that could not be examined has a row as well.
positional: _input
options:
  _input:
    description:
      - For each host its name, and the result of M(flaskblog.hosting.operation) with the operation C(doctor).
    type: list
    elements: list
    required: true
"""

EXAMPLES = r"""
table: "{{ [['web1', found]] | flaskblog.hosting.doctor_table }}"
"""

RETURN = r"""
_value:
  description:
    - C(lines) are those of the table, C(summary) is a sentence, and C(healthy) says whether nothing is wrong.
  type: dict
"""


def doctor_table(hosts: Iterable[Any]) -> dict[str, Any]:
    """Return the table of all hosts."""
    return doctor.table([(str(host), result) for host, result in hosts])


class FilterModule:
    """Ansible's entry to the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {"doctor_table": doctor_table}
