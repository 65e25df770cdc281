# Managed by Ansible (flaskblog.hosting). The file is the same for every site.
"""Keep nginx from collecting server-sent events; gunicorn.conf.py loads this.

nginx writes what a client does not read to its disk, up to 1 GiB of each answer, and with gzip it holds events back,
unless the answer has the header C(X-Accel-Buffering: no), which few apps know (ngx_http_proxy_module,
C(proxy_buffering)). nginx does not pass the header on.
"""

from __future__ import annotations

from typing import Any

EVENT_STREAM = "text/event-stream"
HEADER = "X-Accel-Buffering"

Headers = list[tuple[str, str]]


class Unbuffered:
    """Add the header to a stream of events, unless the app has set it."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve a request (PEP 3333)."""

        def start(status: str, headers: Headers, *error: Any) -> Any:
            return start_response(status, with_header(headers), *error)

        return self.app(environ, start)


def with_header(headers: Headers) -> Headers:
    """Return the headers of an answer, with C(X-Accel-Buffering) if it is a stream of events without one."""
    types = [value.partition(";")[0].strip().lower() for name, value in headers if name.lower() == "content-type"]
    if types != [EVENT_STREAM] or any(name.lower() == HEADER.lower() for name, _ in headers):
        return headers
    return [*headers, (HEADER, "no")]
