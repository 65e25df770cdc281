"""No request fails during releases, and no acknowledged row is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger import NAME, Book, copy_of_the_blog, served
from load import Load

#: On each machine; on both, one of them changes the requirements, and the fifth one the data: others follow it.
RELEASES = {"12": 6, "13": 10}
#: Seconds between two requests of a client: about as many requests as a small machine answers while it releases. The
#: benchmark sends as many as it can.
PAUSE = 0.02


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the blog to change."""
    return copy_of_the_blog(tmp_path)


def change(source: Path, number: int) -> None:
    """Change the blog: its code each time, its requirements with the third release, and its data with the fifth."""
    (source / "static" / f"book-{number}.css").write_text(f"body {{ margin: {number}px; }}\n")
    (source / "static" / f"book-{number - 1}.css").unlink(missing_ok=True)
    if number == 3:
        (source / "requirements.txt").write_text("Flask\nitsdangerous\n")
    if number == 5:
        (source / "migrations.sql").write_text("ALTER TABLE entries ADD COLUMN written TEXT\n")


def test_releases_in_a_row_lose_no_request(operator: Any, visit: Callable[..., Any], source: Path) -> None:
    seen, releases = [], RELEASES[operator.machine[-2:]]
    with Load(operator.address(), NAME, pause=PAUSE) as load:
        time.sleep(4)
        quiet = load.slowest()
        began = time.monotonic()
        for number in range(1, releases + 1):
            if number == 5:
                before_data = time.monotonic()
            change(source, number)
            run = operator.play("--extra-vars", f"source={source}")
            assert run.returncode == 0, run.output
            seen.append(served(visit))
            if number == 5:
                after_data = time.monotonic()
        ended = time.monotonic()
        time.sleep(1)
    busy = max(load.slowest(began, before_data), load.slowest(after_data, ended))
    held = load.slowest(before_data, after_data)
    print(
        f"{load.total} requests, {len(load.failures)} failed; slowest quick one {quiet * 1000:.0f} ms without a"
        f" release, {busy * 1000:.0f} ms during one, {held * 1000:.0f} ms while the data changed"
    )
    assert load.failures == []
    assert len(set(seen)) == releases, "each release was served"
    assert set(seen) <= set(load.releases), "the visitors saw each of them"
    assert set(load.acknowledged) <= Book.read(operator).entries.keys(), "every acknowledged row is there"


def test_the_database_is_held_by_a_process_that_cannot_lose_its_lock(host: Any) -> None:
    """A worker's thread can lose its lock, and with it the write-ahead log (gunicorn.conf.py)."""
    inode = host.check_output("stat -c %i /var/lib/flask-blog/database.db")
    master = host.check_output("systemctl show --property=MainPID --value flask-blog")
    workers = set(host.check_output("pgrep --parent %s", master).split())
    assert len(workers) >= 2
    locks = [line.split() for line in host.file("/proc/locks").content_string.splitlines()]
    holders = {pid for _, _, _, kind, pid, file, *_ in locks if kind == "READ" and file.endswith(f":{inode}")}
    assert {master, *workers} <= holders


@pytest.mark.machine("12")
def test_a_page_loaded_before_a_release_finds_its_assets_after_it(
    operator: Any, visit: Callable[..., Any], source: Path
) -> None:
    change(source, 20)
    assert operator.play("--extra-vars", f"source={source}").returncode == 0
    change(source, 21)
    assert operator.play("--extra-vars", f"source={source}").returncode == 0
    assert visit(NAME).ask("/static/book-21.css").text == "body { margin: 21px; }\n"
    assert visit(NAME).ask("/static/book-20.css").text == "body { margin: 20px; }\n"
    assert visit(NAME).ask("/static/never-there.css").status == 404


def test_old_releases_and_their_environments_are_removed_and_never_one_in_use(host: Any) -> None:
    releases = host.run("ls /opt/flask-blog/releases").stdout.split()
    assert len(releases) == 5
    live = host.file("/var/www/flask-blog").linked_to
    assert Path(live).name in releases
    assert len(host.run("ls /opt/flask-blog/venvs").stdout.split()) <= 2
