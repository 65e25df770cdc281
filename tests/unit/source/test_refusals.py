"""A refusal names the variable, its value, the rule and the remedy."""

from __future__ import annotations

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import refusals
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError, VersionError

SOURCE = "https://git.test/blog"


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (SourceError("it is empty."), f"flask_blog_source: '{SOURCE}': it is empty."),
        (
            VersionError("v2", "there is no such version. It has v1"),
            "flask_blog_version: 'v2': there is no such version. It has v1.",
        ),
        (
            refusals.no_app_dir("web"),
            "flask_blog_app_dir: 'web': the source has no such folder. Name the folder that the app lies in.",
        ),
        (
            refusals.no_requirements("prod.txt"),
            "flask_blog_requirements: 'prod.txt': the source holds no such file. Add it, or name another with"
            " flask_blog_requirements.",
        ),
        (
            refusals.too_much("2g"),
            "flask_blog_source_max_size: '2g': the source unpacks to more. Leave out of the source what a release does"
            " not need, or raise the limit if you trust the source.",
        ),
    ],
)
def test_a_refusal_names_the_variable_that_is_to_blame(refusal: SourceError, message: str) -> None:
    assert refusal.explain(SOURCE) == message


def test_a_path_in_a_message_is_one_short_harmless_line() -> None:
    assert refusals.shown("a\nb\x1b[2J") == "a\\nb\\x1b[2J"
    assert refusals.shown("x" * 200) == "…" + "x" * 159
