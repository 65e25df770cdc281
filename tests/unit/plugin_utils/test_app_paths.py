"""Paths of the app with another body size, or with WebSockets, as nginx takes them."""

from __future__ import annotations

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.app_paths import app_paths


def test_nothing_is_asked_for_by_default() -> None:
    assert app_paths({}, []) == []


def test_a_longer_path_comes_first_as_nginx_takes_the_first_that_matches() -> None:
    found = app_paths({"/a": "1m", "/a/bb": "2m", "/c/": "3m"}, ["/a/b"])
    assert [one["path"] for one in found] == ["/a/bb", "/a/b", "/a", "/c"]


def test_a_longer_path_keeps_what_a_shorter_one_says() -> None:
    found = {one["path"]: one for one in app_paths({"/a": "1m", "/a/b/c": "2m"}, ["/a/b/"])}
    assert found["/a"] == {"path": "/a", "size": "1m", "websocket": False}
    assert found["/a/b"] == {"path": "/a/b", "size": "1m", "websocket": True}
    assert found["/a/b/c"] == {"path": "/a/b/c", "size": "2m", "websocket": True}


def test_a_path_that_only_begins_alike_gets_nothing() -> None:
    found = {one["path"]: one for one in app_paths({"/up": "1m"}, ["/upload"])}
    assert found["/upload"] == {"path": "/upload", "size": "", "websocket": True}
    assert not found["/up"]["websocket"]
