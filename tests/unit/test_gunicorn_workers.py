"""One worker loads the app before the others, so that they do not create the same table at the same time."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from blogctl.host import diagnosis
from blogctl.release import hints
from loaded import load_file

#: What a worker does when it loads the app, with the module as its argument; its result is the exit status.
Loads = Callable[[Any], None]


@pytest.fixture
def module(role: Path, descriptors: None) -> Iterator[Any]:
    found = load_file(role / "files" / "gunicorn_workers.py")
    found.on_starting(None)
    finders = [*sys.meta_path]
    yield found
    sys.meta_path[:] = finders
    while found.pipe:
        os.close(found.pipe.pop())


def start(module: Any, age: int, loads: Loads, log: Path) -> int:
    """Start a worker as gunicorn's master does; it notes when it loads the app. Return its process id."""
    worker = SimpleNamespace(age=age, notify=lambda: None)
    module.pre_fork(None, worker)
    if (process := os.fork()) == 0:
        status = 1
        try:
            module.post_fork(None, worker)
            with log.open("a") as notes:
                notes.write(f"{age} ")
            loads(module)
            status = 0
        finally:
            os._exit(status)
    return process


def loads_well(module: Any) -> None:
    module.loaded()


def loads_slowly(module: Any) -> None:
    time.sleep(0.5)
    module.loaded()


def fails(module: Any) -> None:
    time.sleep(0.3)
    raise ImportError


def leaves_a_child_with_all_its_descriptors(module: Any) -> None:
    if os.fork() == 0:
        time.sleep(20)
        os._exit(0)
    module.loaded()


@pytest.mark.parametrize("first", [loads_slowly, fails, leaves_a_child_with_all_its_descriptors])
def test_the_others_wait_until_the_first_one_has_loaded_the_app_or_has_ended(
    module: Any, tmp_path: Path, nothing_hangs: None, first: Loads
) -> None:
    log = tmp_path / "log"
    began = time.monotonic()
    workers = [start(module, 1, first, log), start(module, 2, loads_well, log), start(module, 3, loads_well, log)]
    time.sleep(0.15)
    if first is not leaves_a_child_with_all_its_descriptors:
        assert log.read_text() == "1 ", "the first one alone"
    assert [os.waitpid(one, 0)[1] == 0 for one in workers] == [first is not fails, True, True]
    assert sorted(log.read_text().split()) == ["1", "2", "3"]
    assert time.monotonic() - began < 10
    assert os.waitpid(start(module, 4, loads_well, log), 0)[1] == 0, "one that is started later waits for nobody"


def test_a_worker_waits_for_a_time_and_shows_meanwhile_that_it_lives(module: Any) -> None:
    module.TIMEOUT, module.INTERVAL = 0.5, 0.1
    writing = os.dup(module.pipe[1])
    signs: list[float] = []
    worker = SimpleNamespace(age=2, notify=lambda: signs.append(time.monotonic()))
    module.pre_fork(None, worker)
    began = time.monotonic()
    module.post_fork(None, worker)
    assert 0.4 < time.monotonic() - began < 5
    assert len(signs) > 3, "gunicorn kills a worker that is silent for --timeout"
    os.close(writing)


def test_a_single_worker_waits_for_nobody_and_neither_does_its_successor(module: Any) -> None:
    for age in (1, 2):
        worker = SimpleNamespace(age=age, notify=lambda: None)
        module.pre_fork(None, worker)
        began = time.monotonic()
        module.post_fork(None, worker)
        assert time.monotonic() - began < 0.5
        if age == 1:
            module.loaded()
    ready = select.poll()
    ready.register(module.pipe[0], select.POLLIN)
    assert ready.poll(0), "the byte stays"


def logged(module: Any, key: object) -> list[str]:
    """Return what a worker logs whose app has a key; it is a process of its own."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        log = SimpleNamespace(warning=lambda text, *parts: os.write(writing, (text % parts + "\n").encode()))
        try:
            module.compare_key(SimpleNamespace(log=log), SimpleNamespace(secret_key=key) if key else object())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as told:
        found = told.read().splitlines()
    os.wait()
    return found


def test_a_secret_key_that_each_worker_makes_anew_is_logged(module: Any) -> None:
    """C(app.secret_key = os.urandom(24)): who has logged in with one worker is unknown to the other."""
    assert logged(module, os.urandom(24)) == []
    for key in ("another", os.urandom(24)):
        (said,) = logged(module, key)
        assert said.startswith(hints.OTHER_KEY)


@pytest.mark.parametrize("key", ["from the environment", b"bytes", "\udcff", None, 7])
def test_one_key_for_all_workers_or_none_is_not_logged(module: Any, key: object) -> None:
    assert [logged(module, key) for _ in range(3)] == [[], [], []]


@pytest.mark.parametrize(
    ("name", "question", "library"),
    [("eventlet.patcher", "is_monkey_patched", "eventlet"), ("gevent.monkey", "is_module_patched", "gevent")],
)
def test_an_app_that_replaces_the_threads_that_serve_it_is_refused_and_told_so(
    module: Any, monkeypatch: pytest.MonkeyPatch, name: str, question: str, library: str
) -> None:
    """It would answer some requests and hang."""
    said: list[str] = []
    log = SimpleNamespace(error=lambda text, *parts: said.append(text % parts))
    replaced = True
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(**{question: lambda _: replaced}))
    module.refuse_without_threads(SimpleNamespace(log=log))  # a worker without threads
    with pytest.raises(SystemExit) as ended:
        module.refuse_without_threads(SimpleNamespace(log=log, tpool=object()))
    assert ended.value.code == 3
    (match,) = [diagnosis.NO_THREADS.search(line) for line in said]
    assert match
    assert match[1] == library
    replaced = False
    module.refuse_without_threads(SimpleNamespace(log=log, tpool=object()))


@pytest.mark.parametrize(
    ("package", "workers", "websockets", "text"),
    [
        ("flask_socketio", 2, "", hints.SOCKET_IO),
        ("flask_socketio", 1, "", ""),
        ("flask_sock", 1, "", hints.WEBSOCKETS),
        ("flask_sock", 1, "/chat", ""),
        ("another", 2, "", ""),
    ],
)
def test_connections_that_fail_behind_pages_that_work_are_logged(
    module: Any, monkeypatch: pytest.MonkeyPatch, package: str, workers: int, websockets: str, text: str
) -> None:
    monkeypatch.setenv("FLASK_BLOG_WEBSOCKETS", websockets)
    said: list[str] = []
    monkeypatch.setitem(sys.modules, package, SimpleNamespace())
    log = SimpleNamespace(warning=lambda form, *parts: said.append(form % parts))
    module.warn_of_lasting_connections(SimpleNamespace(log=log, cfg=SimpleNamespace(workers=workers)))
    assert [one.startswith(text) for one in said] == ([True] if text else [])


OWN_SERVER = """
import importlib.util, logging, os, sys
spec = importlib.util.spec_from_file_location("workers", sys.argv[1])
workers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(workers)
sys.path.insert(0, sys.argv[2])
logging.basicConfig(stream=sys.stdout, format="%(message)s")
if sys.argv[3] == "imported before":
    import flask
if sys.argv[3] != "left":
    workers.ignore_own_server()
import app
print("loaded", app.app.name, "FLASK_RUN_FROM_CLI" in os.environ)
"""


@pytest.mark.parametrize("how", ["replaced", "imported before", "left"])
def test_a_server_that_the_app_starts_when_it_is_imported_is_ignored_and_logged(
    role: Path, tmp_path: Path, how: str
) -> None:
    """Without the variable that makes Flask ignore it: an app can read that one, and does less in a command."""
    (tmp_path / "flask").mkdir()
    (tmp_path / "flask" / "__init__.py").write_text("from .app import Flask\n")
    (tmp_path / "flask" / "app.py").write_text(
        "class Flask:\n"
        "    name = 'blog'\n"
        "    def run(self, host, debug):\n"
        "        print('serves for ever')\n"
        "class Other(Flask):\n"
        "    pass\n"
    )
    (tmp_path / "app.py").write_text("from flask.app import Other\napp = Other()\napp.run('0.0.0.0', debug=True)\n")
    command = [sys.executable, "-c", OWN_SERVER, str(role / "files" / "gunicorn_workers.py"), str(tmp_path), how]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin"})
    own = load_file(role / "files" / "gunicorn_workers.py").OWN_SERVER
    told = f"{own}; call it only below if __name__ == '__main__'" if how != "left" else "serves for ever"
    assert done.stdout.splitlines() == [told, "loaded blog False"]
