"""Rules for operations on an existing site."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import checks

GOOD = {"name": "travel", "remove": "travel", "remove_data": "", "remove_backups": "", "remove_certificates": ""}


def problems(**values: Any) -> list[str]:
    return checks.check({**GOOD, **values}, "remove")


def test_a_removal_that_repeats_the_sites_name_is_accepted() -> None:
    assert problems() == []
    assert problems(remove_data="travel", remove_backups="travel", remove_certificates="travel") == []


@pytest.mark.parametrize("given", ["", "yes", "true", "Travel", "flask-blog"])
def test_a_removal_that_names_another_site_is_refused_with_the_way_to_limit_it(given: str) -> None:
    (found,) = problems(remove=given)
    assert found.startswith(f"flask_blog_remove: {given!r}: the run removes the site 'travel'")
    assert "--limit" in found


@pytest.mark.parametrize("what", ["data", "backups", "certificates"])
@pytest.mark.parametrize("given", ["yes", "true", "travel ", "cooking"])
def test_consent_by_anything_but_the_name_is_refused(what: str, given: str) -> None:
    (found,) = problems(**{f"remove_{what}": given})
    assert found.startswith(f"flask_blog_remove_{what}: {given!r}: the {what} of 'travel' are removed if this repeats")
