# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Where a path of the controller leads."""

from __future__ import annotations

import os

from ansible.parsing.dataloader import DataLoader


def absolute(path: str, loader: DataLoader) -> str:
    """Return the absolute path of a file or folder on the controller.

    A relative path starts at the current directory, as on any command line. If nothing is there, but something is in
    the playbook's folder, it starts there, as other paths in a playbook do.
    """
    here = os.path.abspath(os.path.expanduser(path))
    beside_playbook = str(loader.path_dwim(path))
    return beside_playbook if not os.path.lexists(here) and os.path.exists(beside_playbook) else here
