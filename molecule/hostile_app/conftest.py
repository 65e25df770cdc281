"""Fixtures: the hostile app, its neighbour, and a check that nothing outside the app's data has changed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hostile import BACKUPS, DATA, MARK, NEIGHBOUR, SECRET, SECRET_FILE, SITE, Hostile, copy_of_the_app, record

if TYPE_CHECKING:
    from molecule.conftest import Operator

#: Number of names that an attack exchanges, so that each attempt has many chances.
UPLOADS = 60
#: The app's folders as the role has made them.
KEPT = "/root/folders"


@pytest.fixture(scope="module")
def neighbour(host: Any, visit: Callable[..., Any]) -> str:
    """The data folder of another blog, with a database and uploads."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    visit("book.example.com").ask("/entries", form, method="POST", body=b"text=mine")
    uploads = f"{NEIGHBOUR}/static/uploads"
    host.check_output(
        "runuser -u neighbour -- sh -c %s", f"for n in $(seq {UPLOADS}); do echo mine > {uploads}/$n.png; done"
    )
    return NEIGHBOUR


@pytest.fixture(scope="module")
def machine(host: Any, operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The machine, with a secret of root and two releases of the app."""
    host.check_output("sh -c %s", f"umask 077; echo {SECRET} > {SECRET_FILE}")
    host.check_output(f"[ -e {KEPT} ] || cp --archive {DATA} {KEPT}")
    if len(host.check_output("ls /opt/%s/releases", SITE).split()) < 2:
        source = copy_of_the_app(tmp_path_factory.mktemp("second"))
        (source / "static").mkdir()
        (source / "static" / "second.css").write_text("body { color: red; }\n")
        run = operator.play("--extra-vars", f"source={source} with_neighbour=false")
        assert run.returncode == 0, run.output
    return host


@pytest.fixture
def app(machine: Any, visit: Callable[..., Any]) -> Generator[Hostile, None, None]:
    """The app, whose loops end and whose data is removed after the test."""
    found = Hostile(machine, visit)
    yield found
    # An unfinished operation of a test must not affect the next test.
    machine.check_output(
        f"systemctl stop {SITE}.service && rm -rf /opt/{SITE}/transaction.json {BACKUPS}/2* {BACKUPS}/snapshots"
        f" && find {DATA} -mindepth 1 -delete && cp --archive {KEPT}/. {DATA}"
        f" && systemctl start {SITE}.service"
    )


@pytest.fixture(autouse=True)
def _unharmed(machine: Any, operator: Operator, neighbour: str) -> Generator[None, None, None]:
    """Check that nothing outside the app's data has changed, and that root has executed no code of the app."""
    del neighbour
    before = record(operator)
    yield
    after = record(operator)
    changed = {path: (before.get(path), after.get(path)) for path in before | after}
    assert {path: both for path, both in changed.items() if both[0] != both[1]} == {}
    assert machine.run("rm %s", MARK).failed, "root has executed what the app has written"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the app to change."""
    return copy_of_the_app(tmp_path)
