# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import proxies

DOCUMENTATION = r"""
name: trusted_networks
short_description: Return the networks of trusted proxies
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Puts the networks of a CDN in the place of its name, and returns each network once.
positional: _input
options:
  _input:
    description: Networks in CIDR notation, and names of CDNs that the role knows.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
__flask_blog_trusted_networks: "{{ ['cloudflare', '192.0.2.0/24'] | flaskblog.hosting.trusted_networks }}"
"""

RETURN = r"""
_value:
  description: Networks in CIDR notation.
  type: list
  elements: str
"""


def trusted_networks(trusted: Iterable[str]) -> list[str]:
    """Wrap the pure function, so that a wrong value is Ansible's error."""
    try:
        return proxies.networks(trusted)
    except ValueError as error:
        raise AnsibleFilterError(f"flaskblog.hosting.trusted_networks: {error}") from error


class FilterModule:
    """Ansible's entry to the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {"trusted_networks": trusted_networks}
