"""Takes messages and pings on the machine, and notes each as a line of JSON. It hangs while a file says so."""

import http.server
import json
import os
import time
from pathlib import Path
from typing import Any

FOLDER = Path("/var/lib/receiver")


class Handler(http.server.BaseHTTPRequestHandler):
    """Takes everything."""

    def do_POST(self) -> None:
        """Note a request, and answer it."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if (FOLDER / "hangs").exists():
            time.sleep(30)
        with (FOLDER / "got").open("a") as file:
            file.write(json.dumps({"path": self.path, "body": body}) + "\n")
        self.send_response(500 if (FOLDER / "refuses").exists() else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """Note a ping."""
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


os.umask(0o022)
http.server.ThreadingHTTPServer(("127.0.0.1", 9999), Handler).serve_forever()
