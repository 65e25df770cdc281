"""What is served, and with which environment and settings. Each test breaks one thing and reads its line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from blogctl.data import outside
from blogctl.doctor import serving
from blogctl.doctor.check import ERROR, WARNING
from blogctl.host import health
from blogctl.host.releases import point_link
from blogctl.shared import contract
from blogctl.site import Site
from doctor_host import Host, whats
from fake_machine import Add

KEY_ERROR = """2026-11-27T03:27:41+00:00 h systemd[1]: Starting blog.service - blog, a Flask blog on Gunicorn...
2026-11-27T03:27:42+00:00 h gunicorn[7]: Traceback (most recent call last):
2026-11-27T03:27:42+00:00 h gunicorn[7]:   File "{app}", line 3, in <module>
2026-11-27T03:27:42+00:00 h gunicorn[7]:     {code}
2026-11-27T03:27:42+00:00 h gunicorn[7]: {error}
"""
DOWN = health.Answer(0, "no answer: refused")


def all_of(site: Site) -> list[str]:
    return [what for one in serving.CHECKS for what in whats(one.find(site))]


def test_a_site_that_serves_as_it_should_is_silent(live: Site) -> None:
    assert all_of(live) == []


def test_another_release_than_the_activated_one_is_named_with_the_command(live: Site, host: Host) -> None:
    host.served = "older"
    (found,) = serving.serves(live)
    assert found.what == "older is served, and old was activated"
    assert (found.level, found.command) == (ERROR, "blogctl --site blog activate old")


@pytest.mark.parametrize(
    ("code", "error", "remedy"),
    [
        ('os.environ["API_KEY"]', "KeyError: 'API_KEY'", "Set API_KEY in flask_blog_environment"),
        ("import yaml", "ModuleNotFoundError: No module named 'yaml'", "Add PyYAML to the app's requirements"),
    ],
)
def test_a_missing_dependency_or_environment_variable_is_named_with_the_remedy(
    live: Site, host: Host, code: str, error: str, remedy: str
) -> None:
    host.answer, host.served = DOWN, None
    host.journal = KEY_ERROR.format(app=live.path("releases") / "old" / "app.py", code=code, error=error)
    (found,) = serving.serves(live)
    assert found.what.startswith("the site does not serve: /healthz: no answer: refused")
    assert error in found.what
    assert found.fix.startswith(remedy)


def test_an_app_that_says_nothing_is_referred_to_its_log(live: Site, host: Host) -> None:
    host.answer, host.served = DOWN, None
    (found,) = serving.serves(live)
    assert found.command == "blogctl --site blog logs --since=-15min"


def test_the_maintenance_page_is_not_forgotten(live: Site) -> None:
    live.path("maintenance").parent.mkdir(parents=True, exist_ok=True)
    live.path("maintenance").touch()
    (found,) = serving.serves(live)
    assert (found.level, found.command) == (WARNING, "blogctl --site blog maintenance off")


def test_an_environment_without_gunicorn_is_built_again(live: Site, host: Host) -> None:
    (live.path("releases") / "old" / "venv" / "bin" / "gunicorn").unlink()
    (found,) = serving.environment_fits(live)
    assert found.what.endswith("has no gunicorn")
    assert found.command == "blogctl --site blog rebuild old"
    host.answer, host.served = DOWN, None
    assert list(serving.serves(live)) == [], "one line says it"


def test_an_environment_of_another_python_is_built_again(live: Site) -> None:
    (lib,) = (live.path("releases") / "old" / "venv" / "lib").iterdir()
    lib.rename(lib.with_name("python3.9"))
    (found,) = serving.environment_fits(live)
    assert "was built for Python 3.9" in found.what
    assert found.command == "blogctl --site blog rebuild old"


def test_a_wrong_environment_path_is_named(live: Site) -> None:
    venv = live.path("releases") / "old" / "venv"
    shutil.rmtree(venv)
    venv.symlink_to("/nowhere")
    (found,) = serving.environment_fits(live)
    assert found.what == "the environment of old (/nowhere) is gone"


def test_a_live_release_whose_folder_is_gone_is_named(live: Site, host: Host) -> None:
    shutil.rmtree(live.path("releases") / "old")
    (found,) = serving.release_is_there(live)
    assert "there is no such folder" in found.what
    host.answer, host.served = DOWN, None
    assert len(all_of(live)) == 1, "one line says it"


def test_a_folder_in_the_place_of_the_link_is_named(live: Site) -> None:
    live.path("link").unlink()
    live.path("link").mkdir()
    (found,) = serving.release_is_there(live)
    assert "is no link to a release" in found.what
    assert "Move away what stands there" in found.fix


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WorkingDirectory", "/srv/old", "its working directory is /srv/old, not"),
        ("WorkingDirectory", "", "its working directory is /, not"),
        ("ExecStart", "{ path=/usr/bin/gunicorn ; argv[]=/usr/bin/gunicorn app:app ; }", "it runs /usr/bin/gunicorn"),
        ("User", "nobody", "it runs as nobody"),
    ],
)
def test_a_unit_that_starts_the_app_otherwise_is_named(
    live: Site, host: Host, name: str, value: str, said: str
) -> None:
    host.units["blog.service"][name] = value
    (found,) = serving.unit_is_ours(live)
    assert said in found.what
    assert found.command == "ansible-playbook playbooks/site.yml"
    host.units["blog.service"]["DropInPaths"] = "/etc/systemd/system/blog.service.d/override.conf"
    (found,) = serving.unit_is_ours(live)
    assert found.command == "systemctl revert blog.service && systemctl restart blog.service"


def test_a_unit_that_does_not_read_the_settings_is_named(live: Site, host: Host) -> None:
    host.programs["systemctl show --property=EnvironmentFiles"] = (0, "EnvironmentFiles=/a (ignore_errors=no)\n")
    (found,) = serving.unit_is_ours(live)
    assert f"it does not read {live.path('environment')}" in found.what


def test_settings_beside_those_of_the_role_are_a_warning(live: Site, host: Host) -> None:
    host.units["blog.service"] |= {"DropInPaths": "/etc/x.conf", "NeedDaemonReload": "yes"}
    assert [found.command for found in serving.unit_is_ours(live)] == [
        "systemctl revert blog.service && systemctl restart blog.service",
        "systemctl daemon-reload",
    ]


def test_a_unit_that_is_gone_is_named(live: Site, host: Host) -> None:
    host.units["blog.service"] = {"LoadState": "not-found"}
    assert whats(serving.unit_is_ours(live)) == ["systemd knows no blog.service"]


def test_settings_that_the_process_has_not_read_are_named(live: Site, host: Host) -> None:
    live.path("environment").write_text('A="1"\n')
    revision = contract.settings_revision(live.settings["settings_files"])
    note: dict[str, Any] = {"pid": 7, "release": "old", "venv": "", "revision": revision}
    host.units["blog.service"] |= {"MainPID": "7", "StatusText": json.dumps(note)}
    assert list(serving.settings_are_loaded(live)) == []
    live.path("environment").write_text('A="2"\n')
    (found,) = serving.settings_are_loaded(live)
    assert found.command == "systemctl restart blog.service"


def test_what_an_interrupted_run_has_not_loaded_is_named(
    live: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "NGINX_RELOAD", str(tmp_path / "nginx.reload"))
    live.pending("activate").touch()
    (tmp_path / "nginx.reload").touch()
    assert len(list(serving.all_is_loaded(live))) == 2


def test_a_database_outside_the_backup_is_named_with_the_variable(live: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "databases_outside", lambda *_: ["/tmp/blog.db", f"{live.path('link')}/posts.db"])
    # The test's own folder may lie in /tmp.
    monkeypatch.setattr(outside, "is_temporary", lambda path: path == "/tmp/blog.db")
    first, second = serving.data_is_kept(live)
    assert (first.level, first.why) == (ERROR, "a restart of the service removes it")
    assert second.why == "it is in no backup and no snapshot"
    assert "flask_blog_databases: [posts.db]" in second.fix


def test_a_declared_database_that_is_missing_is_named(live: Site) -> None:
    live.settings["databases"] = ["posts.db"]
    (found,) = serving.data_is_kept(live)
    assert found.what.startswith("flask_blog_databases names posts.db")


def test_a_problem_that_the_app_has_logged_is_split_into_what_and_fix(live: Site, host: Host) -> None:
    host.journal = "the app has another secret key in each worker"
    (found,) = serving.app_complains(live)
    assert found.what.startswith("The app makes a new secret key in each worker")
    assert found.fix.startswith("Read the key from the environment")


def test_a_release_that_was_never_activated_is_no_crash(site: Site, host: Host, add_release: Add) -> None:
    host.answer, host.served = DOWN, None
    add_release("new")
    assert any("is no link to a release" in what for what in all_of(site))
    point_link(site, "/elsewhere")
    assert all_of(site)
