#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Documentation alone: the action plugin of the same name does the work, on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: validate
short_description: Refuse bad input before the host is touched
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Checks the variables of the role and the source that they name, on the controller, without a connection.
  - Names all problems at once, each with the variable, its value, the rule and the remedy.
  - Finds variables with the role's prefix that the role does not have, and says which one was probably meant.
options: {}
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
"""

RETURN = r"""
msg:
  description: Every problem in words, one on each line.
  returned: failure
  type: str
"""
