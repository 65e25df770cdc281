#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Documentation only: the action plugin of the same name does the work, on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: validate
short_description: Refuse bad input before the host is touched
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Checks the variables of one of the role's entry points, and the source that they name, on the controller, without a
    connection.
  - Reports all problems at once, each with the variable, its value, the rule and the remedy.
  - Refuses variables that have the role's prefix and that no entry point has, and suggests the one that was probably
    meant.
options:
  entry_point:
    description: The role's entry point whose variables are checked.
    type: str
    choices: [main, release, rollback, restore, maintenance]
    default: main
extends_documentation_fragment:
  - flaskblog.hosting.site.without_diff
attributes:
  check_mode:
    support: full
    description: Reads only.
"""

EXAMPLES = r"""
- name: Check the variables and the source
  flaskblog.hosting.validate:

- name: Check the variables of a rollback
  flaskblog.hosting.validate:
    entry_point: rollback
"""

RETURN = r"""
msg:
  description: All problems, one on each line.
  returned: failure
  type: str
"""
