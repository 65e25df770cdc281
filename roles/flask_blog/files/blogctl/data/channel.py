"""Messages between blogctl and the process that works in a data folder: JSON objects, each with a descriptor or none.

Neither side trusts the other further than that: root takes what it gets for input, of limited size.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import Any

#: Bytes of one message (unix(7): a datagram arrives whole or not at all).
LARGEST = 1 << 16


class ChannelError(Exception):
    """The other side has ended, or sent what is no message."""


class Channel:
    """One end of a connected pair of sockets (SOCK_SEQPACKET)."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: dict[str, Any], descriptor: int | None = None) -> None:
        """Send a message, with an open descriptor if one is given; the other side gets a copy of it.

        :raises ChannelError: if nobody is there any more.
        """
        content = json.dumps(message).encode()
        try:
            socket.send_fds(self._end, [content], [] if descriptor is None else [descriptor])
        except OSError as error:
            raise ChannelError(f"the other side has ended: {error}") from error

    def receive(self) -> tuple[dict[str, Any], int | None]:
        """Wait for a message and return it, with the descriptor that came along.

        :raises ChannelError: at the end, for what is no JSON object, and when nothing has come in time.
        """
        try:
            content, descriptors, flags, _ = socket.recv_fds(self._end, LARGEST, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError as error:
            raise ChannelError(f"it does not answer: {error}") from error
        descriptor = descriptors[0] if descriptors else None
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ValueError("the message is too large")
            if not content:
                raise ValueError("it has ended")
            message = json.loads(content)
            if not isinstance(message, dict):
                raise ValueError("no JSON object")
        except (ValueError, RecursionError) as error:
            for one in descriptors:
                with contextlib.suppress(OSError):
                    os.close(one)
            raise ChannelError(str(error)) from error
        return message, descriptor
