"""Errors that the app has logged, and slow requests."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path

import pytest
from blogctl.doctor import traffic
from blogctl.site import Site
from doctor_host import Host, whats

NOW = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.UTC).timestamp()


def error(text: str, pid: int = 7) -> str:
    begin = f"2026-11-27T03:27:42+00:00 h gunicorn[{pid}]: "
    lines = (
        "Traceback (most recent call last):",
        '  File "/opt/blog/releases/old/app.py", line 3, in show',
        "    x()",
        text,
    )
    return "".join(f"{begin}{line}\n" for line in lines)


def test_an_app_without_errors_is_silent(live: Site, host: Host) -> None:
    host.journal = "2026-11-27T03:27:42+00:00 h gunicorn[7]: [2026-11-27 03:27:42 +0000] [7] [INFO] Starting gunicorn\n"
    assert list(traffic.errors_are_known(live)) == []


def test_errors_are_counted_by_kind_the_most_frequent_first(live: Site, host: Host) -> None:
    host.journal = error("ValueError: post 17") + error("KeyError: 'title'") + error("ValueError: post 18")
    found = list(traffic.errors_are_known(live))
    assert [one.what for one in found] == ["2 x ValueError: post 17", "1 x KeyError: 'title'"]
    assert found[0].command == "blogctl --site blog logs --since=-1d"


def test_a_known_error_has_its_remedy(live: Site, host: Host) -> None:
    host.journal = error("sqlite3.OperationalError: no such table: post")
    (found,) = traffic.errors_are_known(live)
    assert found.fix.startswith("The database has no such table.")


def test_many_kinds_of_errors_are_summed_up(live: Site, host: Host) -> None:
    host.journal = "".join(error(f"ValueError: {'x' * number}") for number in range(1, 9))
    assert whats(traffic.errors_are_known(live))[-1] == "3 more errors of 3 kinds"


def request(seconds: float, path: str = "/search", age: float = 60, status: int = 200) -> str:
    moment = datetime.datetime.fromtimestamp(NOW - age, datetime.UTC).isoformat(timespec="seconds")
    return json.dumps(
        {"time": moment, "method": "GET", "path": path, "status": status, "upstream_response_time": f"{seconds:.3f}"}
    )


@pytest.fixture
def log(live: Site, tmp_path: Path) -> Path:
    live.settings.update(
        {
            "access_log": str(tmp_path / "access.log"),
            "process_environment": {"FLASK_BLOG_WEBSOCKETS": "/ws"},
        }
    )
    return tmp_path / "access.log"


def test_slow_requests_are_named_the_slowest_first(live: Site, log: Path) -> None:
    lines = [request(0.1)] * 50 + [request(4, f"/slow{number}") for number in range(4)]
    log.write_text("\n".join(lines))
    assert list(traffic.requests_are_fast(live, NOW)) == [], "a few are no pattern"
    log.write_text("\n".join([*lines, request(9.5, "/report\x1b[2J")]))
    (found,) = traffic.requests_are_fast(live, NOW)
    assert found.what.startswith("5 requests took the app more than 3 s in the last day; the slowest: GET /report")
    assert "(9.5 s)" in found.what


def test_old_requests_streams_and_other_lines_do_not_count(live: Site, log: Path) -> None:
    others = ["not json", "[1]", "{}", "null", '{"time": 1}', "[" * 100000]
    slow = [request(9, age=90000), request(9, "/ws/chat"), request(9, status=101)] * 9
    log.write_text("\n".join([*others, *slow]))
    assert list(traffic.requests_are_fast(live, NOW)) == []


def test_a_log_is_read_from_its_end_and_never_if_it_is_none(
    live: Site, log: Path, monkeypatch: pytest.MonkeyPatch, nothing_hangs: None
) -> None:
    monkeypatch.setattr(traffic, "TAIL", 2000)
    log.write_text("\n".join([request(9)] * 9 + [request(0.1)] * 100))
    assert list(traffic.requests_are_fast(live, NOW)) == []
    log.unlink()
    assert list(traffic.requests_are_fast(live, NOW)) == []
    os.mkfifo(log)
    assert list(traffic.requests_are_fast(live, NOW)) == []
    log.unlink()
    log.symlink_to("/etc/passwd")
    assert traffic._tail(str(log)) == []
