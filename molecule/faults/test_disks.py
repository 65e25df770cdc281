"""Disks that are full, out of inodes or read-only: what was stored stays, and the site is back by itself."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger import NAME, Book, copy_of_the_blog

DATA, BACKUPS = "/var/lib/flask-blog", "/var/backups/flask-blog"


@contextlib.contextmanager
def small_disk(host: Any, folder: str, options: str) -> Iterator[None]:
    """Put a folder on a small file system of its own, with what is in it, while nothing has it open."""
    stop, start = (f"systemctl {verb} flask-blog.socket flask-blog.service" for verb in ("stop", "start"))
    # systemd refuses to open a socket more often than five times in ten seconds.
    start = f"systemctl reset-failed flask-blog.socket && {start}"
    like = f"chown --reference=/root/kept {folder} && chmod --reference=/root/kept {folder}"
    host.check_output(
        f"{stop} && rm -rf /root/kept && cp -a {folder} /root/kept && mount -t tmpfs -o {options} small {folder}"
        f" && cp -a /root/kept/. {folder}/ && {like} && {start}"
    )
    try:
        yield
    finally:
        host.check_output(
            f"{stop} && rm -rf /root/now && cp -a {folder} /root/now && umount {folder}"
            f" && find {folder} -mindepth 1 -delete && cp -a /root/now/. {folder}/ && {start}"
        )


@pytest.fixture
def disk(host: Any, eventually: Callable[..., None], visit: Callable[..., Any]) -> Iterator[Callable[..., None]]:
    """Put a folder on a small disk until the test has ended: disk(folder, options of mount)."""
    with contextlib.ExitStack() as mounted:

        def put(folder: str, options: str) -> None:
            mounted.enter_context(small_disk(host, folder, options))
            eventually(lambda: visit(NAME).ask("/healthz").status == 200)

        yield put
    eventually(lambda: visit(NAME).ask("/healthz").status == 200)


def fill(host: Any, folder: str) -> None:
    """Use all of a disk, to the last byte."""
    host.run(f"dd if=/dev/zero of={folder}/filler bs=64k; dd if=/dev/zero of={folder}/filler2 bs=1; true")
    assert host.run(f"echo more >{folder}/filler3 && cat {folder}/filler3").stdout == ""


def write(visit: Callable[..., Any], text: str) -> Any:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return visit(NAME).ask("/entries", headers, method="POST", body=f"text={text}".encode())


@pytest.mark.parametrize("options", ["size=8m,mode=0750", "size=32m,nr_inodes=16,mode=0750"], ids=["bytes", "inodes"])
@pytest.mark.machine(12)
def test_a_full_data_disk_refuses_entries_and_loses_none_and_a_backup_says_so(
    host: Any,
    operator: Any,
    visit: Callable[..., Any],
    disk: Callable[..., None],
    eventually: Callable[..., None],
    options: str,
) -> None:
    assert write(visit, "before").status == 200
    disk(DATA, options)
    if "inodes" in options:
        host.run(f"for i in $(seq 100); do : >{DATA}/filler$i || break; done; true")
        assert host.run(f": >{DATA}/filler-more").rc != 0
    else:
        fill(host, DATA)
    acknowledged = {}
    for number in range(20):
        answer = write(visit, f"full-{number}")
        assert answer.status in {200, 500}, answer.text
        if answer.status == 200:
            acknowledged[answer.json()["id"]] = f"full-{number}"
    assert visit(NAME).ask("/static/book.css").status == 200, "files that nginx serves need no data disk"
    host.check_output(f"rm -f {DATA}/filler*")
    eventually(lambda: write(visit, "after").status == 200, 10)
    assert acknowledged.items() <= Book.read(operator).entries.items()
    assert host.check_output("systemctl is-active flask-blog.service") == "active", "nobody had to restart it"
    assert host.run("blogctl backup").rc == 0


@pytest.mark.machine(13)
def test_a_read_only_data_disk_is_noticed_and_over_when_it_can_be_written(
    host: Any, visit: Callable[..., Any], disk: Callable[..., None], eventually: Callable[..., None]
) -> None:
    disk(DATA, "size=32m,mode=0750")
    # Files that are open for writing keep a file system from becoming read-only, so the mount of the service does.
    pid = host.check_output("systemctl show --property MainPID --value flask-blog.service")
    mount = f"nsenter --target {pid} --mount mount -o remount,bind"
    host.check_output(
        f"{mount},ro {DATA} && for p in $(nsenter --target {pid} --mount findmnt -rno TARGET"
        f" | grep '^/opt/flask-blog/data'); do {mount},ro $p; done; true"
    )
    answer = write(visit, "read-only")
    assert answer.status in {200, 500}
    host.check_output(
        f"{mount},rw {DATA}; for p in $(nsenter --target {pid} --mount findmnt -rno TARGET"
        f" | grep '^/opt/flask-blog/data'); do {mount},rw $p; done; true"
    )
    eventually(lambda: write(visit, "after").status == 200, 10)


@pytest.mark.machine(13)
def test_a_full_backup_disk_fails_the_backups_unit_and_keeps_the_earlier_ones(
    host: Any, visit: Callable[..., Any], disk: Callable[..., None]
) -> None:
    disk(BACKUPS, "size=96m,mode=0700")
    host.check_output("blogctl backup")
    earlier = host.check_output(f"cd {BACKUPS} && find . -type f -name manifest.json | sort | xargs sha256sum")
    host.check_output("sleep 1")
    fill(host, BACKUPS)
    host.run("systemctl start flask-blog-backup.service")
    assert host.run("systemctl is-failed flask-blog-backup.service").stdout.strip() == "failed"
    assert "earlier ones are untouched" in host.check_output("journalctl --no-pager -u flask-blog-backup.service -n 20")
    host.check_output(f"rm -f {BACKUPS}/filler*")
    assert host.check_output(f"cd {BACKUPS} && find . -type f -name manifest.json | sort | xargs sha256sum") == earlier
    assert not host.run(f"ls -A {BACKUPS} | grep incomplete").stdout
    assert visit(NAME).ask("/healthz").status == 200
    host.check_output("systemctl start flask-blog-backup.service")


@pytest.mark.machine(12)
def test_a_release_that_finds_the_backup_disk_full_changes_nothing(
    host: Any, operator: Any, visit: Callable[..., Any], disk: Callable[..., None], tmp_path: Path
) -> None:
    """Its snapshot of the data is what an undo would need."""
    disk(BACKUPS, "size=96m,mode=0700")
    fill(host, BACKUPS)
    before = visit(NAME).ask("/healthz").json()["release"]
    source = copy_of_the_blog(tmp_path)
    (source / "static" / "edition.css").write_text("body { color: teal; }\n")
    run = operator.play("--extra-vars", f"source={source}", "--extra-vars", '{"with_commands": true}')
    assert run.returncode != 0, run.output
    assert "No space left" in run.output
    assert visit(NAME).ask("/healthz").json()["release"] == before
    host.check_output(f"rm -f {BACKUPS}/filler*")
    run = operator.play("--extra-vars", f"source={source}", "--extra-vars", '{"with_commands": true}')
    assert run.returncode == 0, run.output
    assert visit(NAME).ask("/healthz").json()["release"] != before
