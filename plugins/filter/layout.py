# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.layout import layout as derive

DOCUMENTATION = r"""
name: layout
short_description: Derive a blog's links, served folders and data folder
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Says what is linked out of a release, what nginx serves by itself, and how the data folder is made up.
positional: _input
options:
  _input:
    description:
      - The choices to derive from, C(databases), C(writable_paths), C(static), C(app_dir), and the paths and accounts
        C(data), C(live), C(user), C(group), C(proxy_group).
    type: dict
    required: true
"""

EXAMPLES = r"""
__flask_blog_layout: >-
  {{ {'databases': ['database.db'], 'writable_paths': ['static/uploads'], 'static': {'/static/': 'static/'},
      'app_dir': '', 'data': '/var/lib/flask-blog', 'live': '/var/www/flask-blog',
      'user': 'flask-blog', 'group': 'flask-blog', 'proxy_group': 'www-data'} | flaskblog.hosting.layout }}
"""

RETURN = r"""
_value:
  description: C(links), C(left_out), C(seeded), C(served), C(locations) and C(objects).
  type: dict
"""


def layout(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap the pure function, so that a wrong call is Ansible's error."""
    try:
        return derive(**choices)
    except TypeError as error:
        raise AnsibleFilterError(f"flaskblog.hosting.layout: {error}") from error


class FilterModule:
    """Ansible's entry to the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {"layout": layout}
