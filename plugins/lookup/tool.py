# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: tool
short_description: The version of the tool that this collection installs on a host
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Returns what the role writes into the host's C(version.json), so that a later run with another version of the
    collection knows which tool is installed.
"""

EXAMPLES = r"""
- name: Show the version of the tool
  ansible.builtin.debug:
    msg: "{{ lookup('flaskblog.hosting.tool').version }}"
"""

RETURN = r"""
_raw:
  description:
    - One dictionary with C(version), the collection's version, C(interface), the version of the contract between the
      modules and the tool, and C(oldest_interface), the oldest one that the tool supports.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import INTERFACE, OLDEST_INTERFACE
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import collection


class LookupModule(LookupBase):
    """Ansible's entry to the lookup."""

    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        """Return the tool's version."""
        try:
            version = collection.version()
        except ValueError as error:
            raise AnsibleLookupError(str(error)) from error
        return [{"version": version, "interface": INTERFACE, "oldest_interface": OLDEST_INTERFACE}]
