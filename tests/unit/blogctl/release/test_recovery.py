"""blogctl recover: an operation that was killed is completed or undone."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from blogctl.data import seed, transaction
from blogctl.host import health
from blogctl.host.locks import locked
from blogctl.host.releases import live_target, point_link
from blogctl.release import activate, recovery
from blogctl.release.history import DONE, History, read
from blogctl.shared import contract
from blogctl.site import Site
from fake_machine import Add, Machine, change, changed_settings, killed, tables


def test_what_a_killed_blogctl_began_is_undone_by_the_next_one(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    new = add_release("new")
    transaction.begin(site, "new", str(old))
    change(site.path("data"), "CREATE TABLE tag (id)")
    point_link(site, str(new))
    recovery.recover_locked(site)
    assert (live_target(site), tables(site)) == (str(old), {"post"})
    assert machine.commands == ["stop blog-next.service blog.service", "start blog.service"]


def test_a_second_instance_that_was_left_running_is_stopped(site: Site, machine: Machine, old: Path) -> None:
    machine.active.add("blog-next.service")
    recovery.recover_locked(site)
    assert machine.commands == ["stop blog-next.service"]


def test_an_operation_that_ended_leaves_nothing_to_do(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    add_release("new")
    activate.activate(site, "new")
    machine.commands.clear()
    assert recovery.recover(site) == ""
    assert machine.commands == []
    assert read(site)[-1].result == DONE


def test_an_operation_is_watched_over_while_it_holds_the_lock(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    add_release("new")
    activate.activate(site, "new")
    assert machine.watched == [["blog.lock"]]


def test_killed_before_the_link_moved_it_is_undone(site: Site, machine: Machine, old: Path, add_release: Add) -> None:
    add_release("new")
    killed(site, "new")
    machine.active.add("blog-next.service")
    site.path("rehearsal").mkdir()
    Path(contract.link_aside(site.path("link"))).symlink_to("/new")
    assert recovery.recover(site) == "old still serves"
    assert machine.changes == ["start blog.service"], "it runs already"
    assert "blog-next.service" not in machine.active
    assert not site.path("rehearsal").exists()
    assert os.listdir(site.path("link").parent) == ["blog"]
    entry = read(site)[-1]
    assert (entry.result, entry.details) == ("interrupted", {"serves": "old", "recovery": "old still serves"})
    assert (History.of(site).good, History.of(site).failed) == ([], {})


def test_what_a_killed_operation_left_of_new_data_and_of_a_snapshot_is_removed(
    site: Site, machine: Machine, old: Path
) -> None:
    killed(site, "new", origin=None)
    kept = site.path("data") / "static"
    kept.mkdir()
    site.path("state").mkdir(parents=True, exist_ok=True)
    note = site.path("state") / seed.INITIALISING
    note.write_text('["static"]')
    snapshot = transaction.snapshot_folder(site, f"new{contract.INCOMPLETE}")
    snapshot.mkdir(parents=True)
    recovery.recover(site)
    assert os.listdir(site.path("data")) == ["static"]
    assert not note.exists()
    assert not snapshot.exists()


def test_the_release_of_a_process_is_asked_for_until_it_reports_one(
    site: Site, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, slept = [None, None, "abc"], list[float]()
    monkeypatch.setattr(health, "served_release", lambda _: answers.pop(0))
    monkeypatch.setattr(time, "sleep", slept.append)
    assert recovery.running_release(site) == "abc"
    assert slept == [health.POLL_INTERVAL] * 2, "it does not keep the processor busy"


def test_a_process_that_reports_no_release_is_asked_for_some_seconds(
    site: Site, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(health, "served_release", lambda _: None)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    assert recovery.running_release(site) is None
    assert now[0] == pytest.approx(100 + recovery.READY_TIMEOUT, abs=health.POLL_INTERVAL)


def test_killed_after_the_link_moved_it_is_ended(site: Site, machine: Machine, old: Path, add_release: Add) -> None:
    """The process of the release before would serve its pages with the static files of the new one."""
    new = add_release("new")
    killed(site, "new")
    machine.active.add("blog-next.service")
    point_link(site, str(new))
    assert recovery.recover(site) == "new serves"
    assert machine.commands == ["start blog.service", "restart blog.service", "stop blog-next.service"]
    assert machine.running == "new"
    assert History.of(site).good == ["new"], "a rollback may choose it"


def test_killed_after_the_link_moved_to_a_release_that_does_not_answer_it_is_taken_back(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    new = add_release("new")
    killed(site, "new")
    place = changed_settings(site)
    machine.active.add("blog-next.service")
    point_link(site, str(new))
    machine.sick = {("main", "new")}
    assert "The previous release (old) was restored with its settings and serves" in recovery.recover(site)
    assert (live_target(site), machine.running, place.read_text()) == (str(old), "old", "OLD=1\n")
    assert "blog-next.service" not in machine.active
    assert read(site)[-1].details["serves"] == "old"
    assert History.of(site).good == []


def test_killed_after_the_data_changed_for_good_the_newer_release_stays_whatever_it_answers(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    """Visitors may have written to the new data, which the older release does not know."""
    new = add_release("new")
    killed(site, "new")
    transaction.begin(site, "new", str(old))
    change(site.path("data"), "CREATE TABLE tag (id)")
    transaction.commit(site)
    point_link(site, str(new))
    machine.sick = {("main", "new")}
    assert "new does not answer, and systemd keeps trying" in recovery.recover(site)
    assert (live_target(site), tables(site)) == (str(new), {"post", "tag"})


def test_killed_in_the_middle_of_the_data_it_is_undone_and_said_so(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    new = add_release("new")
    killed(site, "new")
    transaction.begin(site, "new", str(old))
    change(site.path("data"), "CREATE TABLE tag (id)")
    point_link(site, str(new))
    assert recovery.recover(site) == "the change of the data was undone; old still serves"
    assert (live_target(site), tables(site), machine.running) == (str(old), {"post"}, "old")


def test_killed_before_the_first_release_was_live_nothing_is_started(
    site: Site, machine: Machine, add_release: Add
) -> None:
    add_release("new")
    machine.active.clear()
    killed(site, "new", origin=None)
    assert "nothing is now" in recovery.recover(site)
    assert machine.active == set()


def test_killed_with_its_socket_down_the_site_is_started(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    new = add_release("new")
    killed(site, "new")
    point_link(site, str(new))
    machine.active.clear()
    assert recovery.recover(site) == "new serves"
    assert {"blog.socket", "blog.service"} <= machine.active


def test_a_maintenance_page_that_was_killed_starts_nothing(site: Site, machine: Machine, old: Path) -> None:
    killed(site, "old", operation="maintenance on")
    machine.active.clear()
    recovery.recover(site)
    assert machine.active == set()
    assert read(site)[-1].result == "interrupted"


def test_the_recovery_waits_for_the_operation_without_an_end(site: Site, machine: Machine, old: Path) -> None:
    import threading

    thread = threading.Thread(target=lambda: recovery.recover(site))
    with locked(site):
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(5)
    assert not thread.is_alive()


def test_an_interrupted_change_is_undone_even_where_the_old_release_does_not_start(
    site: Site, machine: Machine, old: Path
) -> None:
    transaction.begin(site, "new", str(old))
    machine.failing = "start blog.service"
    recovery.recover_locked(site)
    assert not transaction.is_open(site)


def test_killed_after_the_link_moved_a_process_from_before_is_restarted_whatever_it_reports(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    """The app can report any release: its processes may write what gunicorn's master has told systemd."""
    point_link(site, str(add_release("new")))
    killed(site, "new")
    machine.running = "new"
    machine.started = os.lstat(site.path("link")).st_mtime - 1
    assert recovery.recover(site) == "new serves"
    assert machine.changes == ["start blog.service", "restart blog.service"]


def test_killed_after_the_restart_it_is_not_restarted_again(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    point_link(site, str(add_release("new")))
    killed(site, "new")
    machine.running = "new"
    machine.started = os.lstat(site.path("link")).st_mtime + 1
    assert recovery.recover(site) == "new serves"
    assert machine.changes == ["start blog.service"]


def test_killed_before_the_link_moved_the_process_that_serves_is_left_alone(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    add_release("new")
    killed(site, "new")
    machine.started = os.lstat(site.path("link")).st_mtime + 1
    assert recovery.recover(site) == "old still serves"
    assert machine.changes == ["start blog.service"]


def test_killed_while_a_rebuild_replaced_an_environment_it_is_put_back(
    site: Site, machine: Machine, old: Path, tmp_path: Path
) -> None:
    folder = site.path("venvs") / "abc"
    replaced = folder.with_name(f"abc{contract.REMOVED}")
    replaced.mkdir(parents=True)
    manifest = json.loads((old / contract.MANIFEST).read_text())
    (old / contract.MANIFEST).write_text(json.dumps({**manifest, "environment": {"venv_link": "env"}}))
    (old / "env").symlink_to(folder)
    killed(site, "old", operation="rebuild")
    assert recovery.recover(site).startswith("the environment before was put back; ")
    assert (folder.is_dir(), replaced.exists()) == (True, False)
