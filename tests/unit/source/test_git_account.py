"""Git runs as an account of its own, and what opens a repository is private to it.

The repositories are real ones on this computer; systemd's sandbox around Git is the scenario's to show.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import (
    git,
    git_account,
    git_remote,
    git_unit,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import (
    GitError,
)
from repositories import (
    access,
    get,
    left_over,
    mirror_of,
    run,
    site_of,
    upstream,
)

__all__ = ["upstream"]

pytestmark = pytest.mark.skipif(not os.path.exists(git_unit.GIT), reason="it is about what Git does")


@pytest.fixture
def prepared(upstream: Path) -> Iterator[git_account.Git]:
    """Git as the account that runs the tests, with its private folder."""
    with git_account.git_as(site_of(upstream)["build_user"], Limits()) as found:
        yield found


def test_a_key_is_private_and_gone_afterwards(upstream: Path) -> None:
    opened = access(upstream, key="the key\r\nof two lines", credentials="https://me:hunter2@git.test")
    folder = upstream.parent / "exported"
    folder.mkdir()
    with git.wanted(opened, site_of(upstream), True, str(folder), Limits()):
        (private,) = (path for path in (upstream.parent / "run").iterdir() if path.is_dir())
        assert (private / "key").read_text() == "the key\nof two lines\n"
        assert (private / "credentials").read_text() == "https://me:hunter2@git.test\n"
        modes = {path.name: path.stat().st_mode & 0o777 for path in [private, *private.iterdir()]}
        assert modes.pop(private.name) == 0o750
        assert modes.pop("key") == modes.pop("known_hosts") == 0o600
        assert set(modes.values()) == {0o640}
    assert left_over(upstream) == []
    kept = [path.read_bytes() for path in (upstream.parent / "git").rglob("*") if path.is_file()]
    assert not any(b"hunter2" in content or b"the key" in content for content in kept)
    assert "hunter2" not in repr(opened)
    assert "the key" not in repr(opened)


def test_what_a_killed_run_has_left_goes_with_the_next_and_what_is_in_use_stays(upstream: Path) -> None:
    for place in ("run", "large"):
        left = upstream.parent / place / f"{git_account.PREFIX}left"
        (left / "repository").mkdir(parents=True)
        (left / "key").write_text("secret")
    with git_account.git_as(site_of(upstream)["build_user"], Limits()) as used:
        get(upstream)
        assert used.private.is_dir()
    assert left_over(upstream) == []


def environment_of(found: git_account.Git) -> str:
    return (found.private / "environment").read_text()


@pytest.mark.parametrize(("lines", "checking"), [((), "accept-new"), (("git.test ssh-ed25519 AAAA",), "yes")])
def test_ssh_never_takes_any_host(prepared: git_account.Git, lines: tuple[str, ...], checking: str) -> None:
    git_remote.Remote(prepared, git_remote.Access("git@git.test:x", "", 20, "key", "", lines))
    command = environment_of(prepared)
    assert f"-o StrictHostKeyChecking={checking} " in command
    assert "-o BatchMode=yes " in command
    assert f"-o IdentityFile={prepared.private}/key " in command
    assert "-o IdentitiesOnly=yes " in command


def test_git_takes_a_token_from_its_file_and_it_is_on_no_command_line(prepared: git_account.Git) -> None:
    git_remote.Remote(
        prepared, git_remote.Access("https://git.test/blog", "", 20, "", "https://me:hunt%40er2@git.test")
    )
    for host, status in (("git.test", 0), ("elsewhere.test", 128)):
        script = f"printf 'protocol=https\\nhost={host}\\n\\n' | $GIT credential fill"
        done = prepared.run(script, reach=git_unit.Reach())
        assert done.status == status
        assert (b"password=hunt@er2" in done.output) == (status == 0)
    command = prepared.command("", [], git_unit.Reach(network=True), 20)
    assert not any("er2" in word for word in command)


def test_a_proxys_password_is_in_no_property_of_a_unit(upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every account of a host can read a unit's environment with systemctl show."""
    monkeypatch.undo()
    monkeypatch.setattr(git_account, "PRIVATE", str(upstream.parent / "run"))
    monkeypatch.setattr(git_account, "MAY_BE_ROOT", True)
    monkeypatch.setattr(git_unit.cage, "prepare", lambda: None)
    monkeypatch.setenv("https_proxy", "http://me:hunter2@proxy.test:3128")
    with git_account.git_as(site_of(upstream)["build_user"], Limits()) as found:
        git_remote.Remote(found, git_remote.Access("https://git.test/blog", "", 20, "", "https://me:hunter2@git.test"))
        command = found.command(git_remote.LIST, [], git_unit.Reach(network=True), 20)
        assert command[0] == "systemd-run"
        assert not any("hunter2" in word or word.startswith("--setenv") for word in command)
        assert "export https_proxy=http://me:hunter2@proxy.test:3128" in environment_of(found)
        monkeypatch.setattr(git_unit, "unit_command", lambda *_: [])
        assert found.run('echo "$https_proxy"', reach=git_unit.Reach()).output == b"http://me:hunter2@proxy.test:3128\n"


def test_units_run_as_the_account_with_a_network_for_other_hosts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_unit.cage, "systemd_version", lambda: 257)
    for reach in (git_unit.Reach(), git_unit.Reach(repository="/srv/blog"), git_unit.Reach(network=True)):
        found = git_unit.properties("blog-build", reach, 20, Limits())
        assert found["User"] == "blog-build"
        assert ("PrivateNetwork" in found) == (not reach.network)
        assert found["CapabilityBoundingSet"] == ("CAP_DAC_READ_SEARCH" if reach.repository else "")
        assert found["TemporaryFileSystem"].startswith("/ ")
        assert found["LimitFSIZE"] == str((2 << 30) + git_unit.PACK_EXTRA)
    found = git_unit.properties("blog-build", git_unit.Reach(repository="/srv/blog"), 20, Limits())
    assert "/srv/blog" in found["BindReadOnlyPaths"].split()
    assert "/etc" not in found["BindReadOnlyPaths"].split(), "a capability to read everything would open its secrets"
    assert "open_by_handle_at" in found["SystemCallFilter"]


def test_root_never_runs_git(upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git_account, "MAY_BE_ROOT", False)
    with pytest.raises(GitError, match="root, which never runs Git"), git_account.git_as("root", Limits()):
        pass


def test_without_its_account_git_does_not_run_and_the_remedy_is_named(upstream: Path) -> None:
    with (
        pytest.raises(GitError, match=r"the server has no account blog-absent, .*Run the playbook without --check"),
        git_account.git_as("blog-absent", Limits()),
    ):
        pytest.fail("it runs")


@pytest.mark.usefixtures("descriptors")
def test_a_private_folder_that_cannot_be_made_leaves_no_lock_held(
    upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(git_account, "_sweep", fail)
    with (
        pytest.raises(OSError, match="No space left"),
        git_account.git_as(site_of(upstream)["build_user"], Limits()),
    ):
        pytest.fail("it runs")


def test_what_is_no_folder_of_a_run_does_not_keep_the_others(upstream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = upstream.parent / "large"
    (place / f"{git_account.PREFIX}1").write_text("a file")
    (place / f"{git_account.PREFIX}2").symlink_to(upstream)
    (place / f"{git_account.PREFIX}3").mkdir()
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: sorted(glob(self, pattern)))
    with git_account.git_as(site_of(upstream)["build_user"], Limits()) as found, git_account.work_folder(found):
        assert not (place / f"{git_account.PREFIX}3").exists()
    assert (upstream / "app.py").exists()


@pytest.mark.parametrize("enough_room", [True, False])
def test_a_repository_is_kept_on_another_file_system_too(
    upstream: Path, monkeypatch: pytest.MonkeyPatch, enough_room: bool
) -> None:
    rename = os.rename

    def rename_here(source: Any, target: Any) -> None:
        if Path(source).is_relative_to(upstream.parent / "large"):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_here)
    if enough_room:
        identity = get(upstream)[0]
        assert run(mirror_of(upstream), "rev-parse", "--verify", f"{identity}^{{commit}}") == identity
        return
    monkeypatch.setattr(git, "COPY", "exit 1")
    with pytest.raises(GitError, match=r"the repository cannot be copied to .*; is the disk full"):
        get(upstream)
    assert not mirror_of(upstream).exists()


@pytest.mark.parametrize(
    ("accepted", "given", "kept"),
    [("git.test ssh-ed25519 AAAA\n", (), True), ("git.test ssh-ed25519 AAAA\n", ("git.test",), False), ("", (), False)],
)
def test_the_keys_of_hosts_are_kept_unless_they_were_given(
    tmp_path: Path, accepted: str, given: tuple[str, ...], kept: bool
) -> None:
    (tmp_path / "accepted").write_text(accepted)
    remote: Any = SimpleNamespace(known_hosts=tmp_path / "accepted", access=SimpleNamespace(known_hosts=given))
    git._keep_known_hosts(remote, tmp_path / "known_hosts")
    assert (tmp_path / "known_hosts").exists() is kept
    assert not kept or (tmp_path / "known_hosts").read_text() == accepted
