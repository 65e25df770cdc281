"""Fixtures of the tests of commands: a site that is configured."""

from __future__ import annotations

import json

import pytest
from blogctl.site import Site


@pytest.fixture(autouse=True)
def configured(site: Site) -> Site:
    (site.path("config") / "site.json").write_text(json.dumps(site.settings))
    return site
