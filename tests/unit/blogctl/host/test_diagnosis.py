"""A failure of the app is reported with its own error, the cause and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from blogctl.host import diagnosis, memory
from blogctl.host.diagnosis import diagnose
from blogctl.site import Site

APP = "/opt/blog/releases/3f2a9c1e/app.py"


@pytest.fixture
def blog(tmp_path: Path) -> Site:
    """A site with the paths of a real host."""
    return Site(
        {
            "name": "blog",
            "wsgi": "app:app",
            "link": "/var/www/blog",
            "root": "/opt/blog",
            "state": str(tmp_path / "state"),
            "releases": "/opt/blog/releases",
            "user": "ada",
            "data": "/var/lib/blog",
            "environment": str(tmp_path / "environment"),
            "venvs": "/opt/blog/venvs",
            "next": "/opt/blog/next",
            "app_dir": "",
            "databases": [],
            "writable_paths": [],
            "sandbox": {"MemoryMax": "45%", "PrivateNetwork": "no"},
        }
    )


def traceback(error: str, code: str = "import it") -> str:
    return f'Traceback (most recent call last):\n  File "{APP}", line 3, in <module>\n    {code}\n{error}\n'


@pytest.mark.parametrize("initialised", [True, False])
def test_a_missing_table_never_leads_to_commands_that_do_not_run_any_more(
    blog: Site, tmp_path: Path, initialised: bool
) -> None:
    blog.settings["state"] = str(tmp_path)
    if initialised:
        (tmp_path / "initialised").touch()
    found = diagnose(blog, traceback("sqlite3.OperationalError: no such table: post"))
    assert "flask_blog_release_commands" in found.remedy
    assert ("this one has had its first data" in found.remedy) is initialised


@pytest.mark.parametrize("module", ["pkg_resources", "gunicorn.six.moves"])
def test_a_gunicorn_that_is_older_than_the_hosts_python_is_to_be_removed(blog: Site, module: str) -> None:
    """A repository made for another host often pins one; setuptools would not make it work."""
    own = "/opt/blog/venvs/abc/lib/python3.13/site-packages/gunicorn/util.py"
    error = f"ModuleNotFoundError: No module named '{module}'"
    found = diagnose(blog, traceback(error, f"import {module}").replace(APP, own))
    assert "Remove gunicorn from them" in found.remedy


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("ModuleNotFoundError: No module named 'yaml'", "Add PyYAML to the app's requirements"),
        ("ModuleNotFoundError: No module named 'flask_login.utils'", "Add flask-login to the app's requirements"),
        ("ModuleNotFoundError: No module named 'app'", "flask_blog_wsgi is 'app:app', and the app's folder has no"),
        ("ModuleNotFoundError: No module named 'app.views'", "The release has no app/views: does Git track it"),
        ("ModuleNotFoundError: No module named 'gunicorn'", "'blogctl rebuild' on the host"),
        ("ImportError: cannot import name 'url_quote' from 'werkzeug.urls' (/x/urls.py)", "The version of werkzeug"),
        ("ImportError: libGL.so.1: cannot open shared object file: No such file or directory", "has libGL.so.1"),
        ("OSError: [Errno 30] Read-only file system: 'static/gen'", "flask_blog_writable_paths: [static/gen]"),
        ("sqlite3.OperationalError: unable to open database file", "flask_blog_databases"),
        ("sqlite3.OperationalError: no such table: post", "flask_blog_init_commands"),
        ("sqlite3.OperationalError: no such column: post.slug", "The tables are older than the release"),
        ("sqlite3.OperationalError: table post has no column named slug", "flask db upgrade, in flask_blog_release"),
        ("psycopg.errors.UndefinedColumn: column post.slug does not exist", "flask_blog_release_commands"),
        ("sqlite3.OperationalError: table post already exists", "flask db stamp head"),
        ("alembic.util.exc.CommandError: Can't locate revision identified by 'abc'", "migrations/versions"),
        ("alembic.util.exc.CommandError: Multiple head revisions are present", "flask db merge heads"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'config.json'", "The release has no 'config.json'"),
        (
            "FileNotFoundError: [Errno 2] Unable to load configuration file (No such file or directory):"
            " '/opt/blog/releases/1/instance/config.py'",
            "it is the folder /var/lib/blog/instance. Write the file there as the app's account ada.",
        ),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'instance/a.json'", "flask_blog_initial_data"),
        ("locale.Error: unsupported locale setting", "/etc/locale.gen"),
        ("zoneinfo._common.ZoneInfoNotFoundError: 'No time zone found with key Europe/Berlin'", "Add tzdata"),
        ("jinja2.exceptions.TemplateNotFound: home.html", "The release has no template home.html"),
        ("jinja2.exceptions.TemplateNotFound: Home.html", "the same in upper and lower case"),
        ("RuntimeError: can't start new thread", "flask_blog_tasks_max"),
        ("OSError: [Errno 24] Too many open files: 'a'", "flask_blog_open_files"),
        ("SyntaxError: invalid syntax", "The host has Python 3."),
    ],
)
def test_a_common_error_names_its_remedy(blog: Site, error: str, remedy: str) -> None:
    code = "os.makedirs('static/gen')" if "static/gen" in error else "import it"
    found = diagnose(blog, traceback(error, code))
    assert found.cause == f"{error} (app.py, line 3)"
    assert remedy in found.remedy
    assert found.lines[-1] == error


def test_a_setting_that_is_missing_is_told_from_any_other_key(blog: Site) -> None:
    found = diagnose(blog, traceback("KeyError: 'MAIL_SERVER'", 'server = os.environ["MAIL_SERVER"]'))
    assert found.remedy.startswith("Set MAIL_SERVER in flask_blog_environment")
    assert diagnose(blog, traceback("KeyError: 'TITLE'", 'post["TITLE"]')).remedy == ""


@pytest.mark.parametrize(("private", "named"), [("yes", True), ("no", False)])
def test_an_app_without_a_network_is_told_the_variable(blog: Site, private: str, named: bool) -> None:
    blog.settings["sandbox"]["PrivateNetwork"] = private
    found = diagnose(blog, traceback("ConnectionRefusedError: [Errno 111] Connection refused"))
    assert ("flask_blog_outbound" in found.remedy) == named


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("Failed to find attribute 'app' in 'app'.", "Failed to find attribute 'app' in 'app'."),
        (
            "2026-11-27T02:32:25+00:00 h (g)[7]: b.service: Failed at step EXEC spawning /x/gunicorn: No such file",
            "Failed at step EXEC spawning /x/gunicorn: No such file",
        ),
        (
            "2026-11-27T02:32:25+00:00 h systemd[1]: b: Main process exited, code=exited, status=3/NOTIMPLEMENTED",
            "Main process exited, code=exited, status=3/NOTIMPLEMENTED",
        ),
        ("2026-11-27T02:32:25+00:00 h systemd[1]: b: Control process exited, code=killed, status=15/TERM", ""),
        ("Usage: flask [OPTIONS]\n\nError: No such command 'db'.", "Error: No such command 'db'."),
        ("sh: 1: alembic: not found", "sh: 1: alembic: not found"),
        ("[2026-11-27 02:32:22 +0000] [7] [INFO] Booting worker with pid: 7", ""),
    ],
)
def test_without_a_traceback_the_cause_is_what_gunicorn_systemd_or_the_command_says(
    blog: Site, output: str, cause: str
) -> None:
    assert diagnose(blog, output).cause == cause


def test_an_app_that_replaces_threads_is_told_the_worker_to_choose(blog: Site) -> None:
    output = "[7] [ERROR] gevent has replaced Python's threads, with which Gunicorn serves the app\n" + (
        "2026-11-27T02:32:25+00:00 h systemd[1]: b: Main process exited, code=exited, status=3/NOTIMPLEMENTED"
    )
    found = diagnose(blog, output)
    assert found.describe("/: it ended by itself") == found.cause
    assert found.cause.startswith("gevent has replaced Python's threads")
    assert "gevent.monkey.patch_all()" in found.remedy
    assert "GUNICORN_CMD_ARGS: --worker-class gevent" in found.remedy
    assert "gunicorn[gevent]" in found.remedy


def test_an_app_that_starts_a_server_when_it_is_imported_is_told_so(blog: Site) -> None:
    output = " * Serving Flask app 'app'\n * Debug mode: off\n * Running on http://127.0.0.1:5000\nPress CTRL+C to quit"
    found = diagnose(blog, output)
    assert found.message("The release abc does not serve", "/: no answer within 60 s").startswith(
        "The release abc does not serve: importing app starts a web server of its own and never ends"
    )
    assert "__main__" in found.remedy


KILLED = "[2026-11-27 02:32:22 +0000] [7] [ERROR] Worker (pid:9) was sent SIGKILL! Perhaps out of memory?"


@pytest.mark.parametrize(
    ("events", "cause", "remedy", "of_host"),
    [
        (memory.Events(oom=3, kills=1), "reached flask_blog_memory_max (45% of ", "flask_blog_workers", False),
        (memory.Events(oom=0, kills=1), "the host ran out of memory", "Add memory or swap", True),
        (
            memory.Events(),
            "ran out of memory, as it seems: its processes were killed",
            "Raise flask_blog_memory_max",
            False,
        ),
    ],
)
def test_memory_that_runs_out_is_said_with_whose_it_was(
    blog: Site, events: memory.Events, cause: str, remedy: str, of_host: bool
) -> None:
    found = diagnose(blog, KILLED, lost=events)
    assert cause in found.cause
    assert remedy in found.remedy
    assert found.of_host == of_host


def test_a_neighbour_that_ran_out_of_memory_explains_no_error_of_the_app(blog: Site) -> None:
    found = diagnose(blog, traceback("ValueError: no theme"), lost=memory.Events(oom=1, kills=1))
    assert found.cause == "ValueError: no theme (app.py, line 3)"


def test_a_worker_that_gunicorn_killed_itself_did_not_run_out_of_memory() -> None:
    timed_out = "[7] [CRITICAL] WORKER TIMEOUT (pid:9)"
    assert diagnosis.killed_workers(f"{KILLED}\n{KILLED.replace('9', '10')}") == 2
    assert diagnosis.killed_workers(f"{timed_out}\n{KILLED}") == 0


def test_a_message_says_what_why_the_state_and_what_to_do_in_this_order(blog: Site) -> None:
    found = diagnose(blog, traceback("ModuleNotFoundError: No module named 'yaml'"))
    message = found.message("The release abc does not serve", "/healthz: it ended by itself", "Nothing is served yet.")
    assert message.splitlines() == [
        "The release abc does not serve: ModuleNotFoundError: No module named 'yaml' (app.py, line 3)",
        "Nothing is served yet.",
        "Add PyYAML to the app's requirements, or to flask_blog_extra_packages.",
        "Its output:",
        f'    File "{APP}", line 3, in <module>',
        "      import it",
        "  ModuleNotFoundError: No module named 'yaml'",
    ]


@pytest.mark.parametrize(
    ("problem", "first"),
    [
        ("/: answered 500", "/: answered 500: ValueError: no theme (app.py, line 3)"),
        ("/: ValueError: no theme", "/: ValueError: no theme (app.py, line 3)"),
        ("/: no answer: timed out", "ValueError: no theme (app.py, line 3)"),
        ("'systemctl restart blog.service' failed: Job for blog failed", "ValueError: no theme (app.py, line 3)"),
    ],
)
def test_an_error_is_said_once_and_what_was_seen_from_outside_only_if_it_adds_something(
    blog: Site, problem: str, first: str
) -> None:
    assert diagnose(blog, traceback("ValueError: no theme")).describe(problem) == first


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [
        ("/: answered 404", "flask_blog_home_path, or leave it empty"),
        ("/healthz: answered 401", "flask_blog_health_path"),
        ("/: answered 500", ""),
    ],
)
def test_a_page_that_the_app_does_not_have_is_told_the_variable(blog: Site, problem: str, remedy: str) -> None:
    blog.settings["health_path"] = "/healthz"
    message = diagnose(blog, "").for_page(blog, problem).message("The release abc does not serve", problem)
    assert message.startswith(f"The release abc does not serve: {problem}")
    assert remedy in message
    assert ("\n" in message) == bool(remedy)


def test_what_the_app_wrote_cannot_steer_a_terminal(blog: Site) -> None:
    found = diagnose(blog, traceback("ValueError: \x1b]0;title\x07\u202e"))
    assert "\x1b" not in found.message("x", "y")
    assert "\u202e" not in found.message("x", "y")


def test_settings_that_nothing_loads_are_named(blog: Site, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / ".flaskenv").write_text("FLASK_APP=app\nexport DATABASE=instance/blog.db\n# OLD=1\nMAIL='x'\n")
    (tmp_path / "environment").write_text('MAIL="y"\n')
    found = diagnose(blog, traceback("ValueError: no theme"), folder)
    assert ".flaskenv sets DATABASE, and nothing loads that file" in found.remedy
    (folder / ".flaskenv").unlink()
    (folder / ".flaskenv").symlink_to(tmp_path / "environment")
    assert diagnose(blog, traceback("ValueError: no theme"), folder).remedy == "", "a link is not followed"
