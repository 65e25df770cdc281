"""The lock of a site: one operation at a time, and none is ever stale."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from blogctl.errors import OperationError
from blogctl.host import locks
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


def test_the_directory_of_locks_is_made_at_a_boot_and_can_be_entered_whatever_the_umask(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "absent" / "flask-blog-hosting"
    monkeypatch.setattr(contract, "RUNTIME", str(runtime))
    before = os.umask(0o077)
    try:
        with locks.locked(site):
            pass
    finally:
        os.umask(before)
    assert runtime.stat().st_mode & 0o777 == 0o755
    runtime.chmod(0o711)
    with locks.locked(site):
        pass
    assert runtime.stat().st_mode & 0o777 == 0o711, "one that is there is left as it is"


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
