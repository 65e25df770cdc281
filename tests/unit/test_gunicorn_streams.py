"""nginx collects no stream of events, also of an app that knows nothing of nginx."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from loaded import load_file


@pytest.fixture
def module(role: Path) -> Any:
    return load_file(role / "files" / "gunicorn_streams.py")


def answered(module: Any, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers that gunicorn gets of an app's answer."""
    seen = []

    def app(_: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", headers)
        return [b"data: 1\n\n"]

    def start(status: str, found: list[tuple[str, str]]) -> None:
        assert status == "200 OK"
        seen.append(found)

    assert module.Unbuffered(app)({}, start) == [b"data: 1\n\n"]
    return seen[0]


@pytest.mark.parametrize("kind", ["text/event-stream", "Text/Event-Stream; charset=utf-8"])
def test_nginx_is_told_not_to_collect_a_stream_of_events(module: Any, kind: str) -> None:
    assert answered(module, [("content-type", kind)]) == [("content-type", kind), ("X-Accel-Buffering", "no")]


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", "text/html")],
        [("Content-Type", "text/event-streams")],
        [],
        [("Content-Type", "text/event-stream"), ("x-accel-buffering", "yes")],
    ],
)
def test_any_other_answer_and_what_the_app_has_chosen_stay(module: Any, headers: list[tuple[str, str]]) -> None:
    assert answered(module, headers) == headers


def test_an_error_while_the_answer_is_made_reaches_gunicorn(module: Any) -> None:
    seen = []
    error = (ValueError, ValueError("x"), None)

    def app(_: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("500 Oops", [("Content-Type", "text/event-stream")], error)
        return []

    module.Unbuffered(app)({}, lambda *given: seen.append(given))
    assert seen == [("500 Oops", [("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no")], error)]
