"""Copies of backups in a repository: what restic is asked, and what is said if it fails. A script stands for restic."""

from __future__ import annotations

import datetime
import json
import socket
from typing import Any

import pytest
from backups import day
from blogctl.backup import create, offsite, restic, retention
from blogctl.errors import Busy, OperationError
from blogctl.host.locks import offsite_alone
from blogctl.site import Site
from fake_restic import Restic, copied


def test_the_first_copy_makes_the_repository_and_lists_the_backup(blog: Site, program: Restic) -> None:
    outcome = offsite.copy(blog)
    assert (outcome.created, outcome.copied, outcome.checked) == (True, True, True)
    assert outcome.backup == "20260101T030000Z"
    assert program.commands == ["cat", "init", "unlock", "snapshots", "backup", "snapshots", "snapshots", "check"]
    state = offsite.read(blog)
    assert (state.backup, state.snapshot, state.problem) == (outcome.backup, "1".zfill(64), "")
    assert [one["tags"]["backup"] for one in state.snapshots] == [outcome.backup]


def test_a_copy_has_a_stable_path_and_the_backups_moment(blog: Site, program: Restic) -> None:
    offsite.copy(blog)
    (_, words, seen, folder) = next(entry for entry in program.asked if entry[0] == "backup")
    assert folder == str(blog.path("backups") / "20260101T030000Z")
    assert words[words.index("--") + 1 :] == ["data", "settings", "manifest.json"]
    assert words[words.index("--time") + 1] == "2026-01-01 03:00:00"
    assert seen["TZ"] == "UTC"
    tags = [words[number + 1] for number, word in enumerate(words) if word == "--tag"]
    assert tags == ["site=blog", "backup=20260101T030000Z", "release=", "bytes=5", "lacks=0"]


def test_an_unknown_host_is_never_accepted_and_no_secret_is_on_a_command_line(blog: Site, program: Restic) -> None:
    offsite.copy(blog)
    for _, words, seen, _ in program.asked:
        command = next(word for word in words if word.startswith("sftp.command="))
        assert "StrictHostKeyChecking=yes" in command
        assert f"UserKnownHostsFile={blog.path('config')}/offsite/known-hosts" in command
        assert command.endswith("-l blog host.example.com -s sftp")
        assert "correct horse" not in " ".join(words)
        assert "correct horse" not in str(seen)
        assert seen["RESTIC_PASSWORD_FILE"] == f"{blog.path('config')}/offsite/password"
        assert seen["AWS_SECRET_ACCESS_KEY"] == 'very "secret" key'
        assert "LD_LIBRARY_PATH" not in seen


def test_a_backup_that_is_there_is_not_copied_again_and_nobody_is_asked(blog: Site, program: Restic) -> None:
    copied(blog, program)
    outcome = offsite.copy(blog)
    assert (outcome.created, outcome.copied, outcome.checked) == (False, False, False)
    assert program.commands == []


def test_a_copy_whose_program_was_killed_is_found_again(blog: Site, program: Restic) -> None:
    copied(blog, program)
    (blog.path("state") / "offsite.json").unlink()
    outcome = offsite.copy(blog)
    assert not outcome.copied
    assert len(program.snapshots) == 1
    assert offsite.read(blog).backup == outcome.backup


def test_the_next_backup_is_compared_with_the_last_copy(blog: Site, program: Restic) -> None:
    copied(blog, program)
    create.back_up(blog, day(1))
    assert offsite.copy(blog).copied
    words = next(entry[1] for entry in program.asked if entry[0] == "backup")
    assert words[words.index("--parent") + 1] == "1".zfill(64)
    assert "check" not in program.commands, "it was checked today"


def test_old_copies_are_removed_by_the_retention_and_those_of_others_stay(blog: Site, program: Restic) -> None:
    copied(blog, program)
    tags = ["site=blog", "backup=20250101T000000Z"]
    mine = [
        {"id": f"{number:064x}", "time": "", "hostname": socket.gethostname(), "tags": ["site=blog", f"backup={name}"]}
        for number, name in ((20, "20251230T000000Z"), (21, "20251231T000000Z"), (22, "20251231T010000Z"))
    ]
    foreign = {"id": "a" * 64, "time": "", "hostname": "another", "tags": tags}
    (program.folder / "snapshots.json").write_text(json.dumps([foreign, *mine, *program.snapshots]))
    state = offsite.read(blog)
    state.pruned = ""
    offsite._write(blog, state)
    create.back_up(blog, day(1))
    assert offsite.copy(blog).removed == ["20251230T000000Z", "20251231T000000Z", "20251231T010000Z"]
    assert [one["id"][-2:] for one in program.snapshots] == ["aa", "01", "06"]
    assert "prune" in program.commands


def test_an_append_only_repository_loses_no_copy(blog: Site, program: Restic) -> None:
    blog.settings["repository"] = {"kind": "sftp", "append_only": True, "keep": {"daily": 1}}
    copied(blog, program)
    for number in range(1, 4):
        create.back_up(blog, day(number))
        offsite.copy(blog)
    assert len(program.snapshots) == 4
    assert not {"forget", "prune"} & {*program.commands}


def test_a_copy_that_lacks_files_never_takes_the_place_of_a_whole_one(blog: Site, program: Restic) -> None:
    copied(blog, program)
    create.back_up(blog, day(1))
    offsite.copy(blog)
    (blog.path("data") / "broken.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    for number in range(2, 6):
        create.back_up(blog, day(number))
        state = offsite.read(blog)
        state.pruned = ""
        offsite._write(blog, state)
        offsite.copy(blog)
    names = [tag for one in program.snapshots for tag in one["tags"] if tag.startswith("backup=")]
    assert names == [f"backup=2026010{number}T030000Z" for number in (1, 2, 5, 6)]


# -- what goes wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        ("Fatal: wrong password or no key found", 1, "the password does not open the repository sftp:blog@host"),
        ('{"message_type":"exit_error","code":12,"message":"Fatal: wrong password or no key found"}', 12, "password"),
        (
            "subprocess ssh: ssh: connect to host host.example.com port 22: Connection refused\n"
            "Fatal: unable to open repository at sftp:blog@host.example.com:/srv/blog: EOF",
            1,
            "Connection refused.*unable to open repository",
        ),
        ("Fatal: unable to open config file: Head: dial tcp: lookup host: no such host\nIs there", 1, "no such host"),
    ],
)
def test_a_repository_that_does_not_open_is_an_error_and_never_made_anew(
    blog: Site, program: Restic, error: str, status: int, words: str
) -> None:
    program.fails("cat", error, status)
    with pytest.raises(restic.RepositoryError, match=words) as raised:
        offsite.copy(blog)
    assert "the backups on this host, and the blog, are as they were" in str(raised.value)
    assert program.commands == ["cat"]
    assert offsite.read(blog).problem
    program.fails("cat", "Fatal: unable to open config file: <config/> does not exist")
    assert offsite.copy(blog).copied
    assert offsite.read(blog).problem == ""


def test_the_reason_that_ssh_gives_is_told_even_if_restic_has_not_read_it(
    blog: Site, program: Restic, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = program.folder / "ssh"
    script.write_text("#!/bin/sh\necho 'a banner' >&2\necho 'Host key verification failed.' >&2\nexit 255\n")
    script.chmod(0o755)
    monkeypatch.setattr(restic, "SSH", str(script))
    program.fails("cat", "Fatal: unable to start the sftp session, error: read |0: file already closed")
    with pytest.raises(restic.RepositoryError, match=r"Host key verification failed.*unable to start the sftp session"):
        offsite.copy(blog)


def test_a_repository_that_is_gone_is_an_alarm_and_not_made_anew(blog: Site, program: Restic) -> None:
    """Such as a disk that is not mounted."""
    copied(blog, program)
    create.back_up(blog, day(1))
    program.fails("cat", "Fatal: repository does not exist: unable to open config file", 10)
    with pytest.raises(restic.NoRepository, match="It was there on 20"):
        offsite.copy(blog)
    assert "init" not in program.commands


def test_another_repository_is_a_new_one(blog: Site, program: Restic) -> None:
    copied(blog, program)
    (blog.path("config") / "offsite" / "repository").write_text("/mnt/disk/blog\n")
    (program.folder / "snapshots.json").unlink()
    program.fails("cat", "Fatal: unable to open config file: stat: no such file or directory")
    assert offsite.copy(blog).created


def test_a_secret_that_restic_prints_is_masked(blog: Site, program: Restic) -> None:
    program.fails(
        "cat", 'Fatal: bad key very "secret" key and correct horse battery at https://ada:pw12345@host/ \x1b[2J'
    )
    with pytest.raises(restic.RepositoryError) as raised:
        offsite.copy(blog)
    said = str(raised.value)
    assert "bad key ********" in said
    assert not any(secret in said for secret in ('"secret" key', "correct horse", "pw12345", "\x1b"))


def test_damage_is_an_alarm_until_the_damaged_part_was_read_whole_and_nothing_is_removed(
    blog: Site, program: Restic, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(blog, program)
    state = offsite.read(blog)
    state.checked = state.pruned = ""
    offsite._write(blog, state)
    program.fails("check", "error for pack 1a2b: blob hash is wrong\nFatal: repository contains errors")
    with pytest.raises(
        restic.Damaged, match=r"the repository is damaged.*repository contains errors.*No copy was removed"
    ):
        offsite.copy(blog)
    assert not {"forget", "prune"} & {*program.commands}
    damaged = offsite.read(blog).damaged
    assert 1 <= damaged <= 7
    program.works()
    program.forget_log()
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)

    class Tomorrow(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return tomorrow

    monkeypatch.setattr(offsite.datetime, "datetime", Tomorrow)
    offsite.copy(blog)
    parts = [word for entry in program.asked if entry[0] == "check" for word in entry[1] if "subset" in word]
    assert parts == sorted({f"--read-data-subset={one}/7" for one in (damaged, damaged % 7 + 1)})
    assert offsite.read(blog).damaged == 0


def test_a_repository_that_another_program_uses_is_tried_again_later(blog: Site, program: Restic) -> None:
    copied(blog, program)
    create.back_up(blog, day(1))
    program.fails("backup", "Fatal: unable to create lock in backend: repository is already locked by PID 7", 11)
    with pytest.raises(Busy, match=r"another program uses the repository.*tried again"):
        offsite.copy(blog)


def test_only_one_process_copies_at_a_time(blog: Site) -> None:
    with offsite_alone(blog), pytest.raises(Busy, match="another process copies"):
        offsite.copy(blog)


def test_a_site_without_a_repository_or_a_backup_says_so(site: Site, blog: Site) -> None:
    for folder in blog.path("backups").iterdir():
        folder.rename(folder.with_name("aside"))
    with pytest.raises(OperationError, match="has no backup yet"):
        offsite.copy(blog)
    (blog.path("config") / "offsite" / "repository").unlink()
    with pytest.raises(OperationError, match="set flask_blog_backup_repository"):
        offsite.copy(blog)


def test_restic_that_is_not_installed_is_named(blog: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restic, "PROGRAM", "/no/such/restic")
    with pytest.raises(OperationError, match=r"/no/such/restic is missing; run playbooks/site.yml"):
        offsite.copy(blog)


def test_a_backup_that_is_being_copied_is_not_removed_by_the_retention(blog: Site) -> None:
    root = blog.path("backups")
    with retention.held(root / "20260101T030000Z"):
        create.back_up(blog, day(1))
        assert retention.prune(root, {"daily": 1}) == []
    assert retention.prune(root, {"daily": 1}) == ["20260101T030000Z"]
