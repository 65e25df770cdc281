"""A restore that is killed is undone or completed, at whatever step."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backups import day
from blogctl.backup import create
from blogctl.data import exchange, process, transaction, tree
from blogctl.data.inside import exchange as inside
from blogctl.host import health
from blogctl.release import rehearsal
from blogctl.release.recovery import recover_locked
from blogctl.restore import operation, safety
from blogctl.site import Site
from restored import all_of_it, content, write_more

pytestmark = pytest.mark.usefixtures("quiet", "nothing_hangs", "descriptors")

Rewrite = Callable[[Callable[[dict[str, Any]], object]], None]


class Killed(BaseException):
    """Stands for a kill: nothing that a Python program does at its end is done."""


@pytest.mark.parametrize(
    ("module", "name", "call", "state"),
    [
        (exchange, "stage", 1, "old"),
        (operation, "_exchange", 1, "old"),
        (exchange, "exchange", 1, "old"),
        (rehearsal, "prove", 1, "old"),
        (transaction, "commit", 1, "old"),
        (health, "wait_until_served", 1, "new"),
        (safety, "finish", 2, "new"),
    ],
)
def test_a_restore_that_is_killed_is_undone_or_completed(
    live: Site, backup: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, call: int, state: str
) -> None:
    restored = content(live.path("data"))
    write_more(live)
    present = content(live.path("data"))
    with monkeypatch.context() as patched:
        function, calls = getattr(module, name), list[object]()

        def killed(*arguments: Any, **options: Any) -> Any:
            calls.append(None)
            if len(calls) < call:
                return function(*arguments, **options)
            # Nothing that a program does at its end is done.
            patched.setattr(safety, "finish", lambda _: "")
            patched.setattr(transaction, "undo", lambda _: False)
            raise Killed

        patched.setattr(module, name, killed)
        with pytest.raises(Killed):
            all_of_it(live)
    transaction.undo(live)  # as each start of the service does
    recover_locked(live)
    stored = safety.finish(live)
    assert content(live.path("data")) == (present if state == "old" else restored)
    assert bool(stored) == (state == "new")
    assert not transaction.is_open(live)
    if stored:
        all_of_it(live, stored)
        assert content(live.path("data")) == present


@pytest.mark.parametrize("only", [None, ["database.db", "static/uploads"]])
@pytest.mark.parametrize("steps", range(1, 9))
def test_an_exchange_that_is_killed_between_any_two_renames_is_undone(
    live: Site, backup: Path, monkeypatch: pytest.MonkeyPatch, only: list[str] | None, steps: int
) -> None:
    data = live.path("data")
    write_more(live)
    before = content(data)
    files = operation.source.choose(live, "latest").files
    with process.working(live, "stage", paths=only, bytes=0, since=0.0) as work:
        exchange._send(work, backup / "data", files)
        work.finish()
    move, done = inside._move, list[str]()

    def counted(*arguments: Any) -> None:
        if len(done) == steps:
            raise Killed
        move(*arguments)
        done.append(arguments[1])

    monkeypatch.setattr(inside, "_move", counted)
    request = {"data": str(data), "paths": only, "kept": []}
    with contextlib.suppress(Killed):
        inside.exchange(None, request, None)
    # The undo is killed once as well.
    done.clear()
    steps = 1
    with contextlib.suppress(Killed):
        inside.undo(None, request, None)
    monkeypatch.setattr(inside, "_move", move)
    exchange.undo(live, only)
    assert content(data) == before
    assert not (data / tree.EXCHANGE).exists()


def test_a_safety_copy_that_cannot_be_stored_is_told_and_stored_later(
    live: Site, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_more(live)
    present = content(live.path("data"))
    with monkeypatch.context() as patched:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(process, "store", full)
        found = all_of_it(live)
    assert "No space left on device" in found.warnings[0]
    assert (live.path("data") / tree.EXCHANGE / "old").is_dir(), "the data from before is still there"
    assert "static/uploads/c.jpg" not in content(live.path("data"))
    kept = create.back_up(live, day(2))
    assert kept["files"] == 3, "no backup takes it for data"
    assert safety.finish(live) == found.safety
    all_of_it(live, found.safety)
    assert content(live.path("data")) == present
