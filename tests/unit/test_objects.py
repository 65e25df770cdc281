"""The managed state as data: comparing, putting right, and putting back."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import objects

IS_ROOT = os.geteuid() == 0


def file_at(path: Path, me: Any, content: str = "new\n", mode: str = "0640", **more: Any) -> dict[str, Any]:
    return {
        "layer": "settings",
        "kind": "file",
        "path": str(path),
        "owner": me.user,
        "group": me.group,
        "mode": mode,
        "content": content,
        **more,
    }


def directory_at(path: Path, me: Any, mode: str = "0750") -> dict[str, Any]:
    return {"layer": "data", "kind": "directory", "path": str(path), "owner": me.user, "group": me.group, "mode": mode}


def link_at(path: Path, target: str) -> dict[str, Any]:
    return {"layer": "proxy", "kind": "link", "path": str(path), "target": target}


def absent_at(path: Path) -> dict[str, Any]:
    return {"layer": "proxy", "kind": "absent", "path": str(path)}


def tree_at(path: Path, me: Any, **more: Any) -> dict[str, Any]:
    return {"layer": "data", "kind": "tree", "path": str(path), "owner": me.user, "group": me.group, **more}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# -- files ----------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_found_made_and_then_as_wanted(tmp_path: Path, me: Any) -> None:
    wanted = file_at(tmp_path / "settings", me)
    difference = objects.compare(wanted)
    assert difference.words == ["missing"]
    assert (difference.before, difference.after) == ("", "new\n")
    objects.put_right(wanted)
    assert (tmp_path / "settings").read_text() == "new\n"
    assert mode_of(tmp_path / "settings") == 0o640
    assert objects.compare(wanted) is None


def test_changed_content_shows_both_texts_for_a_diff(tmp_path: Path, me: Any) -> None:
    (tmp_path / "settings").write_text("old\n")
    (tmp_path / "settings").chmod(0o640)
    difference = objects.compare(file_at(tmp_path / "settings", me))
    assert difference.words == ["content"]
    assert difference.as_diff()["before"] == "old\n"
    assert difference.as_diff()["after"] == "new\n"


def test_a_changed_mode_is_named_and_put_right(tmp_path: Path, me: Any) -> None:
    wanted = file_at(tmp_path / "settings", me)
    objects.put_right(wanted)
    (tmp_path / "settings").chmod(0o666)
    difference = objects.compare(wanted)
    assert difference.words == ["mode 0666 -> 0640"]
    assert (difference.before, difference.after) == ("mode 0666\n", "mode 0640\n")
    objects.put_right(wanted)
    assert objects.compare(wanted) is None


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_changed_owner_and_group_are_named_and_put_right(tmp_path: Path, me: Any) -> None:
    wanted = file_at(tmp_path / "settings", me)
    objects.put_right(wanted)
    os.chown(tmp_path / "settings", 12345, 12346)
    assert objects.compare(wanted).words == [f"owner 12345 -> {me.user}", f"group 12346 -> {me.group}"]
    objects.put_right(wanted)
    assert objects.compare(wanted) is None


def test_an_owner_that_does_not_exist_yet_differs_instead_of_failing(tmp_path: Path, me: Any) -> None:
    (tmp_path / "settings").write_text("new\n")
    (tmp_path / "settings").chmod(0o640)
    wanted = {**file_at(tmp_path / "settings", me), "owner": "nobody-has-this-name"}
    assert objects.compare(wanted).words == [f"owner {me.user} -> nobody-has-this-name"]
    with pytest.raises(KeyError):
        objects.put_right(wanted)


def test_a_link_in_a_files_place_is_replaced_and_its_target_left_alone(tmp_path: Path, me: Any) -> None:
    (tmp_path / "precious").write_text("precious\n")
    (tmp_path / "settings").symlink_to("precious")
    wanted = file_at(tmp_path / "settings", me)
    assert objects.compare(wanted).words == ["not a regular file"]
    undo = objects.put_right(wanted)
    assert (tmp_path / "precious").read_text() == "precious\n"
    assert (tmp_path / "settings").read_text() == "new\n"
    assert not (tmp_path / "settings").is_symlink()
    undo()
    assert os.readlink(tmp_path / "settings") == "precious"


def test_a_directory_in_a_files_place_is_a_conflict_that_names_the_remedy(tmp_path: Path, me: Any) -> None:
    (tmp_path / "settings").mkdir()
    with pytest.raises(objects.Conflict, match=r"settings should be a file.*Move it away and run again"):
        objects.compare(file_at(tmp_path / "settings", me))


def test_text_that_is_not_utf8_survives_being_put_back(tmp_path: Path, me: Any) -> None:
    (tmp_path / "settings").write_bytes(b"old \xff\n")
    undo = objects.put_right(file_at(tmp_path / "settings", me))
    undo()
    assert (tmp_path / "settings").read_bytes() == b"old \xff\n"


def test_undo_puts_content_and_mode_back(tmp_path: Path, me: Any) -> None:
    (tmp_path / "settings").write_text("old\n")
    (tmp_path / "settings").chmod(0o604)
    objects.put_right(file_at(tmp_path / "settings", me))()
    assert (tmp_path / "settings").read_text() == "old\n"
    assert mode_of(tmp_path / "settings") == 0o604


def test_undo_takes_a_new_file_away_and_can_run_twice(tmp_path: Path, me: Any) -> None:
    undo = objects.put_right(file_at(tmp_path / "settings", me))
    undo()
    undo()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings").write_text("old\n")

    def fail(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        objects.put_right(file_at(tmp_path / "settings", me))
    assert [path.name for path in tmp_path.iterdir()] == ["settings"]
    assert (tmp_path / "settings").read_text() == "old\n"


def test_a_reader_never_sees_a_part_of_a_file(tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment of the swap the old text is whole under the name, and the new one is whole beside it."""
    (tmp_path / "settings").write_text("old\n")
    seen = []
    real = os.replace

    def replace(source: str, target: str) -> None:
        seen.append((Path(source).read_text(), Path(target).read_text(), mode_of(Path(source))))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    objects.put_right(file_at(tmp_path / "settings", me))
    assert seen == [("new\n", "old\n", 0o640)]


# -- secrets --------------------------------------------------------------------------------------------------------


def test_a_generated_secret_is_made_once_and_kept(tmp_path: Path, me: Any) -> None:
    wanted = file_at(tmp_path / "environment", me, content='A="1"\n', generated=["SECRET_KEY"])
    objects.put_right(wanted)
    first = (tmp_path / "environment").read_text()
    assert re.fullmatch(r'A="1"\nSECRET_KEY="[0-9a-f]{64}"\n', first)
    assert objects.compare(wanted) is None
    objects.put_right({**wanted, "content": 'A="2"\n'})
    second = (tmp_path / "environment").read_text()
    assert second.startswith('A="2"\n')
    assert second.splitlines()[-1] == first.splitlines()[-1]


def test_two_generated_secrets_differ_from_each_other_and_between_hosts(tmp_path: Path, me: Any) -> None:
    values = set()
    for host in ("one", "two"):
        objects.put_right(file_at(tmp_path / host, me, content="", generated=["A", "B"]))
        values |= set(re.findall(objects.GENERATED_VALUE, (tmp_path / host).read_text()))
    assert len(values) == 4
    assert all(len(value) == 64 for value in values)


def test_a_lost_secret_is_a_difference_and_is_made_anew(tmp_path: Path, me: Any) -> None:
    wanted = file_at(tmp_path / "environment", me, content="", generated=["SECRET_KEY", "SALT"])
    objects.put_right(wanted)
    kept = (tmp_path / "environment").read_text().splitlines()
    (tmp_path / "environment").write_text(f"{kept[0]}\n")
    assert objects.compare(wanted).words == ["content"]
    objects.put_right(wanted)
    now = (tmp_path / "environment").read_text().splitlines()
    assert now[0] == kept[0]
    assert now[1] != kept[1]


def test_comparing_never_invents_a_secret(tmp_path: Path, me: Any) -> None:
    difference = objects.compare(file_at(tmp_path / "environment", me, content="", generated=["SECRET_KEY"]))
    assert difference.after == 'SECRET_KEY="<generated>"\n'
    assert not (tmp_path / "environment").exists()


def test_a_weak_value_somebody_typed_is_not_taken_for_a_generated_one(tmp_path: Path, me: Any) -> None:
    (tmp_path / "environment").write_text('SECRET_KEY="changeme"\n')
    objects.put_right(file_at(tmp_path / "environment", me, content="", generated=["SECRET_KEY"]))
    assert "changeme" not in (tmp_path / "environment").read_text()


@pytest.mark.parametrize("existing", [None, 'PASSWORD="old"\n'])
def test_a_secret_file_never_shows_its_text(tmp_path: Path, me: Any, existing: str | None) -> None:
    if existing:
        (tmp_path / "environment").write_text(existing)
    wanted = file_at(tmp_path / "environment", me, content='PASSWORD="new"\n', secret=True)
    difference = objects.compare(wanted)
    assert difference.words
    shown = f"{difference.as_diff()} {difference.words}"
    assert "PASSWORD" not in shown
    assert difference.before != difference.after, "that something changes must still be seen"


# -- directories ----------------------------------------------------------------------------------------------------


def test_a_missing_directory_is_made_with_its_mode(tmp_path: Path, me: Any) -> None:
    wanted = directory_at(tmp_path / "a" / "b", me, mode="2750")
    assert objects.compare(wanted).words == ["missing"]
    undo = objects.put_right(wanted)
    assert mode_of(tmp_path / "a" / "b") == 0o2750
    assert objects.compare(wanted) is None
    undo()
    assert (tmp_path / "a" / "b").is_dir(), "a directory is not taken away again: something may be in it"


@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_directories_on_the_way_are_open_for_everybody_whatever_the_umask_is(
    tmp_path: Path, me: Any, umask: int
) -> None:
    """With the umask of the CIS benchmark, nobody could enter /opt/NAME."""
    before = os.umask(umask)
    try:
        objects.put_right(directory_at(tmp_path / "opt" / "blog" / "venvs", me, mode="0755"))
        objects.put_right(link_at(tmp_path / "www" / "enabled" / "blog", "/target"))
    finally:
        os.umask(before)
    for made in ("opt", "opt/blog", "opt/blog/venvs", "www", "www/enabled"):
        assert mode_of(tmp_path / made) == 0o755, made


def test_a_directorys_mode_is_put_right_without_touching_what_is_in_it(tmp_path: Path, me: Any) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "file").write_text("x")
    (folder / "file").chmod(0o604)
    folder.chmod(0o777)
    wanted = directory_at(folder, me)
    assert objects.compare(wanted).words == ["mode 0777 -> 0750"]
    objects.put_right(wanted)
    assert mode_of(folder) == 0o750
    assert mode_of(folder / "file") == 0o604


@pytest.mark.parametrize("what", ["file", "link"])
def test_something_else_in_a_directorys_place_is_a_conflict(tmp_path: Path, me: Any, what: str) -> None:
    place = tmp_path / "data"
    if what == "file":
        place.write_text("x")
    else:
        place.symlink_to(tmp_path)
    with pytest.raises(objects.Conflict, match="should be a directory"):
        objects.compare(directory_at(place, me))


def test_a_link_that_slips_into_a_directorys_place_is_not_followed(tmp_path: Path, me: Any) -> None:
    """Between the comparison and the change, the app may swap its folder for a link to somewhere else."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "data").symlink_to(elsewhere)
    with pytest.raises(OSError, match="data"):
        objects.put_right(directory_at(tmp_path / "data", me, mode="0777"))
    assert mode_of(elsewhere) == 0o700


# -- links ----------------------------------------------------------------------------------------------------------


def test_a_missing_link_is_made_with_the_folders_on_its_way(tmp_path: Path) -> None:
    wanted = link_at(tmp_path / "enabled" / "blog", "/target")
    assert objects.compare(wanted).words == ["missing"]
    undo = objects.put_right(wanted)
    assert os.readlink(tmp_path / "enabled" / "blog") == "/target"
    assert objects.compare(wanted) is None
    undo()
    assert not (tmp_path / "enabled" / "blog").is_symlink()


def test_a_link_that_leads_elsewhere_is_turned_and_can_be_turned_back(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/old")
    wanted = link_at(tmp_path / "link", "/new")
    difference = objects.compare(wanted)
    assert difference.words == ["target /old -> /new"]
    assert (difference.before, difference.after) == ("-> /old\n", "-> /new\n")
    undo = objects.put_right(wanted)
    assert os.readlink(tmp_path / "link") == "/new"
    undo()
    assert os.readlink(tmp_path / "link") == "/old"


def test_a_link_is_never_missing_while_it_is_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("/old")
    monkeypatch.setattr(os, "unlink", lambda *_: pytest.fail("the link was removed first"))
    objects.put_right(link_at(tmp_path / "link", "/new"))
    assert os.readlink(tmp_path / "link") == "/new"


def test_a_turn_that_fails_leaves_the_old_link_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("/old")

    def fail(*_: Any) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="read-only"):
        objects.put_right(link_at(tmp_path / "link", "/new"))
    assert [path.name for path in tmp_path.iterdir()] == ["link"]
    assert os.readlink(tmp_path / "link") == "/old"


def test_an_empty_directory_gives_way_to_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").mkdir()
    wanted = link_at(tmp_path / "link", "/new")
    assert objects.compare(wanted).words == ["an empty directory stands there"]
    objects.put_right(wanted)
    assert objects.compare(wanted) is None


@pytest.mark.parametrize("what", ["directory", "file"])
def test_real_content_in_a_links_place_is_a_conflict_and_stays(tmp_path: Path, what: str) -> None:
    place = tmp_path / "blog"
    if what == "directory":
        place.mkdir()
        (place / "database.db").write_text("precious")
    else:
        place.write_text("precious")
    with pytest.raises(
        objects.Conflict, match=rf"a real {what} stands there\. Move it away \(mv .*flask_blog_initial_da"
    ):
        objects.compare(link_at(place, "/new"))
    assert place.exists()


# -- absence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["file", "link"])
def test_what_should_not_be_there_is_removed_and_can_come_back(tmp_path: Path, what: str) -> None:
    place = tmp_path / "default"
    if what == "file":
        place.write_text("text\n")
    else:
        place.symlink_to("/etc/nginx/sites-available/default")
    wanted = absent_at(place)
    assert objects.compare(wanted).words == ["present"]
    undo = objects.put_right(wanted)
    assert objects.compare(wanted) is None
    undo()
    assert place.is_symlink() if what == "link" else place.read_text() == "text\n"


def test_a_directory_that_should_not_be_there_is_a_conflict(tmp_path: Path) -> None:
    with pytest.raises(objects.Conflict, match="should not be there, but is a directory"):
        objects.compare(absent_at(tmp_path))


# -- attributes of files that other programs write --------------------------------------------------------------------


def log_at(path: Path, me: Any, mode: str = "0640", create: bool = True) -> dict[str, Any]:
    place = {"layer": "proxy", "kind": "attributes", "path": str(path), "owner": me.user, "group": me.group}
    return {**place, "mode": mode, "create": create}


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_missing_log_is_made_empty_with_its_mode_from_the_start(tmp_path: Path, me: Any, umask: int) -> None:
    wanted = log_at(tmp_path / "blog.access.log", me)
    difference = objects.compare(wanted)
    assert difference.words == ["missing"]
    assert difference.after == f"empty file {me.user}:{me.group} 0640\n"
    before = os.umask(umask)
    try:
        undo = objects.put_right(wanted)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "blog.access.log") == 0o640
    assert objects.compare(wanted) is None
    undo()
    assert (tmp_path / "blog.access.log").exists(), "nginx may have written to it"


def test_a_log_that_everybody_can_read_is_found_shown_and_closed_and_keeps_its_content(tmp_path: Path, me: Any) -> None:
    log = tmp_path / "blog.access.log"
    log.write_text("192.0.2.7 GET /\n")
    log.chmod(0o644)
    wanted = log_at(log, me)
    difference = objects.compare(wanted)
    assert (difference.words, difference.before, difference.after) == (
        ["mode 0644 -> 0640"],
        "mode 0644\n",
        "mode 0640\n",
    )
    objects.put_right(wanted)
    assert objects.compare(wanted) is None
    assert log.read_text() == "192.0.2.7 GET /\n"


def test_a_journal_that_its_own_program_makes_is_no_difference_while_it_is_missing(tmp_path: Path, me: Any) -> None:
    wanted = log_at(tmp_path / "operations.jsonl", me, mode="0600", create=False)
    assert objects.compare(wanted) is None
    (tmp_path / "operations.jsonl").touch(mode=0o644)
    (tmp_path / "operations.jsonl").chmod(0o644)
    assert objects.compare(wanted).words == ["mode 0644 -> 0600"]
    objects.put_right(wanted)
    assert mode_of(tmp_path / "operations.jsonl") == 0o600


@pytest.mark.parametrize("kind", ["symlink", "hard link", "directory", "FIFO"])
@pytest.mark.parametrize("step", ["compare", "put_right"])
def test_what_is_no_plain_file_in_a_logs_place_is_refused_and_not_followed(
    tmp_path: Path, me: Any, kind: str, step: str
) -> None:
    precious, log = tmp_path / "precious", tmp_path / "blog.access.log"
    precious.touch()
    precious.chmod(0o604)
    if kind == "symlink":
        log.symlink_to(precious)
    elif kind == "hard link":
        log.hardlink_to(precious)
    elif kind == "directory":
        log.mkdir(mode=0o755)
    else:
        os.mkfifo(log)
    with pytest.raises((objects.Conflict, OSError), match=r"Move it away and run again|symbolic links"):
        getattr(objects, step)(log_at(log, me))
    assert mode_of(precious) == 0o604


def test_a_link_that_takes_a_missing_logs_place_at_the_last_moment_is_not_written_through(
    tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blog.access.log").symlink_to(tmp_path / "precious")
    monkeypatch.setattr(objects, "lstat", lambda _: None)
    with pytest.raises(FileExistsError):
        objects.put_right(log_at(tmp_path / "blog.access.log", me))
    assert not (tmp_path / "precious").exists()


# -- trees ----------------------------------------------------------------------------------------------------------


def test_a_tree_that_is_not_there_yet_has_nothing_to_put_right(tmp_path: Path, me: Any) -> None:
    assert objects.compare(tree_at(tmp_path / "data", me)) is None


def test_files_in_a_tree_become_readable_for_the_app_and_writable_for_nobody_else(tmp_path: Path, me: Any) -> None:
    (tmp_path / "sub").mkdir(mode=0o755)
    (tmp_path / "sub" / "closed").write_text("x")
    (tmp_path / "sub" / "closed").chmod(0o000)
    (tmp_path / "sub" / "open").write_text("x")
    (tmp_path / "sub" / "open").chmod(0o666)
    wanted = tree_at(tmp_path, me)
    words = sorted(objects.compare(wanted).words)
    assert words == [f"{tmp_path}/sub/closed: mode 0000 -> 0600", f"{tmp_path}/sub/open: mode 0666 -> 0664"]
    if IS_ROOT:  # a file of mode 0000 cannot be opened by its owner alone
        objects.put_right(wanted)
        assert objects.compare(wanted) is None


def test_what_nginx_serves_becomes_readable_for_its_group(tmp_path: Path, me: Any) -> None:
    (tmp_path / "uploads").mkdir(mode=0o700)
    (tmp_path / "uploads" / "cat.jpg").write_text("x")
    (tmp_path / "uploads" / "cat.jpg").chmod(0o600)
    (tmp_path / "database.db").write_text("x")
    (tmp_path / "database.db").chmod(0o600)
    wanted = tree_at(tmp_path, me, served=["uploads"], served_group=me.group)
    objects.put_right(wanted)
    assert mode_of(tmp_path / "uploads" / "cat.jpg") == 0o640
    assert mode_of(tmp_path / "uploads") == 0o750
    assert mode_of(tmp_path / "database.db") == 0o600


@pytest.mark.parametrize("kind", ["symlink", "hard link"])
def test_links_in_a_tree_are_left_alone(tmp_path: Path, me: Any, kind: str) -> None:
    """Through either, an app could have a file outside its folder given to itself."""
    outside = tmp_path / "shadow"
    outside.write_text("secret")
    outside.chmod(0o666)
    data = tmp_path / "data"
    data.mkdir()
    if kind == "symlink":
        (data / "mine").symlink_to(outside)
    else:
        (data / "mine").hardlink_to(outside)
    wanted = tree_at(data, me)
    assert objects.compare(wanted) is None
    objects.put_right(wanted)
    assert mode_of(outside) == 0o666


def test_a_link_to_a_folder_is_not_walked_into(tmp_path: Path, me: Any) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("x")
    (elsewhere / "file").chmod(0o666)
    data = tmp_path / "data"
    data.mkdir()
    (data / "link").symlink_to(elsewhere)
    objects.put_right(tree_at(data, me))
    assert mode_of(elsewhere / "file") == 0o666


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_file_that_root_left_in_a_tree_is_given_to_the_app(tmp_path: Path, me: Any) -> None:
    (tmp_path / "database.db").write_text("x")
    os.chown(tmp_path / "database.db", 12345, 12346)
    wanted = tree_at(tmp_path, me)
    assert "owner 12345" in objects.compare(wanted).words[0]
    objects.put_right(wanted)
    assert objects.compare(wanted) is None


def test_an_account_that_is_not_there_yet_leaves_a_tree_for_later(tmp_path: Path, me: Any) -> None:
    (tmp_path / "open").write_text("x")
    (tmp_path / "open").chmod(0o666)
    assert objects.compare({**tree_at(tmp_path, me), "owner": "nobody-has-this-name"}) is None
