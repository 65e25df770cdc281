"""gunicorn.conf.py needs only the app's own environment, so it repeats parts of the contract: they are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract
from loaded import load_file


@pytest.fixture
def settings(role: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """gunicorn.conf.py, loaded as gunicorn does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLASK_BLOG_RELEASE", "of the test")
    return load_file(role / "files" / "gunicorn.conf.py")


@pytest.mark.parametrize("name", ["MANIFEST", "HEALTHY", "HEALTHY_OR_LOGIN", "REDIRECTS"])
def test_a_constant_has_the_same_value_in_both(settings: Any, name: str) -> None:
    assert getattr(settings, name) == getattr(contract, name)


def test_a_database_begins_alike_in_both(settings: Any) -> None:
    assert settings.databases.SQLITE_MAGIC == contract.SQLITE_MAGIC


def test_the_revision_of_settings_is_computed_alike(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "environment").write_bytes(b"A=\xff\n")
    (tmp_path / "empty").touch()
    paths = [str(tmp_path / name) for name in ("environment", "empty", "missing")]
    assert settings.settings_revision(paths) == contract.settings_revision(paths)
    assert settings.settings_revision([]) == contract.settings_revision([])


@pytest.mark.parametrize("header", ["KEY_HEADER", "PROBE_HEADER", "INSTANCE_HEADER"])
def test_a_header_has_the_same_name_in_both(settings: Any, header: str) -> None:
    assert getattr(settings, header) == getattr(contract, header)


def test_the_line_with_the_key_that_one_writes_the_other_reads(settings: Any, tmp_path: Path) -> None:
    file = tmp_path / "proxy-key.conf"
    file.write_text(f"# a comment\n{contract.KEY_LINE.format(value='5e' * 32)}\n")
    assert settings.read_key(str(file)) == "5e" * 32


LOCATIONS = ["https://blog.test/", "HTTPS://BLOG.TEST:8443/x", "http://blog.test/", "https://other.test/", "/login"]
LOCATIONS += ["//blog.test/", "", "http://[", "https:", "ftp://blog.test"]


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("status", [200, 300, 301, 302, 303, 304, 307, 308, 500])
def test_a_redirect_is_judged_alike(settings: Any, status: int, location: str) -> None:
    for host in ("blog.test", "Blog.Test:8080"):
        for schemes in (["http"], ["https"], ["http", "https"]):
            found = settings.redirect_problem(status, location, host, schemes)
            assert found == contract.redirect_problem(status, location, host, schemes)
