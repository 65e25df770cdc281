"""A misspelt variable is named with the one that was meant."""

from __future__ import annotations

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import checks


def test_a_misspelt_variable_is_named_with_the_one_that_was_meant() -> None:
    (message,) = checks.unknown_names(
        ["flask_blog_server_name", "other"], ["flask_blog_server_names", "flask_blog_name"]
    )
    assert message.startswith("flask_blog_server_name: ")
    assert "Did you mean flask_blog_server_names?" in message


def test_a_variable_like_none_of_ours_points_to_the_readme() -> None:
    (message,) = checks.unknown_names(["flask_blog_zzzzzzzzzzzz"], ["flask_blog_name"])
    assert "The role's README names those that exist" in message


def test_variables_of_others_are_not_our_business() -> None:
    assert checks.unknown_names(["__flask_blog_site", "flaskblog", "nginx_port"], ["flask_blog_name"]) == []
