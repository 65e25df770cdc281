"""What nginx is told: who a request is from, what is served from disk, and who gets no answer."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SITE = "/etc/nginx/sites-available/flask-blog.conf"

VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "two names": {"server_names": ["blog.example.com", "www.example.com"]},
    "trusted proxies": {
        "server_names": ["blog.example.com", "www.example.com"],
        "trusted_proxies": ["192.0.2.0/24", "2001:db8::/32"],
    },
    "no IPv6": {"ipv6": False},
    "another port": {"http_port": 8080},
    "nothing served from disk": {"static": {}, "writable_paths": ["uploads"]},
    "several folders": {
        "static": {"/static/": "static/", "/assets.v1/": "web/dist/", "/static/media/": "media/"},
        "writable_paths": ["media"],
    },
    "an app below the top": {"app_dir": "web", "bind": "[::1]:9000"},
    "a Unix socket": {"bind": "unix"},
    "no limit of connections": {"client_connections": 0},
}
WITH_STATIC = [name for name in VARIANTS if name != "nothing served from disk"]

#: By which a request can say who it is from, over what it came, or which server it wants.
FORWARDED = {
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "Forwarded",
    "Front-End-Https",
    "Remote-User",
    "True-Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Flask-Blog-Probe",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Host",
    "X-Original-Url",
    "X-Rewrite-Url",
    "X-Url-Scheme",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Ssl",
    "X-Real-IP",
    "X-Scheme",
    "X-Script-Name",
    "Proxy",
    "Host",
}


@dataclass
class Directive:
    """One directive of nginx's configuration: its name, its arguments, and what is in its block."""

    name: str
    arguments: list[str]
    block: list[Directive] = field(default_factory=list)

    def all(self, name: str) -> list[Directive]:
        """The directives of its block with a name."""
        return [directive for directive in self.block if directive.name == name]

    def one(self, name: str) -> list[str]:
        """The arguments of the only directive of its block with a name."""
        (found,) = self.all(name)
        return found.arguments


TOKEN = re.compile(r"""#[^\n]*|"((?:[^"\\]|\\.)*)"|'([^']*)'|([{};])|([^\s{};"']+)""")


def parse(text: str) -> Directive:
    """Parse nginx's configuration, as far as the role writes it."""
    tokens: Iterator[tuple[str, bool]] = (
        (match[1] or match[2] or "", True) if match[0][0] in "\"'" else (match[3] or match[4], False)
        for match in TOKEN.finditer(text)
        if not match[0].startswith("#")
    )
    top = Directive("", [])
    open_blocks, words = [top], list[str]()
    for token, quoted in tokens:
        if quoted or token not in "{};":
            words.append(token)
        elif token == "}":
            open_blocks.pop()
        else:
            directive = Directive(words[0], words[1:])
            open_blocks[-1].block.append(directive)
            if token == "{":
                open_blocks.append(directive)
            words = []
    assert open_blocks == [top], "a block is not closed"
    assert words == [], "a directive is not ended"
    return top


Config = Callable[[str], Directive]


@pytest.fixture
def config(render: Any) -> Config:
    """The parsed configuration of the site for one of the variants."""
    return lambda variant: parse(render(**VARIANTS[variant]).text(SITE))


def site_server(top: Directive) -> Directive:
    return top.all("server")[-1]


def locations(top: Directive) -> dict[str, Directive]:
    return {location.arguments[-1]: location for location in site_server(top).all("location")}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_forwarding_header_is_overwritten_or_emptied(config: Config, variant: str) -> None:
    proxied = locations(config(variant))["/"]
    sent = {header.arguments[0]: header.arguments[1] for header in proxied.all("proxy_set_header")}
    assert sent.keys() >= FORWARDED
    for header in FORWARDED:
        assert "$http_" not in sent[header], f"{header} repeats what the client sent"
        assert "$proxy_add" not in sent[header], f"{header} appends to what the client sent"
    assert sent["X-Forwarded-For"] == sent["X-Real-IP"] == "$remote_addr"
    assert sent["X-Forwarded-Host"] == sent["Host"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_location_adds_headers_of_the_app_elsewhere(config: Config, variant: str) -> None:
    """proxy_set_header in a block drops those of the blocks around it; so each block that asks the app has them all."""
    found = config(variant)
    assert not site_server(found).all("proxy_set_header")
    asking = {name: location for name, location in locations(found).items() if location.all("proxy_pass")}
    assert asking.keys() >= ({"/", "@static", "@written"} if variant in WITH_STATIC else {"/"})
    assert (variant in WITH_STATIC) == (len(asking) > 1)
    own = ("internal", "rewrite", "proxy_hide_header", "add_header")
    for name in asking.keys() - {"/"}:
        assert asking["/"].block == [one for one in asking[name].block if one.name not in own]


@pytest.mark.parametrize("variant", VARIANTS)
def test_nginx_shows_gunicorn_their_key_and_repeats_no_visitors(config: Config, render: Any, variant: str) -> None:
    proxied = locations(config(variant))["/"]
    assert proxied.one("include") == ["/etc/flask-blog/proxy-key.conf"]
    assert "X-Flask-Blog-Key" not in {header.arguments[0] for header in proxied.all("proxy_set_header")}
    (key,) = [item for item in render().objects if item["path"] == "/etc/flask-blog/proxy-key.conf"]
    line = key["generated_line"].format(name=key["generated"][0], value="0" * 64)
    assert parse(line).one("proxy_set_header") == ["X-Flask-Blog-Key", "0" * 64]
    assert (key["reload"], key["secret"], key["mode"]) == (["app", "nginx"], True, "0640")


def test_the_port_is_part_of_what_the_app_believes_its_name_to_be(config: Config) -> None:
    sent = {
        header.arguments[0]: header.arguments[1]
        for header in locations(config("another port"))["/"].all("proxy_set_header")
    }
    assert sent["Host"] == "$host:8080"
    sent = {
        header.arguments[0]: header.arguments[1]
        for header in locations(config("defaults"))["/"].all("proxy_set_header")
    }
    assert sent["Host"] == "$host"


def test_nobody_is_trusted_by_default(config: Config) -> None:
    found = config("defaults")
    assert not site_server(found).all("set_real_ip_from")
    assert not site_server(found).all("real_ip_header")
    sent = {header.arguments[0]: header.arguments[1] for header in locations(found)["/"].all("proxy_set_header")}
    assert sent["X-Forwarded-Proto"] == "$scheme"


def test_only_named_proxies_say_who_the_client_is_and_how_it_came(config: Config) -> None:
    found = config("trusted proxies")
    server = site_server(found)
    assert [directive.arguments for directive in server.all("set_real_ip_from")] == [
        ["192.0.2.0/24"],
        ["2001:db8::/32"],
    ]
    assert server.one("real_ip_recursive") == ["on"]
    (geo,) = [one for one in found.all("geo") if "is_trusted" in one.arguments[-1]]
    # The address of the connection, not the one that the header has put in its place.
    assert geo.arguments == ["$realip_remote_addr", "$flask_blog_is_trusted"]
    assert [[item.name, *item.arguments] for item in geo.block] == [
        ["default", "0"],
        ["192.0.2.0/24", "1"],
        ["2001:db8::/32", "1"],
    ]
    choices = map_of(found, "$flask_blog_scheme")
    assert choices == {"default": "$scheme", "1:http": "http", "1:https": "https"}
    assert found.all("server")[0].one("return")[1].startswith("$flask_blog_scheme://")


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_alias_and_prefix_both_end_with_a_slash(config: Config, variant: str) -> None:
    """Without both, GET /static../secret.py is the app's code."""
    static = {name: location for name, location in locations(config(variant)).items() if location.all("alias")}
    assert static
    for name, location in static.items():
        assert location.arguments[0] == "^~"
        assert name.endswith("/")
        assert location.one("alias")[0].endswith("/")


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_hidden_files_are_not_served(config: Config, variant: str) -> None:
    for name, location in locations(config(variant)).items():
        # Old assets are reached from such a location alone, which has refused hidden files by then.
        if location.all("alias") and not location.all("internal"):
            (hidden,) = location.all("location")
            assert hidden.arguments[0] == "~"
            assert re.search(hidden.arguments[1], f"{name}.git/config")
            assert not re.search(hidden.arguments[1], f"{name}css/blog.css")
            assert hidden.one("return") == ["404"]


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_what_the_app_writes_is_never_a_page_with_scripts_of_this_site(config: Config, variant: str) -> None:
    written = 0
    for location in locations(config(variant)).values():
        if not location.all("alias"):
            continue
        headers = {header.arguments[0]: header.arguments for header in location.all("add_header")}
        for name, header in headers.items():
            # A browser must not keep that a file is missing; that it guesses no type holds for an error as well.
            assert (header[-1] == "always") == (name != "Cache-Control")
        if location.one("alias")[0].startswith("/var/lib/"):
            written += 1
            assert headers["Content-Security-Policy"][1] == "$flask_blog_upload_policy"
            assert headers["X-Content-Type-Options"][1] == "nosniff"
            assert location.one("error_page") == ["403", "404", "405", "=", "@written"]
    assert written == 1
    # The app serves what nginx may not read, and the policy stays.
    answered = locations(config(variant))["@written"].all("add_header")
    assert [header.arguments for header in answered] == [
        ["Content-Security-Policy", "$flask_blog_upload_policy", "always"],
        ["X-Content-Type-Options", "nosniff", "always"],
    ]


def rewritten(location: Directive, uri: str) -> str:
    """What a location makes of a URI."""
    for rewrite in location.all("rewrite"):
        pattern, replacement, end = rewrite.arguments
        assert end == "break"
        uri = re.sub(pattern, replacement.replace("$1", r"\1"), uri)
    return uri


def map_of(top: Directive, name: str) -> dict[str, str]:
    """The choices of a map, as nginx's regular expressions or as they stand."""
    (found,) = [one for one in top.all("map") if one.arguments[-1] == name]
    return {choice.name: choice.arguments[0] for choice in found.block}


def chosen(choices: dict[str, str], value: str) -> str:
    """What nginx chooses from a map with regular expressions alone."""
    patterns = {name.removeprefix("~"): text for name, text in choices.items() if name.startswith("~")}
    return next((text for name, text in patterns.items() if re.search(name, value)), choices["default"])


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/x-application/pdf", ""])
def test_every_upload_but_a_pdf_is_shown_in_a_sandbox(config: Config, kind: str) -> None:
    policies = map_of(config("defaults"), "$flask_blog_upload_policy")
    assert chosen(policies, kind) == "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@pytest.mark.parametrize("kind", ["application/pdf", "application/pdf; charset=utf-8"])
def test_a_pdf_is_shown_and_loads_nothing(config: Config, kind: str) -> None:
    policies = map_of(config("defaults"), "$flask_blog_upload_policy")
    assert chosen(policies, kind) == "default-src 'none'; style-src 'unsafe-inline'"


LONG = "604800s"
HASHED = ["style.3f2a1b9c.css", "app-3f2a1b9c4d.min.js", "3f2a1b9cdeadbeef.png", "a/b_0123abcd.woff2?x=1"]
VERSIONED = ["style.css?v=2", "style.css?a=b&version=1.0", "style.css?h=x", "style.css?5d41402abc4b2a76"]
PLAIN = ["style.css", "style.css?page=2", "style.css?v=", "photo-20240101.jpg", "bootstrap-accordeon.js", "facade.css"]
PLAIN += ["3f2a1b9c", "3f2a1b9c/style.css", "style-3f2a1b9.css", "style.css?cv=1"]


@pytest.mark.parametrize(
    ("url", "expected"), [*((url, LONG) for url in HASHED + VERSIONED), *((url, "-1") for url in PLAIN)]
)
def test_only_a_url_that_names_one_content_is_kept_without_asking(config: Config, url: str, expected: str) -> None:
    top = config("defaults")
    assert chosen(map_of(top, "$flask_blog_expires"), f"/static/{url}") == expected
    assert map_of(top, "$flask_blog_public") == {"default": "public", "-1": ""}
    for location in locations(top).values():
        if location.all("disable_symlinks"):
            assert location.one("expires") == ["$flask_blog_expires"]
            assert ["Cache-Control", "$flask_blog_public"] in [one.arguments for one in location.all("add_header")]


@pytest.mark.parametrize("off", [False, "false"])
def test_every_file_is_kept_as_long_as_in_the_article_where_wanted(render: Any, off: bool | str) -> None:
    top = parse(render(static_revalidate=off).text(SITE))
    assert not [one for one in top.all("map") if one.arguments[-1] != "$flask_blog_upload_policy"]
    for location in locations(top).values():
        if location.all("disable_symlinks"):
            assert location.one("expires") == ["604800s"]
            assert ["Cache-Control", "public"] in [one.arguments for one in location.all("add_header")]


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_a_file_that_nginx_does_not_find_is_the_apps_to_serve(config: Config, variant: str) -> None:
    found = locations(config(variant))
    for location in found.values():
        if not location.all("disable_symlinks"):
            continue
        last = [page.arguments for page in location.all("error_page")]
        if last[0] == ["404", "=", found_name(found, location)]:
            last = last[1:] + [page.arguments for page in found[last[0][-1]].all("error_page")]
        assert {status for page in last for status in page[:-2]} >= {"403", "404", "405"}
        for page in last:
            assert found[page[-1]].one("proxy_pass") == ["http://flask-blog"]
        assert location.one("log_not_found") == ["off"]


def found_name(found: dict[str, Directive], location: Directive) -> str:
    """The name of the location to which a file that is missing in a location leads."""
    pages = {page.arguments[0]: page.arguments[-1] for page in location.all("error_page")}
    return pages["404"] if pages.get("404", "").startswith("@previous") and pages["404"] in found else ""


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_nginx_follows_no_link_in_what_it_serves(config: Config, variant: str) -> None:
    served = [location for location in locations(config(variant)).values() if location.all("alias")]
    assert served
    for location in served:
        assert location.one("disable_symlinks") == ["on", f"from={location.one('alias')[0]}"]
    for name, location in locations(config(variant)).items():
        if name.startswith("@previous"):
            assert location.one("disable_symlinks") == ["on", f"from={location.one('root')[0]}/"]


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_a_link_of_a_release_is_the_apps_to_serve_and_a_hidden_file_nobodys(config: Config, variant: str) -> None:
    found = 0
    for location in locations(config(variant)).values():
        if location.all("alias") and location.one("alias")[0].startswith("/var/www/"):
            found += 1
            pages = {page.arguments[0]: page.arguments[1:] for page in location.all("error_page")}
            assert pages.pop("404")[1].startswith("@previous_")
            assert pages == {"403": ["405", "500", "=", "@static"]}
            assert location.one("recursive_error_pages") == ["on"]
            previous = locations(config(variant))[location.all("error_page")[0].arguments[-1]]
            assert previous.one("root") == ["/opt/flask-blog/assets/all"]
            prefix, folder = location.arguments[-1], location.one("alias")[0].removeprefix("/var/www/flask-blog")
            *statuses, _, app = previous.one("error_page")
            assert statuses == ["403", "404", "405"]
            # Earlier assets lie by their folder; the app is asked for the visitor's URI.
            assert rewritten(previous, f"{prefix}a b.css") == f"{folder}a b.css"
            assert rewritten(locations(config(variant))[app], f"{folder}a b.css") == f"{prefix}a b.css"
            (hidden,) = location.all("location")
            # It has error pages of its own, so it inherits none.
            assert [page.arguments for page in hidden.all("error_page")] == [["404", "@nothing"]]
    assert found


TIMEOUTS = ("client_header_timeout", "client_body_timeout", "send_timeout", "keepalive_timeout")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_connection_that_has_named_no_host_has_the_timeouts_of_the_sites(
    config: Config, render: Any, variant: str
) -> None:
    """Until then it belongs to the default server, with nginx's 60 s for its headers."""
    port = VARIANTS[variant].get("http_port", 80)
    (unknown,) = parse(render(**VARIANTS[variant]).text(f"/etc/nginx/conf.d/unknown-hosts-{port}.conf")).all("server")
    for server in [unknown, *config(variant).all("server")]:
        assert server.one("client_header_timeout") == ["15s"]
        assert [server.one(name) for name in TIMEOUTS] == [unknown.one(name) for name in TIMEOUTS]


def test_one_client_has_as_many_requests_under_way_as_it_may(config: Config, render: Any) -> None:
    found = config("defaults")
    assert found.one("limit_conn_zone") == ["$binary_remote_addr", "zone=flask_blog_clients:1m"]
    assert site_server(found).one("limit_conn") == ["flask_blog_clients", "100"]
    assert site_server(found).one("limit_conn_status") == ["429"]
    assert site_server(parse(render(client_connections=7).text(SITE))).one("limit_conn")[1] == "7"
    assert "limit_conn" not in render(**VARIANTS["no limit of connections"]).text(SITE)


def test_every_header_that_is_removed_is_removed_once(render: Any) -> None:
    headers = [name.lower() for name in render().variables["__flask_blog_forwarding_headers"]]
    assert headers == sorted(set(headers))


def test_static_files_of_the_release_come_from_the_live_link(config: Config) -> None:
    assert locations(config("defaults"))["/static/"].one("alias") == ["/var/www/flask-blog/static/"]
    assert locations(config("an app below the top"))["/static/"].one("alias") == ["/var/www/flask-blog/static/"]


def test_a_blog_may_serve_everything_itself(config: Config) -> None:
    found = locations(config("nothing served from disk"))
    assert [name for name in found if not name.startswith("@")] == ["/"]
    assert "@static" not in found


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_site_answers_to_its_own_names_alone(config: Config, render: Any, variant: str) -> None:
    for server in config(variant).all("server"):
        assert server.one("server_name") != ["_"]
        for listen in server.all("listen"):
            assert "default_server" not in listen.arguments
    port = VARIANTS[variant].get("http_port", 80)
    (unknown,) = parse(render(**VARIANTS[variant]).text(f"/etc/nginx/conf.d/unknown-hosts-{port}.conf")).all("server")
    assert unknown.one("return") == ["444"]
    for listen in unknown.all("listen"):
        assert listen.arguments == [listen.arguments[0], "default_server"]
    assert {listen.arguments[0] for listen in unknown.all("listen")} == {
        listen.arguments[0] for listen in site_server(config(variant)).all("listen")
    }


def test_another_sites_default_server_is_left_alone_where_wanted(render: Any) -> None:
    assert not render(reject_unknown_hosts=False).has("/etc/nginx/conf.d/unknown-hosts-80.conf")


def test_other_names_lead_to_the_canonical_one(config: Config) -> None:
    other, canonical = config("two names").all("server")
    assert other.one("server_name") == ["www.example.com"]
    assert other.one("return") == ["301", "$scheme://blog.example.com$request_uri"]
    assert canonical.one("server_name") == ["blog.example.com"]
    assert len(config("defaults").all("server")) == 1


def test_the_maintenance_page_is_one_that_nginx_takes(config: Config, role: Path) -> None:
    """It stands between single quotes; nginx would read a variable into it, and cuts no word longer than 4 KiB."""
    location = locations(config("defaults"))["@maintenance"]
    status, page = location.one("return")
    assert status == "503"
    template = role / "templates" / "etc" / "nginx" / "sites-available" / "parts" / "maintenance.html"
    assert page.strip() == template.read_text().strip()
    assert "$" not in page
    assert len(page) < 4000
    assert location.all("types")[0].block == [], "or a path's ending would decide what it is"


def test_only_listed_networks_see_the_site_under_maintenance(render: Any) -> None:
    text = render(maintenance_allow=["192.0.2.0/24", "2001:db8::/32"]).text(SITE)
    (geo,) = [one for one in parse(text).all("geo") if one.arguments[0].endswith("is_closed_for")]
    assert [(one.name, one.arguments) for one in geo.block] == [
        ("default", ["1"]),
        ("127.0.0.1", ["0"]),
        ("::1", ["0"]),
        ("192.0.2.0/24", ["0"]),
        ("2001:db8::/32", ["0"]),
    ]


def test_without_ipv6_nothing_listens_on_it(config: Config) -> None:
    listens = {listen.arguments[0] for listen in site_server(config("no IPv6")).all("listen")}
    assert listens == {"80"}
    listens = {listen.arguments[0] for listen in site_server(config("defaults")).all("listen")}
    assert listens == {"80", "[::]:80"}


def test_the_app_is_asked_where_it_listens(config: Config) -> None:
    (upstream,) = config("an app below the top").all("upstream")
    assert upstream.one("server") == ["[::1]:9000"]
    (upstream,) = config("a Unix socket").all("upstream")
    assert upstream.one("server") == ["unix:/run/flask-blog-hosting/flask-blog.sock"]
    assert locations(config("an app below the top"))["/"].one("proxy_pass") == ["http://flask-blog"]


def test_limits_are_the_users_own(render: Any) -> None:
    own = {"client_max_body_size": "64m", "proxy_read_timeout": 120, "static_max_age": 60}
    top = parse(render(**own, static_revalidate=False).text(SITE))
    assert site_server(top).one("client_max_body_size") == ["64m"]
    assert locations(top)["/"].one("proxy_read_timeout") == ["120s"]
    assert locations(top)["/static/"].one("expires") == ["60s"]
    assert chosen(map_of(parse(render(**own).text(SITE)), "$flask_blog_expires"), "/static/a.css?v=1") == "60s"


def test_two_blogs_of_a_host_share_no_name(render: Any) -> None:
    one = render(name="one", server_names=["one.test"], trusted_proxies=["192.0.2.0/24"])
    two = render(name="two", server_names=["two.test"], trusted_proxies=["192.0.2.0/24"])
    shared = {item["path"] for item in one.objects} & {item["path"] for item in two.objects}
    assert {path for path in shared if not path.startswith("/usr/local/")} == {
        "/etc/nginx/conf.d/unknown-hosts-80.conf",
        "/etc/nginx/nginx.conf",
        "/etc/nginx/sites-enabled/default",
        "/etc/tmpfiles.d/flask-blog-hosting.conf",
        "/run/flask-blog-hosting",
        "/var/cache/flask-blog-hosting",
    }
    kinds = ("geo", "map", "upstream", "limit_conn_zone")
    made = [
        {directive.arguments[-1] for kind in kinds for directive in parse(text).all(kind)}
        for text in (
            one.text("/etc/nginx/sites-available/one.conf"),
            two.text("/etc/nginx/sites-available/two.conf"),
        )
    ]
    assert not made[0] & made[1]


WHOLE = """\
user www-data;
worker_rlimit_nofile 2048;
events {{ worker_connections 768; }}
http {{
    include {folder}/sites-enabled/*.conf;
}}
"""


def test_gixy_finds_nothing_to_object_to(render: Any, tmp_path: Path) -> None:
    """gixy-ng knows the mistakes that C(nginx -t) accepts; its list of CVEs knows nothing of Debian's fixes."""
    sites = {}
    for number, variables in enumerate(VARIANTS.values()):
        name = f"blog-{number}"
        rendered = render(name=name, **variables)
        sites[name] = rendered.text(f"/etc/nginx/sites-available/{name}.conf")
        port = variables.get("http_port", 80)
        sites[f"unknown-{port}"] = render(http_port=port).text(f"/etc/nginx/conf.d/unknown-hosts-{port}.conf")
    found = run_gixy(tmp_path, sites)
    assert found.returncode == 0, found.stdout


def test_gixy_would_find_a_missing_slash(render: Any, tmp_path: Path) -> None:
    text = render().text(SITE).replace("location ^~ /static/ {", "location ^~ /static {")
    found = run_gixy(tmp_path, {"flask-blog": text})
    assert found.returncode != 0
    assert "alias_traversal" in found.stdout


def run_gixy(folder: Path, sites: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    (folder / "sites-enabled").mkdir()
    (folder / "nginx.conf").write_text(WHOLE.format(folder=folder))
    for name, text in sites.items():
        (folder / "sites-enabled" / f"{name}.conf").write_text(text)
    return subprocess.run(
        ["gixy", "--format", "text", "--skips", "nginx_cves", str(folder / "nginx.conf")],
        capture_output=True,
        text=True,
        check=False,
    )
