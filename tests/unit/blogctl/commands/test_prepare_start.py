"""blogctl prepare-start: a start waits while an operation holds it back."""

from __future__ import annotations

import argparse

import pytest
from blogctl.commands import prepare_start
from blogctl.data import transaction
from blogctl.host import systemd
from blogctl.host.locks import starts_held
from blogctl.site import Site


def test_a_start_waits_while_an_operation_holds_it_back_and_says_nothing(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    import threading

    ended = threading.Event()

    def begin() -> None:
        prepare_start.run(site, argparse.Namespace())
        ended.set()

    thread = threading.Thread(target=begin)
    with starts_held(site):
        thread.start()
        assert not ended.wait(0.3)
    assert ended.wait(5)
    thread.join()
    assert capsys.readouterr().out == ""


def test_a_start_ends_what_a_killed_change_of_the_data_still_runs_before_it_undoes_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(transaction, "is_open", lambda _: True)
    monkeypatch.setattr(systemd, "end_orphans", lambda *_: order.append("ended"))
    monkeypatch.setattr(transaction, "undo", lambda _: order.append("undone"))
    prepare_start.run(site, argparse.Namespace())
    assert order == ["ended", "undone"]
