"""A self-signed certificate that is made on the host: compared, made anew, changed in one step, put back."""

from __future__ import annotations

import json
import os
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import certificate, registry
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

NAMES = ["blog.test", "www.blog.test", "192.0.2.7"]


@pytest.fixture
def wanted(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "certificates").mkdir()
    paths = {"path": str(tmp_path / "certificate"), "folder": str(tmp_path / "certificates")}
    return {"scope": "site", "kind": "certificate", "reload": "nginx", **paths, "names": NAMES}


def made(wanted: dict[str, Any]) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(wanted["path"], "fullchain.pem").read_bytes())


def reasons(wanted: dict[str, Any]) -> list[str]:
    found = registry.compare(wanted)
    return found.reasons if found else []


def test_it_covers_the_names_and_lives_as_long_as_browsers_take(wanted: dict[str, Any]) -> None:
    assert reasons(wanted) == ["missing"]
    registry.apply(wanted)
    assert reasons(wanted) == []
    found = made(wanted)
    (names,) = [one.value for one in found.extensions if isinstance(one.value, x509.SubjectAlternativeName)]
    assert names.get_values_for_type(x509.DNSName) == NAMES[:2]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == NAMES[2:]
    assert found.not_valid_after_utc - found.not_valid_before_utc == timedelta(days=365)
    key = found.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    done = subprocess.run(
        ["openssl", "pkey", "-in", f"{wanted['path']}/privkey.pem", "-pubout"], capture_output=True, check=True
    )
    shown = subprocess.run(
        ["openssl", "x509", "-in", f"{wanted['path']}/fullchain.pem", "-pubkey", "-noout"],
        capture_output=True,
        check=True,
    )
    assert done.stdout == shown.stdout


def test_only_root_reads_the_key(wanted: dict[str, Any]) -> None:
    mask = os.umask(0)
    try:
        registry.apply(wanted)
    finally:
        os.umask(mask)
    folder = Path(wanted["path"]).resolve()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == certificate.MODES


def test_the_diff_shows_names_and_no_key(wanted: dict[str, Any]) -> None:
    registry.apply(wanted)
    difference = registry.compare({**wanted, "names": ["blog.test"]})
    until = datetime.now(UTC) + timedelta(days=365)
    assert difference.before == f"self-signed certificate for {', '.join(NAMES)}, until {until:%Y-%m-%d}\n"
    assert difference.after == "self-signed certificate for blog.test\n"


def test_other_names_make_another_one_and_the_one_before_can_be_put_back(wanted: dict[str, Any]) -> None:
    registry.apply(wanted)
    before = made(wanted).serial_number
    other = {**wanted, "names": ["blog.test"]}
    assert reasons(other) == ["names changed"]
    undo = registry.apply(other)
    assert (reasons(other), made(wanted).serial_number != before) == ([], True)
    undo()
    assert (reasons(wanted), made(wanted).serial_number) == ([], before)


@pytest.mark.parametrize(("days", "due"), [(29.9, True), (30.1, False), (-1, True)])
def test_it_is_made_anew_in_its_last_thirty_days(wanted: dict[str, Any], days: float, due: bool) -> None:
    registry.apply(wanted)
    note = Path(wanted["path"], "made.json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "expires": int(time.time() + days * 86400)}))
    assert bool(reasons(wanted)) is due
    if due:
        registry.apply(wanted)
        assert reasons(wanted) == []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "privkey.pem").write_text("x"), "privkey.pem changed"),
        (lambda folder: (folder / "fullchain.pem").write_text("x"), "fullchain.pem changed"),
        (lambda folder: (folder / "privkey.pem").unlink(), "privkey.pem missing"),
        (lambda folder: (folder / "privkey.pem").chmod(0o644), "privkey.pem has other rights"),
        (lambda folder: (folder / "made.json").write_text("["), "not made here"),
        (lambda folder: (folder / "made.json").unlink(), "not made here"),
    ],
)
def test_what_somebody_has_changed_is_found(wanted: dict[str, Any], damage: Any, reason: str) -> None:
    registry.apply(wanted)
    damage(Path(wanted["path"]).resolve())
    assert reasons(wanted) == [reason]
    registry.apply(wanted)
    assert reasons(wanted) == []


def test_one_that_was_provided_before_is_replaced(wanted: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "certificates" / "0123").mkdir()
    (tmp_path / "certificate").symlink_to(tmp_path / "certificates" / "0123")
    assert reasons(wanted) == ["not made here"]
    registry.apply(wanted)
    assert reasons(wanted) == []


def test_a_file_in_its_place_is_somebodys_own(wanted: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "certificate").write_text("mine")
    with pytest.raises(Conflict, match="should be a link to a certificate"):
        registry.compare(wanted)


def test_if_openssl_fails_nothing_is_left_and_the_link_stays(
    wanted: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.apply(wanted)
    before = os.readlink(wanted["path"])
    monkeypatch.setattr(certificate, "OPENSSL", "/bin/false")
    with pytest.raises(OSError, match="openssl makes no certificate"):
        registry.apply(wanted)
    assert os.readlink(wanted["path"]) == before
    assert [str(path) for path in (tmp_path / "certificates").iterdir()] == [before]


def test_former_ones_are_removed_and_the_present_one_stays(wanted: dict[str, Any], tmp_path: Path) -> None:
    certificate.prune(wanted["path"], wanted["folder"])  # before there is one
    registry.apply(wanted)
    registry.apply(wanted)
    (tmp_path / "certificates" / "0123").mkdir()
    assert len(list((tmp_path / "certificates").iterdir())) == 3
    certificate.prune(wanted["path"], wanted["folder"])
    assert [str(path) for path in (tmp_path / "certificates").iterdir()] == [os.readlink(wanted["path"])]


def test_it_is_removed_with_its_key(wanted: dict[str, Any], tmp_path: Path) -> None:
    registry.apply(wanted)
    assert registry.remove(wanted) is True
    assert list((tmp_path / "certificates").iterdir()) == []
    assert registry.remove(wanted) is False
