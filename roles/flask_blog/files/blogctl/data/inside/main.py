"""The process that works in the data folder, with the rights of the app's account and no others.

The app may change the folder at any moment, put links, FIFOs and damaged databases into it, and even take this process
over, as both have one account. It gains nothing by that: root has given this process no descriptor but the channel, and
treats what comes through it as input (process.py).
"""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import tarfile
import time
from collections.abc import Callable

from ..channel import Channel, ChannelError
from . import exchange, loss, read, write
from .common import Request
from .limited import HEARTBEAT_INTERVAL
from .sqlite import Clock

OPERATIONS: dict[str, Callable[[Channel, Request, Clock], Request]] = {
    "scan": read.scan,
    "read": read.read,
    "copy": read.copy,
    "fingerprint": read.fingerprint,
    "compare": read.compare,
    "restore": write.restore,
    "unpack": write.unpack,
    "seed": write.seed,
    "empty": write.empty,
    "stage": exchange.stage,
    "fill": exchange.fill,
    "rows": loss.rows,
    "exchange": exchange.exchange,
    "undo": exchange.undo,
    "outgoing": exchange.outgoing,
    "discard": exchange.discard,
}


def main(arguments: list[str]) -> int:
    """Run one operation, given as JSON on the command line; the channel is the standard input."""
    request = json.loads(arguments[0])
    channel = Channel(socket.socket(fileno=0))
    clock = Clock(request["seconds"])
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last > HEARTBEAT_INTERVAL:
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
