"""What the tests of all scenarios have in common."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
import yaml

# What the machine says when a test on it fails.
EVIDENCE = {
    "the last lines of the blog's journal": "journalctl --unit 'flask-blog*' --lines 40 --no-pager",
    "the last lines of nginx's errors": "tail --quiet --lines 40 /var/log/nginx/*error.log",
    "failed units": "systemctl --failed --no-legend --plain",
}


def pytest_configure(config: pytest.Config) -> None:
    """Reach all machines by `docker exec`, those too that Ansible reaches over SSH: one way, and a fast one."""
    inventory_file = os.environ.get("MOLECULE_INVENTORY_FILE")
    if inventory_file and not config.option.hosts:
        inventory = yaml.safe_load(Path(inventory_file).read_text())
        config.option.hosts = ",".join(f"docker://{name}" for name in inventory["all"]["hosts"])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the machine's own words to the report of a failed test."""
    report = yield
    host = getattr(item, "funcargs", {}).get("host")
    if report.failed and host is not None:
        for title, command in EVIDENCE.items():
            output = host.run(command).stdout.strip()
            report.sections.append((f"{title} ({host.backend.get_pytest_id()})", output or "(none)"))
    return report
