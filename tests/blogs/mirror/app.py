"""An app that reports its requests and its environment; of secrets, only the names."""

from __future__ import annotations

import os
import sys
from typing import Any

from flask import Flask, request, url_for
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)

# Like many blogs, this one may have its own ProxyFix, for any number of proxies.
if hops := int(os.environ.get("MIRROR_PROXY_FIX", "0")):
    app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
        app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_port=hops, x_prefix=hops
    )


@app.route("/", defaults={"path": ""})
@app.route("/<path:path>")
def mirror(path: str) -> dict[str, Any]:
    """Show the request and the process."""
    return {
        "path": path,
        "remote_addr": request.remote_addr,
        "access_route": list(request.access_route),
        "scheme": request.scheme,
        "host": request.host,
        "port": request.environ["SERVER_PORT"],
        "script_root": request.script_root,
        "url": request.url,
        "external": url_for("mirror", path="a", _external=True),
        "headers": dict(request.headers),
        "pid": os.getpid(),
        "prefix": sys.prefix,
        "folder": os.getcwd(),
        "settings": sorted(os.environ),
        "told": {name: value for name, value in os.environ.items() if name.startswith("MIRROR_")},
    }
