"""What blogctl does in a data folder, by a process with the rights of the app's account and no others.

The app may change the folder at any moment, put links, FIFOs and damaged databases into it, and even take this process
over, as both have one account. It gains nothing by that: root has given this process no descriptor but the channel, and
takes what comes through it for input (data.py).
"""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import tarfile
import time
from collections.abc import Callable

from . import inside_read, inside_write
from .channel import Channel, ChannelError
from .inside_common import Request
from .limited import BEAT
from .sqlite import Clock

OPERATIONS: dict[str, Callable[[Channel, Request, Clock], Request]] = {
    "scan": inside_read.scan,
    "read": inside_read.read,
    "copy": inside_read.copy,
    "fingerprint": inside_read.fingerprint,
    "compare": inside_read.compare,
    "restore": inside_write.restore,
    "unpack": inside_write.unpack,
    "empty": inside_write.empty,
}


def main(arguments: list[str]) -> int:
    """Do one operation, which stands on the command line as JSON; the channel is the standard input."""
    request = json.loads(arguments[0])
    channel = Channel(socket.socket(fileno=0))
    clock = Clock(request["seconds"])
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last > BEAT:
            last = time.monotonic()
            channel.send({"alive": True})

    clock.beat = beat
    try:
        answer = OPERATIONS[request["operation"]](channel, request, clock)
        channel.send({**answer, "done": True})
    except ChannelError:
        return 1  # blogctl has ended
    except (OSError, ValueError, sqlite3.Error, tarfile.TarError) as error:
        with contextlib.suppress(ChannelError):
            channel.send({"error": str(error)[:1000]})
        return 1
    return 0
