"""After an upgrade of Debian the cause is shown, and one command on the host makes the blog serve again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ledger import Book, served

pytestmark = pytest.mark.machine("12")


@pytest.fixture
def upgraded(host: Any, visit: Callable[..., Any]) -> Iterator[str]:
    """The live release, in the environment of another Python under the name that it would have."""
    release = served(visit)
    before = host.check_output("readlink -f /var/www/flask-blog/venv")
    link = host.check_output(f"find /opt/flask-blog/releases/{release} -maxdepth 2 -name venv -type l")
    former = "/opt/flask-blog/venvs/of-another-python"
    host.check_output(f"mv {before} {former} && ln -sfn {former} {link}")
    host.check_output(f"mv {former}/lib/python3.11 {former}/lib/python3.9")
    host.run("systemctl restart flask-blog.service")
    yield release
    host.check_output(f"rm -rf {former}")


def test_a_site_whose_environment_is_of_another_python_says_so_and_is_rebuilt_on_the_host(
    host: Any, operator: Any, visit: Callable[..., Any], upgraded: str
) -> None:
    before = Book.read(operator)
    said = host.run("blogctl status")
    assert said.rc == 6
    assert "was built for Python 3.9, and its Python is 3.11 now" in said.stdout
    assert f"'blogctl --site flask-blog rebuild {upgraded}' builds it again" in said.stdout
    journal = host.check_output("journalctl --unit flask-blog.service --lines 20 --output cat")
    assert "was built for Python 3.9" in journal

    refused = host.run(f"blogctl activate {upgraded}")
    assert refused.rc == 1
    assert "nothing was changed" in refused.stderr

    rebuilt = json.loads(host.check_output("blogctl --json rebuild"))
    assert rebuilt["release"] == upgraded
    assert rebuilt["serves"] is True
    assert served(visit) == upgraded
    assert Book.read(operator) == before
    assert host.run("blogctl status").rc == 0
    owners = host.check_output(f"find {rebuilt['environment']} ! -user root -o -perm /022 ! -type l")
    assert owners == "", "root owns what the build account made"
    assert host.check_output("ls /var/cache/flask-blog-hosting") == "flask-blog", "no temporary files are left"

    run = operator.play()
    assert run.returncode == 0, run.output
    assert run.changed == 0, "the controller would have built the same"
