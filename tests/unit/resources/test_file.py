"""A file that holds exactly one text: compared, written in one step, restored, removed."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import file, registry
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict
from wanted_objects import IS_ROOT, file_at, mode_of


def test_a_missing_file_is_found_made_and_then_as_wanted(tmp_path: Path, me: Any) -> None:
    wanted = file_at(tmp_path / "settings", me)
    difference = registry.compare(wanted)
    assert difference.reasons == ["missing"]
    assert (difference.before, difference.after) == ("", "new\n")
    registry.apply(wanted)
    assert (tmp_path / "settings").read_text() == "new\n"
    assert mode_of(tmp_path / "settings") == 0o640
    assert registry.compare(wanted) is None


def test_changed_content_shows_both_texts_for_a_diff(tmp_path: Path, me: Any) -> None:
    (tmp_path / "settings").write_text("old\n")
    (tmp_path / "settings").chmod(0o640)
    difference = registry.compare(file_at(tmp_path / "settings", me))
    assert difference.reasons == ["content"]
    assert difference.as_diff()["before"] == "old\n"
    assert difference.as_diff()["after"] == "new\n"


def test_a_changed_mode_is_named_and_applied(tmp_path: Path, me: Any) -> None:
    wanted = file_at(tmp_path / "settings", me)
    registry.apply(wanted)
    (tmp_path / "settings").chmod(0o666)
    difference = registry.compare(wanted)
    assert difference.reasons == ["mode 0666 -> 0640"]
    assert (difference.before, difference.after) == ("mode 0666\n", "mode 0640\n")
    registry.apply(wanted)
    assert registry.compare(wanted) is None


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_changed_owner_and_group_are_named_and_applied(tmp_path: Path, me: Any) -> None:
    wanted = file_at(tmp_path / "settings", me)
    registry.apply(wanted)
    os.chown(tmp_path / "settings", 12345, 12346)
    assert registry.compare(wanted).reasons == [f"owner 12345 -> {me.user}", f"group 12346 -> {me.group}"]
    registry.apply(wanted)
    assert registry.compare(wanted) is None


def test_an_owner_that_does_not_exist_yet_differs_instead_of_failing(tmp_path: Path, me: Any) -> None:
    (tmp_path / "settings").write_text("new\n")
    (tmp_path / "settings").chmod(0o640)
    wanted = {**file_at(tmp_path / "settings", me), "owner": "nobody-has-this-name"}
    assert registry.compare(wanted).reasons == [f"owner {me.user} -> nobody-has-this-name"]
    with pytest.raises(KeyError):
        registry.apply(wanted)


def test_a_link_in_a_files_place_is_replaced_and_its_target_left_alone(tmp_path: Path, me: Any) -> None:
    (tmp_path / "precious").write_text("precious\n")
    (tmp_path / "settings").symlink_to("precious")
    wanted = file_at(tmp_path / "settings", me)
    assert registry.compare(wanted).reasons == ["not a regular file"]
    undo = registry.apply(wanted)
    assert (tmp_path / "precious").read_text() == "precious\n"
    assert (tmp_path / "settings").read_text() == "new\n"
    assert not (tmp_path / "settings").is_symlink()
    undo()
    assert os.readlink(tmp_path / "settings") == "precious"


def test_a_directory_in_a_files_place_is_a_conflict_that_names_the_remedy(tmp_path: Path, me: Any) -> None:
    (tmp_path / "settings").mkdir()
    with pytest.raises(Conflict, match=r"settings should be a file.*Move it away and run again"):
        registry.compare(file_at(tmp_path / "settings", me))


def test_text_that_is_not_utf8_survives_being_put_back(tmp_path: Path, me: Any) -> None:
    (tmp_path / "settings").write_bytes(b"old \xff\n")
    undo = registry.apply(file_at(tmp_path / "settings", me))
    undo()
    assert (tmp_path / "settings").read_bytes() == b"old \xff\n"


def test_undo_puts_content_and_mode_back(tmp_path: Path, me: Any) -> None:
    (tmp_path / "settings").write_text("old\n")
    (tmp_path / "settings").chmod(0o604)
    registry.apply(file_at(tmp_path / "settings", me))()
    assert (tmp_path / "settings").read_text() == "old\n"
    assert mode_of(tmp_path / "settings") == 0o604


def test_undo_removes_a_new_file_and_can_run_twice(tmp_path: Path, me: Any) -> None:
    undo = registry.apply(file_at(tmp_path / "settings", me))
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
        registry.apply(file_at(tmp_path / "settings", me))
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
    registry.apply(file_at(tmp_path / "settings", me))
    assert seen == [("new\n", "old\n", 0o640)]


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_a_generated_secret_is_made_once_and_kept(tmp_path: Path, me: Any) -> None:
    wanted = file_at(tmp_path / "environment", me, content='A="1"\n', generated=["SECRET_KEY"])
    registry.apply(wanted)
    first = (tmp_path / "environment").read_text()
    assert re.fullmatch(r'A="1"\nSECRET_KEY="[0-9a-f]{64}"\n', first)
    assert registry.compare(wanted) is None
    registry.apply({**wanted, "content": 'A="2"\n'})
    second = (tmp_path / "environment").read_text()
    assert second.startswith('A="2"\n')
    assert second.splitlines()[-1] == first.splitlines()[-1]


def test_two_generated_secrets_differ_from_each_other_and_between_hosts(tmp_path: Path, me: Any) -> None:
    values = set()
    for host in ("one", "two"):
        registry.apply(file_at(tmp_path / host, me, content="", generated=["A", "B"]))
        values |= set(re.findall(file.GENERATED_VALUE, (tmp_path / host).read_text()))
    assert len(values) == 4
    assert all(len(value) == 64 for value in values)


def test_a_lost_secret_is_a_difference_and_is_made_anew(tmp_path: Path, me: Any) -> None:
    wanted = file_at(tmp_path / "environment", me, content="", generated=["SECRET_KEY", "SALT"])
    registry.apply(wanted)
    kept = (tmp_path / "environment").read_text().splitlines()
    (tmp_path / "environment").write_text(f"{kept[0]}\n")
    assert registry.compare(wanted).reasons == ["content"]
    registry.apply(wanted)
    now = (tmp_path / "environment").read_text().splitlines()
    assert now[0] == kept[0]
    assert now[1] != kept[1]


def test_comparing_never_invents_a_secret(tmp_path: Path, me: Any) -> None:
    difference = registry.compare(file_at(tmp_path / "environment", me, content="", generated=["SECRET_KEY"]))
    assert difference.after == 'SECRET_KEY="<generated>"\n'
    assert not (tmp_path / "environment").exists()


def test_a_weak_value_somebody_typed_is_not_taken_for_a_generated_one(tmp_path: Path, me: Any) -> None:
    (tmp_path / "environment").write_text('SECRET_KEY="changeme"\n')
    registry.apply(file_at(tmp_path / "environment", me, content="", generated=["SECRET_KEY"]))
    assert "changeme" not in (tmp_path / "environment").read_text()


@pytest.mark.parametrize("existing", [None, 'PASSWORD="old"\n'])
def test_a_secret_file_never_shows_its_text(tmp_path: Path, me: Any, existing: str | None) -> None:
    if existing:
        (tmp_path / "environment").write_text(existing)
    wanted = file_at(tmp_path / "environment", me, content='PASSWORD="new"\n', secret=True)
    difference = registry.compare(wanted)
    assert difference.reasons
    shown = f"{difference.as_diff()} {difference.reasons}"
    assert "PASSWORD" not in shown
    assert difference.before != difference.after, "that something changes must still be seen"


# -- the key ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path, me: Any) -> dict[str, Any]:
    return {
        "scope": "site",
        "kind": "file",
        "path": str(tmp_path / "proxy-key.conf"),
        "owner": me.user,
        "group": me.group,
        "mode": "0640",
        "content": "# made once\n",
        "secret": True,
        "reload": ["app", "nginx"],
        "generated": ["X-Flask-Blog-Key"],
        "generated_line": 'proxy_set_header {name} "{value}";',
    }


def test_a_value_in_nginxs_own_syntax_is_made_once_and_kept(key: dict[str, Any]) -> None:
    registry.apply(key)
    first = Path(key["path"]).read_text()
    comment, line = first.splitlines()
    assert comment == "# made once"
    assert line.startswith('proxy_set_header X-Flask-Blog-Key "')
    assert line.endswith('";')
    assert len(line.split('"')[1]) == 64
    assert registry.compare(key) is None
    registry.apply({**key, "content": "# another comment\n"})
    assert Path(key["path"]).read_text().splitlines()[1] == line


@pytest.mark.parametrize("damage", [("proxy", "#proxy"), ('";', '" ;'), ('Key "', 'Key "0'), ("Key", "Kez")])
def test_a_damaged_value_is_made_anew(key: dict[str, Any], damage: tuple[str, str]) -> None:
    registry.apply(key)
    first = Path(key["path"]).read_text()
    Path(key["path"]).write_text(first.replace(*damage))
    difference = registry.compare(key)
    assert difference is not None
    registry.apply(key)
    assert Path(key["path"]).read_text().split('"')[1] not in first


# -- removal --------------------------------------------------------------------------------------------------------


def test_a_file_is_removed_once_and_what_somebody_put_in_its_place_stays(tmp_path: Path, me: Any) -> None:
    wanted = file_at(tmp_path / "settings", me)
    registry.apply(wanted)
    assert registry.remove(wanted) is True
    assert registry.remove(wanted) is False
    (tmp_path / "settings").symlink_to("elsewhere")
    assert registry.remove(wanted) is False
    assert (tmp_path / "settings").is_symlink()


def test_a_file_is_compared_by_the_digest_of_its_text(tmp_path: Path, me: Any) -> None:
    path = tmp_path / "module.py"
    path.write_text("x = 1\r\n", newline="")
    path.chmod(0o640)
    wanted = {"kind": "file", "path": str(path), "owner": me.user, "group": me.group, "mode": "0640"}
    wanted["sha256"] = hashlib.sha256(b"x = 1\r\n").hexdigest()
    assert file.compare(wanted, []) is None
    path.write_text("x = 1\n")
    found = file.compare(wanted, [])
    assert found is not None
    assert found.reasons == ["content"]
    path.unlink()
    found = file.compare(wanted, [])
    assert found is not None
    assert found.reasons == ["missing"]
