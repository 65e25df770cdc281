"""What nginx serves on a host beside the site: names and default servers that two sites cannot both have."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import addresses, host, names, nginx

MAIN = "events {}\nhttp {\n    include conf.d/*.conf;\n    include sites-enabled/*;\n}\n"
SITE = "server {\n    listen 80;\n    listen [::]:80;\n    server_name blog.test www.blog.test;\n}\n"
UNKNOWN = "server {\n    listen 80 default_server;\n    listen [::]:80 default_server;\n    server_name _;\n}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with nginx and without a site."""
    folder = tmp_path / "nginx"
    for name in ("conf.d", "sites-available", "sites-enabled"):
        (folder / name).mkdir(parents=True)
    (folder / "nginx.conf").write_text(MAIN)
    monkeypatch.setattr(nginx, "NGINX", str(folder))
    monkeypatch.setattr(names, "CONFIGURATION", str(tmp_path / "etc"))
    return folder


def conflicts(folder: Path, content: str = SITE, reject: bool = True, notes: list[str] | None = None) -> list[str]:
    """The reasons against a blog's site on this host."""
    objects = [
        {"kind": "file", "path": f"{folder}/sites-available/blog.conf", "content": content},
        {"kind": "file", "path": f"{folder.parent}/etc/blog/environment", "content": "A=server { listen 80; }"},
        {
            "kind": "absent",
            "path": f"{folder}/sites-enabled/default",
            "conffile": f"{folder}/sites-available/default",
        },
    ]
    if reject:
        objects.append({"kind": "file", "path": f"{folder}/conf.d/unknown-hosts-80.conf", "content": UNKNOWN})
    return nginx.conflicts(objects, [] if notes is None else notes)


def put(folder: Path, text: str, name: str = "other.conf") -> Path:
    path = folder / "sites-enabled" / name
    path.write_text(text)
    return path


def test_a_host_without_other_sites_and_without_nginx_has_no_conflict(folder: Path) -> None:
    assert conflicts(folder) == []
    (folder / "nginx.conf").unlink()
    assert conflicts(folder) == []


def test_the_sites_own_files_are_no_conflict(folder: Path) -> None:
    (folder / "sites-available" / "blog.conf").write_text(SITE)
    (folder / "sites-enabled" / "blog.conf").symlink_to(folder / "sites-available" / "blog.conf")
    (folder / "conf.d" / "unknown-hosts-80.conf").write_text(UNKNOWN)
    assert conflicts(folder) == []
    assert conflicts(folder, reject=False) == []


SECURED = "server { listen 443 ssl; server_name blog.test; }"


@pytest.mark.parametrize(("before", "after"), [("http", "https"), ("https", "http"), ("http", "http")])
def test_a_site_that_links_lead_to_is_no_conflict_with_itself_and_one_with_others(
    folder: Path, before: str, after: str
) -> None:
    """Of two schemes, the host may have one, and the run want the other."""
    etc = folder.parent / "etc" / "blog"
    texts = {"http": SITE, "https": SECURED}
    for name, text in texts.items():
        (etc / "schemes" / name).mkdir(parents=True)
        (etc / "schemes" / name / "site.conf").write_text(text)
    available = folder / "sites-available" / "blog.conf"
    (etc / "scheme").symlink_to(etc / "schemes" / before)
    available.symlink_to(etc / "scheme" / "site.conf")
    (folder / "sites-enabled" / "blog.conf").symlink_to(available)
    objects = [
        *({"kind": "file", "path": f"{etc}/schemes/{name}/site.conf", "content": text} for name, text in texts.items()),
        {"kind": "link", "path": f"{etc}/scheme", "target": f"{etc}/schemes/{after}"},
        {"kind": "link", "path": str(available), "target": f"{etc}/scheme/site.conf"},
        {"kind": "link", "path": f"{folder}/sites-enabled/blog.conf", "target": str(available)},
    ]
    assert nginx.conflicts(objects, []) == []
    port = 80 if after == "http" else 443
    put(folder, f"server {{ listen {port}; server_name blog.test; }}")
    (problem,) = nginx.conflicts(objects, [])
    assert f"serves this name on port {port}" in problem
    put(folder, f"server {{ listen {523 - port}; server_name blog.test; }}")
    assert nginx.conflicts(objects, []) == []


@pytest.mark.parametrize(
    "server",
    [
        "listen 80; server_name blog.test;",
        "listen *:80;server_name a.test BLOG.test b.test;",
        "server_name 'blog.test';  # nginx listens on port 80 if nothing is said",
        'listen [::]:80 ipv6only=on; server_name "www.blog.test";',
        "listen 192.0.2.1:80; server_name blog.test;",
        "listen 192.0.2.1; server_name blog.test;",
        "listen 8080; listen 80; server_name .blog.test;",
        "server_name a.test; server_name blog.test; location / { return 200 '}'; }",
    ],
)
def test_a_name_that_another_site_has_on_the_port_is_refused_with_its_file(folder: Path, server: str) -> None:
    path = put(folder, f"# server_name x;\nserver {{ {server} }}\n")
    reasons = conflicts(folder)
    assert reasons
    for reason in reasons:
        assert reason.startswith("flask_blog_server_names: '")
        assert f"{path} serves this name on port 80" in reason
        assert reason.endswith("remove the name from that file, or the file, and reload nginx.")


@pytest.mark.parametrize(
    ("server", "conflict"),
    [
        (r"listen 80; server_name ~^[^.]+\.b-c\.test$;", True),
        ("listen 80; server_name *.B-c.test;", True),
        ("listen 80; server_name .b-c.test;", True),
        ("listen 80; server_name www.b-c.test;", False),
        ("listen 80; server_name *.test;", False),
        ("listen 8080; server_name *.b-c.test;", False),
    ],
)
def test_a_wildcard_that_another_site_has_is_refused(folder: Path, server: str, conflict: bool) -> None:
    mine = "server {\n    listen 80;\n    server_name ~^[^.]+\\.b\\-c\\.test$ blog.test;\n}\n"
    put(folder, f"server {{ {server}\n }}")
    assert [reason.partition(": /")[0] for reason in conflicts(folder, mine)] == [
        "flask_blog_server_names: '*.b-c.test'"
    ] * conflict


@pytest.mark.parametrize(
    "server",
    [
        "listen 80; server_name other.test;",
        "listen 8080; server_name blog.test;",
        "listen 443 ssl; server_name blog.test;",
        "listen unix:/run/x.sock; server_name blog.test;",
        "listen 80; server_name *.test blog.*;",
        "listen 80; server_name ~^blog\\.test$;",
        "listen 80; server_name _;",
        "listen 80; return 301 http://blog.test$request_uri;",
        "listen 80; # server_name blog.test;",
    ],
)
def test_another_port_and_a_pattern_are_no_conflict(folder: Path, server: str) -> None:
    """nginx prefers an exact name to a wildcard and to a regular expression."""
    put(folder, f"server {{ {server}\n }}")
    assert conflicts(folder) == []


def test_a_name_in_an_included_snippet_is_found(folder: Path) -> None:
    (folder / "names").write_text("server_name blog.test;")
    put(folder, "server { listen 80; include names; }")
    assert len(conflicts(folder)) == 1


def test_a_stream_on_the_port_and_a_site_that_nothing_includes_are_no_conflict(folder: Path) -> None:
    (folder / "sites-available" / "other").write_text("server { listen 80; server_name blog.test; }")
    (folder / "nginx.conf").write_text(f"{MAIN}stream {{ server {{ listen 80; server_name blog.test; }} }}\n")
    assert conflicts(folder) == []


def test_a_blog_under_its_former_name_is_named_with_what_to_do(folder: Path) -> None:
    path = put(folder, SITE, "old.conf")
    (folder.parent / "etc" / "old").mkdir(parents=True)
    settings = {"name": "old", "socket_unit": "old.socket", "service_unit": "old.service"}
    settings |= {"backup_timer": "old-backup.timer", "data": "/var/lib/old"}
    (folder.parent / "etc" / "old" / "site.json").write_text(json.dumps(settings))
    (reason, _) = conflicts(folder)
    assert "set flask_blog_name: old again" in reason
    assert f"systemctl disable --now old.socket old.service old-backup.timer; rm {path};" in reason
    assert "copy /var/lib/old to the controller" in reason
    assert "flask_blog_initial_data" in reason


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


def test_what_is_no_file_loops_or_has_no_end_is_passed_over(folder: Path, nothing_hangs: None) -> None:
    del nothing_hangs
    os.mkfifo(folder / "sites-enabled" / "fifo")
    (folder / "sites-enabled" / "folder").mkdir()
    (folder / "sites-enabled" / "gone").symlink_to("/nowhere")
    (folder / "sites-enabled" / "endless").symlink_to("/dev/zero")
    (folder / "sites-enabled" / "loop").write_text("include sites-enabled/loop; include sites-enabled/loop;")
    put(folder, "server { listen 80; server_name a.test ", "open")
    put(folder, "} } server { listen 80; server_name blog.test; }")
    assert len(conflicts(folder)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", ("", 80)),
        ("*:80", ("", 80)),
        ("0.0.0.0:81", ("", 81)),
        ("[::]:80", ("::", 80)),
        ("[::1]", ("::1", 80)),
        ("localhost:80", ("localhost", 80)),
        ("127.0.0.1", ("127.0.0.1", 80)),
        ("unix:/x", None),
    ],
)
def test_an_address_is_read_as_nginx_does(text: str, expected: Any) -> None:
    assert nginx.address(text) == expected


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


# -- what nginx refuses already ---------------------------------------------------------------------------------------


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """An nginx that refuses the host's configuration with this message, and accepts it without one."""

    def make(message: str) -> None:
        program = tmp_path / "nginx-program"
        program.write_text(f"#!/bin/sh\n[ \"$*\" = '-t -q' ] || exit 0\ncat <<'END' >&2\n{message}\nEND\n")
        with program.open("a") as text:
            text.write("exit 1\n" if message else "")
        program.chmod(0o755)
        monkeypatch.setattr(nginx, "PROGRAM", str(program))

    return make


def test_a_site_of_somebody_else_that_nginx_refuses_is_named(folder: Path, broken: Callable[[str], None]) -> None:
    broken(f'[emerg] 1#1: unknown directive "rot" in {folder}/sites-enabled/foo:4\nnginx: test failed')
    fault = nginx.fault_of_others([{"path": f"{folder}/sites-available/blog.conf"}])
    assert fault is not None
    assert f"{folder}/sites-enabled/foo:4" in fault
    assert "not because of this run" in fault


def test_a_fault_in_a_file_of_the_role_is_left_to_the_run_that_writes_it_anew(
    folder: Path, broken: Callable[[str], None]
) -> None:
    ours = folder / "sites-available" / "blog.conf"
    ours.write_text("by hand")
    (folder / "sites-enabled" / "blog.conf").symlink_to(ours)
    broken(f"[emerg] 1#1: unknown directive in {folder}/sites-enabled/blog.conf:1")
    assert nginx.fault_of_others([{"path": str(ours)}]) is None
    broken(f"[emerg] 1#1: a duplicate default server for 0.0.0.0:80 in {folder}/sites-enabled/default:22")
    assert nginx.fault_of_others([{"path": f"{folder}/sites-enabled/default"}]) is None
    broken("[emerg] 1#1: socket() [::]:80 failed (97: Address family not supported by protocol)")
    assert nginx.fault_of_others([]) is None, "a new setting may leave out IPv6"


def test_nginx_that_accepts_its_configuration_or_is_missing_has_no_fault(
    tmp_path: Path, broken: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken("")
    assert nginx.fault_of_others([]) is None
    monkeypatch.setattr(nginx, "PROGRAM", str(tmp_path / "none"))
    assert nginx.fault_of_others([]) is None
