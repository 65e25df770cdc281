"""Managed objects go to the host as text."""

from __future__ import annotations

from typing import Any

from action_host import Host, Run
from ansible_collections.flaskblog.hosting.plugins.action import apply


def test_secret_texts_travel_apart_from_the_objects(run: Run, host: Host, arguments: dict[str, Any]) -> None:
    run(apply, {"site": arguments["site"], "objects": arguments["objects"]}, secrets={"API_KEY": "hunter2"})
    ((_, sent, _),) = host.modules
    assert "hunter2" in sent["secrets"]["/etc/flask-blog/environment"]
    assert "hunter2" not in str(sent["objects"])
