# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Options that several modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's entry to the fragments: C(flaskblog.hosting.site), C(flaskblog.hosting.site.managed), and so on."""

    DOCUMENTATION = r"""
options:
  site:
    description: The names and paths of the site, as the role derives them.
    type: dict
    required: true
"""

    MANAGED = r"""
options:
  objects:
    description: Managed files, directories, links and trees. A file names a C(template) or a C(file) of the role.
    type: list
    elements: dict
    default: []
  secrets:
    description: Texts of secret files by their path. Filled in by the action; kept out of every log.
    type: dict
    default: {}
  units:
    description: Systemd units with the wanted C(enabled) and C(active).
    type: list
    elements: dict
    default: []
"""

    RELEASE = r"""
options:
  release:
    description: The wanted release, as M(flaskblog.hosting.plan) returned it.
    type: dict
    required: true
"""

    ANNOUNCED = r"""
attributes:
  check_mode:
    support: full
    description: Says what would be changed, and changes nothing.
"""

    WITHOUT_DIFF = r"""
attributes:
  diff_mode:
    support: none
    description: There is no text to compare.
"""
