"""The exposure of the app's units on the machine, as systemd-analyze measures it."""

from __future__ import annotations

import re
from typing import Any

import pytest

#: Maximum exposure of an app with a network (systemd-analyze security).
MOST = 1.2


@pytest.mark.parametrize("unit", ["flask-blog.service", "flask-blog-next.service"])
def test_the_apps_units_are_exposed_as_little_as_an_app_with_a_network_can_be(host: Any, unit: str) -> None:
    said = host.check_output("systemd-analyze security --no-pager %s", unit)
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert level, said
    assert float(level[1]) <= MOST, said
