"""The responses of the process in the data folder are validated, and their size is limited."""

from __future__ import annotations

import io
import json
import os
import socket
import sys
from typing import Any

import pytest
from blogctl import cli
from blogctl.backup import create
from blogctl.commands import backup as backup_command
from blogctl.data import folder as data_folder
from blogctl.data.channel import LARGEST
from blogctl.data.interface import Comparison, TableChange
from blogctl.data.layer import data_layer
from blogctl.errors import HostError
from blogctl.site import Site
from hostile_process import ends, hand, hands

pytestmark = pytest.mark.usefixtures("open_descriptors")


def test_lists_and_mappings_of_other_things_are_taken_for_empty_ones(site: Site, hostile: Any) -> None:
    hostile(lambda end: end.send(b'{"done": 1, "databases": {"a": 1}, "directories": "abc", "holds_files": []}'))
    assert data_folder.scan(site) == data_folder.Scan(False, [], [])
    hostile(lambda end: end.send(b'{"done": 1, "files": {"a": [{}], "b": [1, 2, "3"], "c": 4, "d": [1, 2, 3]}}'))
    assert data_folder.scan(site).files == {"d": [1, 2, 3]}
    hostile(lambda end: end.send(b'{"done": 1, "skipped": ["a"], "more": "many"}'))
    assert create.back_up(site)["skipped"] == {}
    rows = b'{"done": 1, "rows": [1, {"database": 1, "written": "x"}], "changed": "yes"}'
    hostile(lambda end: (end.recv(LARGEST), end.send(rows)))
    assert data_layer(site).compare(site.path("backups") / "none") == Comparison(
        schema_changed=True,
        tables=[TableChange(database="1", table="None", written=0, deleted=0)],
    )


@pytest.mark.parametrize("path", ["/etc/passwd", "../a", 7, None])
def test_a_database_or_directory_that_lies_elsewhere_is_refused(site: Site, hostile: Any, path: object) -> None:
    for key in ("databases", "directories"):
        hostile(lambda end, key=key: end.send(json.dumps({"done": True, key: [path]}).encode()))
        with pytest.raises(HostError, match="which is no path in it"):
            data_folder.scan(site)


def test_no_answer_is_longer_than_what_a_message_has_room_for(site: Site, hostile: Any) -> None:
    many = {"done": True, "skipped": {f"{number}": "x" for number in range(3000)}, "more": 5}
    hostile(lambda end: end.send(json.dumps(many).encode()))
    assert len(create.back_up(site)["skipped"]) == data_folder.LIST_LIMIT


def test_names_and_reasons_cannot_steer_a_terminal(
    site: Site, hostile: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (site.path("config") / "site.json").write_text(json.dumps(site.settings))
    answer = {"done": True, "skipped": {"\x1b[2Ja\u202e.db": "\x1b]0;x\x07"}, "more": 1}
    hostile(lambda end: end.send(json.dumps(answer).encode()))
    assert cli.main(["backup"]) == backup_command.INCOMPLETE
    said = capsys.readouterr().out
    assert r"not in it: \x1b[2Ja\u202e.db: \x1b]0;x\x07; and 1 more" in said


def test_a_name_that_is_no_text_is_shown(site: Site, hostile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of a damaged database called C(\\xff.db)."""
    (site.path("config") / "site.json").write_text(json.dumps(site.settings))
    answer = {"done": True, "skipped": {"\udcff.db": "damaged"}, "more": 0}
    hostile(lambda end: end.send(json.dumps(answer).encode()))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert cli.main(["backup"]) == backup_command.INCOMPLETE


def test_a_mode_with_set_id_bits_is_stored_without_them(site: Site, hostile: Any, file: int) -> None:
    def conversation(end: socket.socket) -> None:
        hand(end, "a", file, mode=0o106777)
        hand(end, "b", file, mode="rwx")
        ends(end)

    hostile(conversation)
    name = create.back_up(site)["name"]
    place = site.path("backups") / name / "data"
    assert ((place / "a").stat().st_mode & 0o7777, (place / "b").stat().st_mode & 0o7777) == (0o777, 0o640)


def test_folders_of_a_backup_are_closed_whatever_the_umask(site: Site, hostile: Any, file: int) -> None:
    before = os.umask(0)
    try:
        hostile(hands(("a/b/c", file)))
        name = create.back_up(site)["name"]
    finally:
        os.umask(before)
    assert (site.path("backups") / name).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("count", "length"), [(100, 8), (101, 8), (3000, 200), (90, 200)])
def test_a_folder_of_any_size_can_be_listed(site: Site, count: int, length: int) -> None:
    """What the process sends is limited; a list that is cut off would let a file be removed that nobody has noted."""
    for number in range(count):
        (site.path("data") / f"{number:04}{'ü' * (length // 2 - 2)}").touch()
    found = data_folder.scan(site)
    assert found.holds_files
    assert len(found.files) == (count if (count, length) == (100, 8) else 0)
