# Managed by Ansible (flaskblog.hosting). The file is the same for every site.
"""Let one worker load the app before the others; gunicorn.conf.py loads this.

Many apps create their tables or folders when they are imported (Flask-SQLAlchemy's C(create_all())). Two workers that
do so at once can fail with "table already exists", and gunicorn then ends. The others load the app as soon as the first
one has, or has ended.
"""

from __future__ import annotations

import os
import select
import time
from typing import Any

#: Seconds that a worker waits for the first one at most, and between two signs of life to the master.
TIMEOUT, INTERVAL = 60.0, 1.0
#: The ends of a pipe: the first worker writes to it, and the others wait until there is something to read.
pipe: list[int] = []


def on_starting(_: Any) -> None:
    """Make the pipe, in the master."""
    pipe[:] = os.pipe()


def pre_fork(_: Any, worker: Any) -> None:
    """Keep the writing end for the first worker alone: if that one ends, the pipe has no writer. Runs in the master."""
    if worker.age > 1 and len(pipe) > 1:
        os.close(pipe.pop())


def post_fork(_: Any, worker: Any) -> None:
    """Wait for the first worker, in any other one."""
    if len(pipe) != 1:
        return
    waiting = select.poll()
    waiting.register(pipe[0], select.POLLIN)
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline and not waiting.poll(INTERVAL * 1000):
        worker.notify()
    worker.notify()


def loaded() -> None:
    """Let the other workers go on. A byte stays in the pipe, so that those see it that are started later."""
    if len(pipe) > 1:
        os.write(pipe[1], b".")
        os.close(pipe.pop())
