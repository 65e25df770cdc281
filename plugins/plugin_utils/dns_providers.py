# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The providers of DNS that can take the entries of an authority's challenges, from the role's table of them."""

from __future__ import annotations

import functools
from typing import Any

from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.collection import ROOT

TABLE = ROOT / "roles" / "flask_blog" / "vars" / "main" / "acme_dns.yml"


@functools.cache
def known() -> dict[str, dict[str, Any]]:
    """Return what the table says of each provider, by its name."""
    found: dict[str, dict[str, Any]] = yaml_load(TABLE.read_text(encoding="utf-8"))["__flask_blog_dns_providers"]
    return found
