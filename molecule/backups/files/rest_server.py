"""A server that speaks restic's REST protocol (version 1 and 2) and removes nothing but locks.

https://restic.readthedocs.io/en/stable/100_references.html#rest-backend
rest_server.py FOLDER PORT
"""

from __future__ import annotations

import http.server
import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1])
KINDS = ("data", "index", "keys", "locks", "snapshots")
PATH = re.compile(rf"/book/(?:(config)|({'|'.join(KINDS)})/([0-9a-f]{{64}})?)?")
VERSION_2 = "application/vnd.x.restic.rest.v2"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes = b"", kind: str = "application/octet-stream", size: int = -1) -> None:
        """Send a response; C(size) is that of the body that HEAD leaves out."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if size < 0 else size))
        self.end_headers()
        self.wfile.write(body)

    def place(self) -> Path | None:
        """Return the file or folder that a request names."""
        match = PATH.fullmatch(self.path.partition("?")[0])
        if match is None:
            return None
        return ROOT / (match[1] or (f"{match[2]}/{match[3] or ''}" if match[2] else ""))

    def do_HEAD(self) -> None:
        """Say how large a file is."""
        place = self.place()
        if place is None or not place.is_file():
            self.answer(404)
        else:
            self.answer(200, size=place.stat().st_size)

    def do_GET(self) -> None:
        """Send a file, a part of one, or the list of a folder."""
        place = self.place()
        if place is not None and place.is_dir():
            names = [{"name": one.name, "size": one.stat().st_size} for one in place.iterdir() if one.is_file()]
            if VERSION_2 in self.headers.get("Accept", ""):
                self.answer(200, json.dumps(names).encode(), VERSION_2)
            else:
                self.answer(
                    200, json.dumps([one["name"] for one in names]).encode(), "application/vnd.x.restic.rest.v1"
                )
        elif place is not None and place.is_file():
            content = place.read_bytes()
            if part := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                self.answer(206, content[int(part[1]) : int(part[2] or len(content)) + 1])
            else:
                self.answer(200, content)
        else:
            self.answer(404)

    def do_POST(self) -> None:
        """Make the folders, or store a file that is not there yet."""
        place = self.place()
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if place == ROOT and "create=true" in self.path:
            for kind in KINDS:
                (ROOT / kind).mkdir(parents=True, exist_ok=True)
            self.answer(200)
        elif place is None or place.is_dir():
            self.answer(400)
        elif place.exists():
            self.answer(403)
        else:
            place.with_suffix(".new").write_bytes(content)
            os.replace(place.with_suffix(".new"), place)
            self.answer(200)

    def do_DELETE(self) -> None:
        """Remove a lock, and nothing else."""
        place = self.place()
        if place is None or place.parent.name != "locks":
            self.answer(403)
        else:
            place.unlink(missing_ok=True)
            self.answer(200)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
