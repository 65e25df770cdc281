"""The app's own first error is found in what its workers, libraries and commands wrote."""

from __future__ import annotations

import time

import pytest
from blogctl.host.traceback import first_error

RELEASES = "/opt/blog/releases"
APP = f"{RELEASES}/3f2a9c1e/app.py"
LIBRARY = "/opt/blog/venvs/1a2b/lib/python3.13/site-packages"

BOOT = f"""[2026-11-27 02:32:24 +0000] [627] [ERROR] Exception in worker process
Traceback (most recent call last):
  File "{LIBRARY}/gunicorn/arbiter.py", line 752, in spawn_worker
    worker.init_process()
    ~~~~~~~~~~~~~~~~~~~^^
  File "<frozen importlib._bootstrap>", line 1387, in _gcd_import
  File "{APP}", line 2, in <module>
    import yaml
ModuleNotFoundError: No module named 'yaml'
[2026-11-27 02:32:24 +0000] [627] [INFO] Worker exiting (pid: 627)
"""
HALT = f"""Traceback (most recent call last):
  File "{LIBRARY}/gunicorn/arbiter.py", line 208, in run
    self.sleep()
gunicorn.errors.HaltServer: <HaltServer 'Worker failed to boot.' 3>
"""
SYNTAX = f"""  File "{APP}", line 7
    def home(
            ^
SyntaxError: '(' was never closed
"""
PAGE = f"""[2026-11-27 02:40:00,123] ERROR in app: Exception on / [GET]
Traceback (most recent call last):
  File "{LIBRARY}/flask/app.py", line 1511, in wsgi_app
    response = self.full_dispatch_request()
  File "{APP}", line 9, in home
    return render(posts)
  File "{RELEASES}/3f2a9c1e/pages/feed.py", line 4, in render
    return posts[0]
IndexError: list index out of range
"""
CHAINED = f"""Traceback (most recent call last):
  File "{LIBRARY}/sqlalchemy/engine/base.py", line 1967, in _exec_single_context
    self.dialect.do_execute(
sqlite3.OperationalError: no such table: post

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "{APP}", line 12, in home
    Post.query.all()
  File "{LIBRARY}/sqlalchemy/orm/query.py", line 2704, in all
    return self._iter().all()
sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) no such table: post
(Background on this error at: https://sqlalche.me/e/20/e3q8)
"""
TRANSLATED = f"""Traceback (most recent call last):
  File "{APP}", line 3, in load
    return os.environ["DATABASE_URL"]
KeyError: 'DATABASE_URL'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "{APP}", line 5, in load
    raise RuntimeError("the blog is not configured")
RuntimeError: the blog is not configured
"""
CACHED = f"""Traceback (most recent call last):
  File "{LIBRARY}/webassets/env.py", line 1, in get
    return self.cache[key]
KeyError: 'cache'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "{APP}", line 6, in home
    return render_template_string("")
  File "{LIBRARY}/webassets/env.py", line 9, in build
    os.makedirs(path)
OSError: [Errno 30] Read-only file system: 'static/gen'
"""
GROUP = f"""  + Exception Group Traceback (most recent call last):
  |   File "{APP}", line 4, in <module>
  |     raise ExceptionGroup("plugins", errors)
  | ExceptionGroup: plugins (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "{APP}", line 2, in load
    |     raise ValueError("no theme")
    | ValueError: no theme
    +---------------- 2 ----------------
    | TypeError: b
    +------------------------------------
"""
SETTINGS = f"""Traceback (most recent call last):
  File "{APP}", line 8, in <module>
    settings = Settings()
pydantic_core._pydantic_core.ValidationError: 2 validation errors for Settings
secret_key
  Field required [type=missing, input_value={{}}, input_type=dict]
"""


def journal(text: str, pid: int, program: str = "gunicorn") -> list[str]:
    """Return lines as journalctl prints them."""
    return [f"2026-11-27T02:32:24+00:00 host {program}[{pid}]: {line}" for line in text.splitlines()]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (BOOT, "ModuleNotFoundError: No module named 'yaml' (app.py, line 2)"),
        (BOOT + HALT, "ModuleNotFoundError: No module named 'yaml' (app.py, line 2)"),
        (HALT + BOOT, "ModuleNotFoundError: No module named 'yaml' (app.py, line 2)"),
        (SYNTAX, "SyntaxError: '(' was never closed (app.py, line 7)"),
        (f"Traceback (most recent call last):\n{SYNTAX}", "SyntaxError: '(' was never closed (app.py, line 7)"),
        (PAGE, "IndexError: list index out of range (pages/feed.py, line 4)"),
        (CHAINED, "sqlite3.OperationalError: no such table: post (app.py, line 12)"),
        (TRANSLATED, "KeyError: 'DATABASE_URL' (app.py, line 3); then RuntimeError: the blog is not configured"),
        (CACHED, "OSError: [Errno 30] Read-only file system: 'static/gen' (app.py, line 6)"),
        (GROUP, "ExceptionGroup: plugins (2 sub-exceptions): ValueError: no theme (app.py, line 4)"),
        (
            SETTINGS,
            "pydantic_core._pydantic_core.ValidationError: 2 validation errors for Settings secret_key Field required"
            " [type=missing, input_value={}, input_type=dict] (app.py, line 8)",
        ),
        ("Traceback (most recent call last):\n  File \"migrate.py\", line 1, in <module>\n    1 / 0\nZeroDivisionError",
         "ZeroDivisionError (migrate.py, line 1)"),
    ],
)  # fmt: skip
def test_the_first_error_is_the_apps_own_with_its_line(output: str, expected: str) -> None:
    assert str(first_error(output, RELEASES)) == expected


def test_two_workers_that_write_at_once_are_told_apart() -> None:
    first, second = journal(BOOT, 627), journal(BOOT.replace("yaml", "markdown").replace("627", "628"), 628)
    lines = [line for pair in zip(first, second, strict=True) for line in pair]
    lines.insert(3, "2026-11-27T02:32:24+00:00 host systemd[1]: blog.service: Failed with result 'exit-code'.")
    found = first_error("\n".join(lines), RELEASES)
    assert str(found) == "ModuleNotFoundError: No module named 'yaml' (app.py, line 2)"
    assert found is not None
    assert found.lines == (
        f'  File "{APP}", line 2, in <module>',
        "    import yaml",
        "ModuleNotFoundError: No module named 'yaml'",
    ), "no frame of gunicorn"


def test_an_error_that_the_app_survived_is_not_taken_for_the_one_that_ended_it() -> None:
    survived = PAGE.replace("Exception on / [GET]", "no cache, going on").replace("IndexError", "CacheError")
    assert str(first_error(survived + BOOT, RELEASES)).startswith("ModuleNotFoundError")
    assert str(first_error(survived, RELEASES)).startswith("CacheError"), "the only one"


def test_an_output_without_a_traceback_has_no_error() -> None:
    assert first_error("", RELEASES) is None
    assert first_error(HALT, RELEASES) is None, "gunicorn's master has no reason of its own"
    assert first_error("[2026-11-27 02:32:22 +0000] [7] [INFO] Booting worker with pid: 7\nerror: no", RELEASES) is None
    assert first_error("Traceback (most recent call last):", RELEASES) is None
    assert first_error('Traceback (most recent call last):\n  File "a.py", line 1, in f\n    f()\n', RELEASES) is None


def test_a_forged_traceback_takes_little_time_and_space() -> None:
    endless = "Traceback (most recent call last):\n" + '  File "a.py", line 1, in f\n    f()\n' * 20000
    margins = "  +-+---" * 20000 + "\n" + "|" * 100000
    began = time.monotonic()
    found = first_error(f"{margins}\n{endless}RecursionError: {'x' * 100000}", RELEASES)
    assert found is not None
    assert len(str(found)) < 400
    assert len(found.lines) <= 24
    assert first_error("Traceback (most recent call last):\n" * 20000, RELEASES) is None
    assert time.monotonic() - began < 10


def test_forged_groups_in_groups_do_not_end_the_search() -> None:
    group = "  + Exception Group Traceback (most recent call last):\n  | ExceptionGroup: x (1 sub-exception)\n"
    found = first_error(group * 3000, RELEASES)
    assert found is not None
    assert found.text.startswith("ExceptionGroup: x (1 sub-exception)")
    assert len(str(found)) < 1000
