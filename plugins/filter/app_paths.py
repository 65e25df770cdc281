# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.app_paths import app_paths

DOCUMENTATION = r"""
name: app_paths
short_description: Return the paths of an app that have settings of their own in nginx
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Joins the paths with another body size and those with WebSockets, the longest path first.
positional: _input, websockets
options:
  _input:
    description: The largest body by path, as nginx writes it.
    type: dict
    required: true
  websockets:
    description: Paths that accept WebSocket connections.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
__flask_blog_app_paths: "{{ {'/upload': '64m'} | flaskblog.hosting.app_paths(['/chat']) }}"
"""

RETURN = r"""
_value:
  description: For each path, C(path), C(size), which may be empty, and C(websocket).
  type: list
  elements: dict
"""


class FilterModule:
    """Ansible's entry to the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {"app_paths": app_paths}
