#!/usr/bin/python3
"""An SMTP server for the tests: accept every mail on 127.0.0.1:2525 and append it to a file (RFC 5321)."""

from __future__ import annotations

import socketserver
import sys
from pathlib import Path


class Session(socketserver.StreamRequestHandler):
    """One client, from its greeting to QUIT."""

    def handle(self) -> None:
        """Answer each command with success."""
        self._answer(b"220 sink")
        for line in self.rfile:
            command = line[:4].upper()
            if command == b"DATA":
                self._answer(b"354 go on")
                self._take()
            self._answer(b"221 bye" if command == b"QUIT" else b"250 ok")
            if command == b"QUIT":
                return

    def _answer(self, text: bytes) -> None:
        self.wfile.write(text + b"\r\n")

    def _take(self) -> None:
        with Path(sys.argv[1]).open("ab") as file:
            for line in self.rfile:
                if line == b".\r\n":
                    return
                file.write(line)


if __name__ == "__main__":
    with socketserver.ThreadingTCPServer(("127.0.0.1", 2525), Session) as server:
        server.serve_forever()
