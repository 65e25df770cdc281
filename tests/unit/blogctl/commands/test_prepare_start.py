"""blogctl prepare-start: a start waits while an operation holds it back."""

from __future__ import annotations

import argparse

import pytest
from blogctl.commands import prepare_start
from blogctl.data import transaction
from blogctl.errors import OperationError
from blogctl.host import systemd
from blogctl.host.locks import starts_held
from blogctl.host.releases import point_link
from blogctl.site import Site
from fake_machine import Add


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


def test_a_start_in_an_environment_of_another_python_fails_with_one_line_that_names_the_command(
    site: Site, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = add_release("old")
    point_link(site, str(folder))
    prepare_start.run(site, argparse.Namespace())
    (lib,) = (folder / "venv" / "lib").iterdir()
    lib.rename(lib.with_name("python3.9"))
    with pytest.raises(OperationError, match=r"^blog cannot start: the environment of old .* was built for") as caught:
        prepare_start.run(site, argparse.Namespace())
    assert "'blogctl --site blog rebuild old' builds it again" in str(caught.value)
    assert "\n" not in str(caught.value)
