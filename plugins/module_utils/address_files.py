# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The files that agree on the app's address: the socket unit, and nginx's configuration of the site.

If the address changes and the release then fails, the running process stays at its old address, and both files must
lead there again. blogctl shares this file (roles/flask_blog/files/blogctl/shared/address_files.py is a link to it).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNITS = "/etc/systemd/system"
#: In the folder of each of a site's schemes.
NGINX = "site.conf"


def of(site: Mapping[str, Any]) -> list[str]:
    """Return their paths; some may be missing. An older role wrote no folders of schemes.

    :param site: its settings.
    """
    schemes = site.get("schemes")
    if not schemes:
        return []
    return [f"{UNITS}/{site['socket_unit']}", *(f"{schemes}/{name}/{NGINX}" for name in ("http", "https"))]
