"""Links, locations and data folder that follow from the app's paths."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.flaskblog.hosting.plugins.filter.layout import FilterModule
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import clean
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.layout import layout

DEFAULTS: dict[str, Any] = {
    "databases": ["database.db"],
    "writable_paths": ["static/uploads"],
    "static": {"/static/": "static/"},
    "app_dir": "",
    "data": "/var/lib/blog",
    "live": "/var/www/blog",
    "user": "blog",
    "group": "blog",
    "proxy_group": "www-data",
}


def laid_out(**choices: Any) -> dict[str, Any]:
    return dict(layout(**{**DEFAULTS, **choices}))


def directories(result: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {
        item["path"]: (item["owner"], item["group"], item["mode"])
        for item in result["objects"]
        if item["kind"] == "directory"
    }


@pytest.mark.parametrize(
    ("path", "expected"), [("", ""), (".", ""), ("./", ""), ("a/", "a"), ("./a//b/", "a/b"), ("a/./b", "a/b")]
)
def test_a_path_is_cleaned(path: str, expected: str) -> None:
    assert clean(path) == expected


def test_what_the_app_writes_is_linked_out_of_the_release_and_left_out_of_it() -> None:
    result = laid_out()
    assert result["links"] == {
        "instance": "/var/lib/blog/instance",
        "static/uploads": "/var/lib/blog/static/uploads",
        "database.db": "/var/lib/blog/database.db",
    }
    assert set(result["left_out"]) == {
        "instance",
        "static/uploads",
        "database.db",
        "database.db-wal",
        "database.db-shm",
        "database.db-journal",
    }


def test_nginx_may_pass_to_the_uploads_and_read_nothing_else() -> None:
    assert directories(laid_out()) == {
        "/var/lib/blog": ("blog", "www-data", "0710"),
        "/var/lib/blog/instance": ("blog", "blog", "0750"),
        "/var/lib/blog/static": ("blog", "www-data", "0710"),
        "/var/lib/blog/static/uploads": ("blog", "www-data", "2750"),
    }


def test_a_blog_whose_uploads_are_not_served_is_closed_to_nginx() -> None:
    result = laid_out(writable_paths=["uploads"], static={})
    assert set(directories(result).values()) == {("blog", "blog", "0750")}
    assert result["locations"] == []
    assert result["served"] == []


def test_uploads_are_served_from_the_data_folder_and_marked_as_written() -> None:
    assert laid_out()["locations"] == [
        {"prefix": "/static/", "alias": "/var/www/blog/static/", "folder": "static", "written": False},
        {
            "prefix": "/static/uploads/",
            "alias": "/var/lib/blog/static/uploads/",
            "folder": "static/uploads",
            "written": True,
        },
    ]


def test_a_served_folder_that_is_written_as_a_whole_is_served_from_the_data_folder() -> None:
    result = laid_out(writable_paths=["media"], static={"/media/": "media/"})
    assert result["locations"] == [
        {"prefix": "/media/", "alias": "/var/lib/blog/media/", "folder": "media", "written": True}
    ]


@pytest.mark.parametrize(
    "static", [{"/static/": "static/"}, {"/a/": "a/", "/b/c/": "b/c/"}, {"/static/": "./static//"}]
)
def test_prefix_and_alias_both_end_with_a_slash(static: dict[str, str]) -> None:
    for location in laid_out(static=static)["locations"]:
        assert str(location["prefix"]).endswith("/")
        assert str(location["alias"]).endswith("/")
        assert "//" not in str(location["alias"])


def test_an_app_below_the_top_has_its_links_below_the_top() -> None:
    result = laid_out(app_dir="src/blog")
    assert result["links"]["src/blog/database.db"] == "/var/lib/blog/database.db"
    assert result["served"] == ["src/blog/static"]
    assert "src/blog/instance" in result["left_out"]


def test_a_folder_inside_another_needs_no_link_of_its_own() -> None:
    result = laid_out(writable_paths=["data", "data/cache", "./data/"], databases=["data/blog.db", "other.db"])
    assert set(result["links"]) == {"data", "instance", "other.db"}
    assert result["links"]["other.db"] == "/var/lib/blog/other.db"
    assert result.keys() == {"links", "left_out", "seeded", "served", "locations", "objects"}


def test_a_database_in_a_folder_of_its_own_has_that_folder_in_the_data() -> None:
    assert "/var/lib/blog/db/live" in directories(laid_out(databases=["db/live/blog.db"]))


def test_the_data_folder_is_checked_as_a_tree_with_what_nginx_serves() -> None:
    (tree,) = [item for item in laid_out()["objects"] if item["kind"] == "tree"]
    assert tree["path"] == "/var/lib/blog"
    assert tree["served"] == ["static/uploads"]
    assert tree["served_group"] == "www-data"


def test_each_directory_in_the_data_folder_is_reached_from_there_without_following_a_link() -> None:
    found = [item for item in laid_out(databases=["db/blog.db"])["objects"] if item["kind"] == "directory"]
    assert len(found) == 5
    assert {item["beneath"] for item in found} == {"/var/lib/blog"}


def test_a_wrong_call_is_ansibles_error() -> None:
    with pytest.raises(AnsibleFilterError, match=r"flaskblog\.hosting\.layout"):
        FilterModule().filters()["layout"]({"databases": []})


def test_a_writable_file_is_linked_alone_and_its_folder_stays_code() -> None:
    result = laid_out(writable_paths=["static/uploads", "static/sitemap.xml", "robots.txt"])
    assert result["links"]["static/sitemap.xml"] == "/var/lib/blog/static/sitemap.xml"
    assert "static" not in result["links"]
    assert {"/var/lib/blog/static", "/var/lib/blog/static/uploads"} < set(directories(result))
    assert not {"/var/lib/blog/static/sitemap.xml", "/var/lib/blog/robots.txt"} & set(directories(result))
    assert [location["prefix"] for location in result["locations"]] == ["/static/", "/static/uploads/"]
    assert "static/sitemap.xml-wal" not in result["left_out"]
    assert result["seeded"] == ["robots.txt", "static/sitemap.xml", "static/uploads"]


@pytest.mark.parametrize("path", ["notes.txt/", "gallery", "v1.2", "static/uploads.d"])
def test_a_trailing_slash_or_an_unknown_ending_means_a_folder(path: str) -> None:
    assert f"/var/lib/blog/{clean(path)}" in directories(laid_out(writable_paths=[path]))


def test_a_writable_file_in_a_writable_folder_needs_no_link() -> None:
    result = laid_out(writable_paths=["log", "log/app.log"])
    assert set(result["links"]) == {"instance", "log", "database.db"}


def test_instance_is_never_filled_from_the_source() -> None:
    assert laid_out(writable_paths=["instance"])["seeded"] == []
