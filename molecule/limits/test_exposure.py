"""The exposure of the units of an app without a network, as systemd-analyze measures it."""

from __future__ import annotations

import re
from typing import Any

import pytest


@pytest.mark.parametrize(("site", "most"), [("hermit", 0.4), ("greedy", 1.2)])
@pytest.mark.parametrize("ending", ["", "-next"])
def test_the_apps_units_are_exposed_as_little_as_their_network_allows(
    host: Any, site: str, most: float, ending: str
) -> None:
    said = host.check_output("systemd-analyze security --no-pager %s%s.service", site, ending)
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert level, said
    assert float(level[1]) <= most, said
