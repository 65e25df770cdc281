"""A site goes, and nothing else does."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from typing import Any

import pytest
from ledger import browsers

PLAYBOOK = "../../playbooks/remove.yml"
TRAVEL = "travel.example.com"
#: Where other programs write by themselves.
OTHERS = (
    *("/var/log/", "/var/lib/systemd/", "/var/tmp/", "/var/lib/nginx/", "/var/lib/logrotate", "/var/lib/dpkg"),
    *("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid", "/etc/.pwd"),
)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def reader(visit: Callable[..., Any]) -> Any:
    """A visitor of travel with a session, who has written a post."""
    one = visit(TRAVEL)
    assert one.ask("/login", FORM, "POST", b"name=ada").status == 200
    assert one.ask("/posts", FORM, "POST", b"text=Lisbon").status == 200
    return one


def remove(operator: Any, name: str, *more: str, check: bool = False) -> Any:
    options = [word for one in (f"flask_blog_name={name}", f"flask_blog_remove={name}", *more) for word in ("-e", one)]
    return operator.play(*options, *(["--check"] if check else []), playbook=PLAYBOOK)


def traces(host: Any, name: str) -> set[str]:
    """Return the paths on the host with a site's name."""
    found = host.check_output(
        "find /etc /opt /usr/local /var /run -xdev -path /run/systemd/transient -prune -o"
        " -path /run/flask-blog-hosting/root -prune -o"
        f" -path /var/log/journal -prune -o -name '*{name}*' -print"
    )
    own = "/etc/systemd/system/travel-own.service"
    return {*found.split()} - {own}


def test_a_run_that_names_another_site_touches_nothing(operator: Any, reader: Any) -> None:
    run = operator.play("-e", "flask_blog_name=travel", "-e", "flask_blog_remove=cooking", playbook=PLAYBOOK)
    assert run.returncode != 0
    assert "Nothing was touched" in run.output
    run = remove(operator, "travel", "flask_blog_remove_data=yes")
    assert run.returncode != 0
    assert "flask_blog_remove_data: 'yes'" in run.output
    assert reader.ask("/").json()["posts"] == ["Lisbon"]


def test_check_mode_lists_what_would_go_and_removes_nothing(operator: Any, reader: Any) -> None:
    run = remove(operator, "travel", check=True)
    assert run.changed == 1
    for part in ("/opt/travel", "travel.service", "/etc/nginx/sites-enabled/travel.conf", "travel-build", "Kept: "):
        assert part in run.output
    assert reader.ask("/").json()["name"] == "ada"


def test_a_configuration_that_nginx_refuses_removes_nothing(host: Any, operator: Any, reader: Any) -> None:
    host.check_output("echo 'no_such_directive on;' >/etc/nginx/conf.d/broken.conf")
    run = remove(operator, "travel")
    host.check_output("rm /etc/nginx/conf.d/broken.conf")
    assert run.returncode != 0
    assert "nothing was removed, and the site serves as before" in " ".join(run.output.split())
    assert reader.ask("/").json()["posts"] == ["Lisbon"]
    assert host.service("travel.service").is_running


def test_a_site_goes_while_the_other_one_serves_every_request(
    host: Any, operator: Any, visit: Callable[..., Any], reader: Any
) -> None:
    with browsers(operator) as load:
        run = remove(operator, "travel")
    assert run.changed == 1
    assert load.failures == []
    assert load.total > 50
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        visit(TRAVEL).ask("/")
    assert traces(host, "travel") == {"/var/lib/travel", "/var/backups/travel", "/etc/travel"}
    assert host.check_output("ls -A /etc/travel") == "environment"
    assert host.user("travel").exists, "data that is kept keeps its owner"
    assert not host.user("travel-build").exists
    assert host.run("systemctl list-units --all --no-legend 'travel*'").stdout == ""
    assert host.check_output("blogctl --site cooking status --json")


def test_a_second_run_changes_nothing(operator: Any) -> None:
    assert remove(operator, "travel").changed == 0
    assert remove(operator, "travel", check=True).changed == 0


def test_a_new_run_over_kept_data_brings_posts_uploads_and_sessions_back(operator: Any, reader: Any) -> None:
    run = operator.play("-e", "only_travel=true")
    assert run.returncode == 0, run.output
    assert reader.ask("/").json() == {"name": "ada", "posts": ["Lisbon"], "uploads": ["1.txt"]}


def test_after_the_last_site_the_host_is_as_it_was(host: Any, operator: Any, visit: Callable[..., Any]) -> None:
    for name in ("cooking", "travel"):
        consent = [f"flask_blog_remove_{what}={name}" for what in ("data", "backups", "certificates")]
        run = remove(operator, name, *consent)
        assert run.changed == 1
        assert "Kept: " not in run.output
    after = host.check_output(
        "find /etc /opt /usr/local /var /run/systemd/system -xdev"
        " -path /var/log/journal -prune -o -path /var/lib/apt -prune -o -path /var/cache/apt -prune -o -print | sort"
    ).splitlines()
    before = host.file("/root/before.txt").content_string.splitlines()
    # nginx's default page does not come back; what others write down at the same time is not the role's.
    changed = {path for path in {*before} ^ {*after} if not path.startswith(OTHERS)}
    assert changed == {"/etc/nginx/sites-enabled/default"} & {*before}
    assert not [path for path in after if "travel" in path and path not in before]
    assert host.check_output("getent passwd") == host.file("/root/accounts.txt").content_string.strip()
    assert host.check_output("cat /etc/nginx/nginx.conf") == host.file("/root/nginx.conf").content_string.strip()
    assert host.service("nginx").is_running


def test_a_host_without_sites_has_nothing_to_remove(operator: Any) -> None:
    run = remove(operator, "travel", "flask_blog_remove_data=travel")
    assert run.changed == 0
    assert "nothing of travel to remove" in run.output
