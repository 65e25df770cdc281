"""The app's address changes in the run of a release that fails: the site goes on at its old address."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger import NAME, copy_of_the_blog, served


@pytest.mark.machine("13")
def test_a_bad_release_with_another_address_leaves_the_site_at_the_old_one(
    host: Any, operator: Any, visit: Callable[..., Any], eventually: Callable[..., None], tmp_path: Path
) -> None:
    source = copy_of_the_blog(tmp_path)
    before, bind = served(visit), {"bind": "127.0.0.1:8010"}
    (source / "behaviour").write_text("answers 500")
    refused = operator.play("--extra-vars", json.dumps({"source": str(source), **bind}))
    assert refused.returncode != 0
    assert "answered 500" in refused.output
    assert "The previous settings were restored as well" in refused.output
    eventually(lambda: visit(NAME).ask("/healthz").status == 200, 10)
    assert served(visit) == before
    host.check_output("systemctl stop flask-blog.socket flask-blog.service && systemctl start flask-blog.socket")
    assert served(visit) == before, "it starts at the old address, too"
    (source / "behaviour").write_text("works")
    for variables in (bind, {}):
        run = operator.play("--extra-vars", json.dumps({"source": str(source), **variables}))
        assert run.returncode == 0, run.output
        assert served(visit) != before
        assert host.run("ss --listening --numeric --tcp").stdout.count(variables.get("bind", "127.0.0.1:8000")) == 1
