"""Default servers, the PROXY protocol and addresses, which the sites of a host share or have for themselves."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import addresses, host
from nginx_host import SITE, UNKNOWN, conflicts, make_nginx, put


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with nginx and without a site."""
    return make_nginx(tmp_path, monkeypatch)


@pytest.mark.parametrize("word", ["default_server", "default"])
def test_another_default_server_names_the_variable(folder: Path, word: str) -> None:
    path = put(folder, f"server {{ listen 80 {word}; server_name other.test; }}", "default")
    (reason,) = conflicts(folder)
    assert reason.startswith(f"flask_blog_reject_unknown_hosts: {path} is the default server of port 80")
    assert "set flask_blog_reject_unknown_hosts: false" in reason
    assert conflicts(folder, reject=False) == []


def test_the_default_server_of_another_port_or_address_is_no_conflict(folder: Path) -> None:
    put(folder, "server { listen 8080 default_server; listen 192.0.2.1:80 default_server; server_name other.test; }")
    put(folder, "server { listen 80 quic reuseport default_server; server_name _; }", "of-udp")
    assert conflicts(folder) == []


def test_an_earlier_runs_own_default_server_is_part_of_the_remedy(folder: Path) -> None:
    """Without the variable nothing removes it, as another blog of the host may want it."""
    put(folder, "server { listen 80 default_server; server_name other.test; }")
    (folder / "conf.d" / "unknown-hosts-80.conf").write_text(UNKNOWN)
    (reason,) = conflicts(folder, reject=False)
    assert f"remove {folder}/conf.d/unknown-hosts-80.conf" in reason


PROXIED = SITE.replace("80;", "80 proxy_protocol;")


@pytest.mark.parametrize(
    ("mine", "other", "value", "has"),
    [(SITE, "80 proxy_protocol", "False", "with"), (PROXIED, "80", "True", "without")],
)
def test_a_site_that_disagrees_about_the_proxy_protocol_of_a_port_is_refused(
    folder: Path, mine: str, other: str, value: str, has: str
) -> None:
    path = put(folder, f"server {{ listen {other}; listen 8080; server_name other.test; }}")
    (reason,) = conflicts(folder, mine, reject=False)
    assert reason.startswith(
        f"flask_blog_proxy_protocol: {value}: {path} has port 80 {has} the PROXY protocol, and nginx has it for all"
    )
    assert f"(rm {path})" in reason


@pytest.mark.parametrize("listen", ["80 proxy_protocol", "[::]:80 default_server proxy_protocol"])
def test_sites_that_agree_about_it_are_no_conflict(folder: Path, listen: str) -> None:
    put(folder, f"server {{ listen {listen}; server_name other.test; }}")
    assert conflicts(folder, PROXIED, reject=False) == []


def test_the_proxy_protocol_of_another_port_or_address_is_no_conflict(folder: Path) -> None:
    put(folder, "server { listen 8080 proxy_protocol; listen 192.0.2.1:80 proxy_protocol; server_name other.test; }")
    assert conflicts(folder, SITE, reject=False) == []


def test_a_file_of_unknown_hosts_that_an_earlier_run_left_is_found_as_well(folder: Path) -> None:
    (folder / "conf.d" / "unknown-hosts-80.conf").write_text(UNKNOWN.replace("default", "proxy_protocol default"))
    (reason,) = conflicts(folder, SITE, reject=False)
    assert reason.startswith(
        f"flask_blog_proxy_protocol: False: {folder}/conf.d/unknown-hosts-80.conf has port 80 with"
    )


DEBIANS = "server {\n    listen 80 default_server;\n    listen [::]:80 default_server;\n    root /var/www/html;\n}\n"


@pytest.fixture
def default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Debian's own default site, as the package brings it."""
    file = folder / "sites-available" / "default"
    file.write_text(DEBIANS)
    checksum = hashlib.md5(DEBIANS.encode(), usedforsecurity=False).hexdigest()
    (folder / "status").write_text(f"Package: nginx-common\nConffiles:\n {file} {checksum}\n")
    monkeypatch.setattr(host, "DPKG_STATUS", str(folder / "status"))
    (folder / "sites-enabled" / "default").symlink_to(file)
    return file


def test_debians_own_default_site_goes_and_is_no_conflict(folder: Path, default: Path) -> None:
    notes: list[str] = []
    assert conflicts(folder, notes=notes) == []
    assert notes == []


def test_a_default_site_that_somebody_changed_is_kept_and_named(folder: Path, default: Path) -> None:
    default.write_text("server { listen 80; server_name precious.test; }")
    notes: list[str] = []
    assert conflicts(folder, notes=notes) == []
    (note,) = notes
    assert note.startswith(f"{folder}/sites-enabled/default is not the unchanged default site")
    (folder / "sites-available" / "blog.conf").write_text(SITE)
    notes.clear()
    assert conflicts(folder, notes=notes) == []
    assert notes == [], "it is said once"


def test_a_changed_default_site_that_is_the_default_server_is_refused(folder: Path, default: Path) -> None:
    default.write_text(f"# mine\n{DEBIANS}")
    (reason,) = conflicts(folder)
    assert reason.startswith(f"flask_blog_reject_unknown_hosts: {folder}/sites-enabled/default is the default server")


# -- addresses of other sites ------------------------------------------------------------------------------------------

ROUTES = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
           |-- 127.0.0.1
              /32 host LOCAL
           |-- 192.0.2.0
              /24 link UNICAST
           |-- 192.0.2.7
              /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
"""
SECOND = "           |-- 198.51.100.1\n              /32 host LOCAL\n"


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The routing table of a host with one address, 192.0.2.7."""
    path = tmp_path / "fib_trie"
    path.write_text(ROUTES)
    monkeypatch.setattr(addresses, "ROUTES", str(path))
    return path


def test_a_site_that_has_the_hosts_address_for_itself_is_refused(folder: Path, routes: Path) -> None:
    """It would answer the blog's visitors, whatever name they ask for."""
    path = put(folder, "server { listen 192.0.2.7:80; server_name other.test; }")
    (reason,) = conflicts(folder)
    assert reason.startswith("flask_blog_http_port: 80: ")
    assert f"{path} listens on 192.0.2.7:80" in reason


def test_a_site_that_has_one_address_of_several_is_noted(folder: Path, routes: Path) -> None:
    routes.write_text(f"{ROUTES}{SECOND}")
    put(folder, "server { listen 192.0.2.7:80; server_name other.test; }")
    notes: list[str] = []
    assert conflicts(folder, notes=notes) == []
    (note,) = notes
    assert "listens on 192.0.2.7:80" in note
    assert note.endswith("Leave it if visitors reach the blog at another address of the host.")


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:80", "192.0.2.7:8080", "203.0.113.9:80", "*:80", "[::1]:80", "unix:/run/a"]
)
def test_another_port_or_an_address_that_nobody_else_reaches_is_no_conflict(
    folder: Path, routes: Path, listen: str
) -> None:
    put(folder, f"server {{ listen {listen}; server_name other.test; }}")
    notes: list[str] = []
    assert conflicts(folder, notes=notes) == notes == []


def test_a_kernel_that_shows_no_addresses_refuses_nothing(folder: Path, routes: Path) -> None:
    routes.unlink()
    put(folder, "server { listen 192.0.2.7:80; server_name other.test; }")
    assert conflicts(folder) == []
