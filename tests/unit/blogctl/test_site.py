"""blogctl: which site, its lock, its live link, and the settings from before a change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blogctl import site as site_module
from blogctl.errors import OperationError
from blogctl.host import locks, releases
from blogctl.release import settings
from blogctl.shared import contract
from blogctl.site import Site

HOLD = """\
import sys
sys.path.insert(0, sys.argv[1])
from blogctl.host.locks import locked
from blogctl.shared import contract
from blogctl.site import Site
contract.RUNTIME = sys.argv[2]
with locked(Site({"name": sys.argv[3]})):
    print("held", flush=True)
    sys.stdin.read()
"""


def configure(name: str) -> None:
    folder = site_module.CONFIGURATION / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site.json").write_text(json.dumps({"name": name}))


def test_the_only_site_of_a_host_needs_no_name(site: Site) -> None:
    configure("blog")
    assert site_module.load(None).name == "blog"


def test_one_of_several_needs_its_name(site: Site) -> None:
    configure("blog")
    configure("other")
    with pytest.raises(OperationError, match=r"2 sites \(blog, other\); choose one with --site NAME"):
        site_module.load(None)
    assert site_module.load("other").name == "other"


def test_a_host_without_sites_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # others are told to use sudo
    with pytest.raises(OperationError, match=r"0 sites \(none\)"):
        site_module.load(None)
    with pytest.raises(OperationError, match="no site 'blog'; it has none"):
        site_module.load("blog")


def test_settings_that_only_root_may_read_are_not_a_traceback(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("blog")

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(OperationError, match="use sudo"):
        site_module.load("blog")


def test_without_root_a_site_that_is_not_seen_may_be_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for name in (None, "blog"):
        with pytest.raises(OperationError, match="may not read the settings of the sites; use sudo"):
            site_module.load(name)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "site.json is damaged"),
        ("[]", "is not that of blog; run playbooks/site.yml"),
        ('{"name": "other"}', "is not that of blog; run playbooks/site.yml"),
    ],
)
def test_settings_that_are_damaged_name_the_remedy(site: Site, text: str, words: str) -> None:
    configure("blog")
    (site_module.CONFIGURATION / "blog" / "site.json").write_text(text)
    with pytest.raises(OperationError, match=words):
        site_module.load("blog")


def test_a_setting_that_an_older_role_did_not_write_names_the_remedy(site: Site) -> None:
    configure("blog")
    with pytest.raises(OperationError, match=r"blog/site.json lacks 'rehearse'; run playbooks/site.yml"):
        site_module.load("blog").settings["rehearse"]


@pytest.mark.parametrize("release", ["two", "one/../one", ".", "..", "", "/one"])
def test_an_id_that_is_no_release_is_refused(site: Site, add_release: Callable[[str], Path], release: str) -> None:
    add_release("one")
    with pytest.raises(OperationError, match=r"there is no release .*; there are one"):
        releases.release_manifest(site, release)


def test_a_manifest_that_is_damaged_names_the_remedy(site: Site, add_release: Callable[[str], Path]) -> None:
    (add_release("one") / ".release.json").write_text("{")
    with pytest.raises(OperationError, match=r"is damaged .*; run the playbook again"):
        releases.release_manifest(site, "one")


def test_a_second_holder_of_a_lock_is_refused(site: Site) -> None:
    with (
        locks.locked(site),
        pytest.raises(OperationError, match="another operation on blog is under way"),
        locks.locked(site, wait=0.1),
    ):
        pytest.fail("two hold the lock")
    with locks.locked(site):
        pass


def test_whoever_is_refused_is_told_who_holds_the_lock_and_since_when(site: Site) -> None:
    with (
        locks.locked(site, "activate abc"),
        pytest.raises(OperationError, match=rf"\(activate abc, process {os.getpid()}, since 20\d\d-.*\+00:00\)"),
        locks.locked(site, "rollback", wait=0.0),
    ):
        pytest.fail("two hold the lock")
    (lock,) = Path(contract.RUNTIME).iterdir()
    assert lock.read_text() == "", "nobody holds it"
    assert lock.stat().st_mode & 0o777 == 0o600, "to read a file is enough to lock it"


def test_a_lock_is_not_written_through_a_link(site: Site, tmp_path: Path) -> None:
    """Everybody may write to /run/lock."""
    precious = tmp_path / "precious"
    precious.write_text("precious")
    Path(contract.RUNTIME).mkdir(exist_ok=True)
    Path(contract.RUNTIME, "blog.lock").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"), locks.locked(site):
        pytest.fail("it was followed")
    assert precious.read_text() == "precious"


def test_sites_do_not_lock_each_other(site: Site) -> None:
    with locks.locked(site), locks.locked(Site({"name": "other"})):
        pass


def test_the_lock_of_a_process_that_was_killed_is_free(site: Site, role: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(role / "files"), contract.RUNTIME, site.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OperationError), locks.locked(site, wait=0.1):
            pytest.fail("two hold the lock")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with locks.locked(site):
        pass


def test_a_release_that_is_not_there_is_answered_with_those_that_are(
    site: Site, add_release: Callable[[str], Path]
) -> None:
    add_release("abc")
    assert releases.app_folder(site, "abc") == site.path("releases") / "abc"
    with pytest.raises(OperationError, match="no release 'xyz'; there are abc"):
        releases.app_folder(site, "xyz")


def test_the_live_link_is_made_and_turned_without_ever_missing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert releases.live_target(site) is None
    releases.point_link(site, "/one")
    removed = os.unlink

    def unlink(path: str, **options: Any) -> None:
        assert Path(path) != site.path("link"), "the link was removed first"
        removed(path, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    releases.point_link(site, "/two")
    assert releases.live_target(site) == "/two"
    assert [path.name for path in site.path("link").parent.iterdir()] == ["blog"]


def test_a_link_that_cannot_be_turned_stays_and_leaves_no_litter(site: Site) -> None:
    site.path("link").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        releases.point_link(site, "/two")
    assert [path.name for path in site.path("link").parent.iterdir()] == ["blog"]


def test_settings_from_before_a_change_are_put_back_with_their_mode(site: Site) -> None:
    (place,) = (Path(path) for path in site.settings["settings_files"])
    (copy,) = settings.previous_settings(site).values()
    copy.parent.mkdir()
    copy.write_text("before\n")
    copy.chmod(0o640)
    place.write_text("after\n")
    assert settings.restore_settings(site) is True
    assert place.read_text() == "before\n"
    assert place.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in place.parent.iterdir()] == ["environment"]


def test_without_kept_settings_there_is_nothing_to_put_back(site: Site) -> None:
    assert settings.restore_settings(site) is False


def test_notes_are_forgotten_for_this_site_alone(site: Site) -> None:
    for name in ("blog.activate", "blog.socket", "other.activate"):
        Path(contract.RUNTIME, name).touch()
    Path(contract.RUNTIME, "blog.previous").mkdir()
    settings.remove_pending(site)
    settings.remove_pending(site)
    assert os.listdir(contract.RUNTIME) == ["other.activate"]
