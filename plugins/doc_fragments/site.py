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

    PLANNED = r"""
options:
  platforms:
    description: Supported platforms, such as C(Debian_12).
    type: list
    elements: str
    required: true
  unsupported:
    description:
      - What the site asks for and a platform does not have, by platform, each a list of sentences that name the
        variable. The host is refused with them.
    type: dict
    default: {}
  packages:
    description: Debian packages that must be installed.
    type: list
    elements: str
    default: []
  account:
    description: The account that the app runs as (C(name), C(home), C(shell), C(dedicated)).
    type: dict
    required: true
  source:
    description:
      - The source and what is linked into its release. The action describes the release from it, and it stays on the
        controller; of a Git repository, the host is told.
    type: dict
    default: {}
  access:
    description:
      - What opens a Git repository, C(key) for SSH, and C(credentials), which the action takes out of its address. Kept
        out of every log.
    type: dict
    default: {}
  release:
    description: The described release. Filled in by the action; empty where the host finds it out.
    type: dict
  initial_data:
    description:
      - The folder on the controller that a new blog takes its data from. The action looks into it; the host is told
        whether there is one.
    type: raw
  ports:
    description: TCP ports that must be free or already ours, each with the C(variable) that sets it.
    type: list
    elements: dict
    default: []
  only_code:
    description: Whether managed objects and units stay as they are. Those that differ are named in a warning.
    type: bool
    default: false
  probes:
    description: What the running site is asked through its proxy.
    type: list
    elements: dict
    default: []
  apt:
    description:
      - How the action waits for apt's locks on a bare server - the regular expression C(locked) for its messages,
        C(timeout) and C(interval) in seconds. It stays on the controller.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: none
    description: The tasks that change something show the difference.
"""

    RELEASE = r"""
options:
  release:
    description: The wanted release, as M(flaskblog.hosting.plan) returned it.
    type: dict
    required: true
"""

    UNPACKED = r"""
options:
  source:
    description:
      - The source on the controller and what is linked into its release. The action needs it, and keeps it on the
        controller.
    type: dict
  archive:
    description: The packed source on the host. Filled in by the action; there is none for a commit.
    type: path
  limits:
    description: How much the source may hold (C(size), C(file_size), C(files)). Filled in by the action.
    type: dict
    default: {}
  initial_data:
    description:
      - The folder on the controller whose databases and writable folders the new blog starts with; empty for none. On
        the host it is the packed data's path.
    type: str
attributes:
  diff_mode:
    support: full
    description: Names the files that differ from the source.
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
