"""Rules for the variables: each accepts a valid value, and refuses an invalid one with a remedy."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import acme, checks
from good_input import GOOD

#: A name server that takes updates (RFC 2136).
RFC2136 = {"provider": "rfc2136", "server": "192.0.2.53", "key_name": "blog.", "key": "c2VjcmV0LXNlY3JldA=="}
ROUTE53 = {"provider": "route53", "access_key_id": "AKIAIOSFODNN7", "secret_access_key": "wJalrXUtnFEMI/K7MDENG"}
SERVICE_ACCOUNT = {
    "type": "service_account",
    "project_id": "p",
    "client_email": "a@b.test",
    "private_key": "-----BEGIN",
}

FINE = [
    ("acme_dns", RFC2136),
    ("acme_dns", {**RFC2136, "server": "2001:db8::53", "port": 5353, "algorithm": "hmac-sha512"}),
    ("acme_dns", {**RFC2136, "propagation_seconds": 5, "api_token": "", "credentials": {}}),
    ("acme_dns", {"provider": "cloudflare", "api_token": "0123456789abcdef_-"}),
    ("acme_dns", {"provider": "route53"}),
    ("acme_dns", ROUTE53),
    ("acme_dns", {"provider": "google", "credentials": SERVICE_ACCOUNT}),
    ("name", "b"),
    ("source_max_size", "1073741824"),
    ("source_max_file_size", "10K"),
    ("name", "blog2"),
    ("name", "a" * 32),
    ("name", "next-blog"),
    ("name", "data"),
    ("name", "build-a-boat"),
    ("name", "the-runners"),
    ("user", "www-data"),
    ("user", "_blog"),
    ("server_names", ["blog.example.com", "www.example.com"]),
    ("server_names", ["localhost"]),
    ("server_names", ["xn--bcher-kva.example"]),
    ("source", "../blog.tar.gz"),
    ("source", "C.git.d/blog"),
    ("source", "https://github.com/ada/blog"),
    ("source", "https://ada:token@git.test:8443/ada/blog.git"),
    ("source", "git://git.test/blog"),
    ("source", "file:///srv/git/blog.git"),
    ("source_checksum", f"sha256:{'0a' * 32}"),
    ("include", ["static/dist", "docs"]),
    ("app_dir", "src/blog"),
    ("app_dir", "./"),
    ("wsgi", "blog.web:create_app()"),
    ("wsgi", "blog:create_app('production', debug=False)"),
    ("wsgi", "blog:factory.app"),
    ("requirements", "requirements/production.txt"),
    ("databases", []),
    ("databases", ["data/blog.sqlite3"]),
    ("writable_paths", []),
    ("environment", {"_X1": None}),
    ("bind", "127.0.0.2:9000"),
    ("bind", "[::1]:8000"),
    ("memory_max", "100%"),
    ("memory_max", "62.5%"),
    ("memory_max", "512M"),
    ("memory_max", "1073741824"),
    ("memory_max", "infinity"),
    ("memory_high", "infinity"),
    ("memory_high", "45%"),
    ("memory_high", "1T"),
    ("tasks_max", 19),
    ("open_files", 256),
    ("log_rate", 0),
    ("rate_limit", 0),
    ("login_paths", []),
    ("login_paths", ["/", "/auth/log-in/", "/~ada/.login"]),
    ("client_max_body_sizes", {"/upload": "0", "/upload/big/": "2g", "/st": "1m"}),
    ("bind", "unix"),
    ("extra_packages", ["gunicorn<24", 'Pillow[extra] >= 10; python_version < "3.13"', "blog @ https://x.test/b.whl"]),
    ("wsgi", """blog:create_app("it's 100 %n", path='C:\\x', cost='$5')"""),
    ("client_connections", 0),
    ("maintenance_allow", ["192.0.2.7", "192.0.2.0/24", "2001:DB8::/32"]),
    ("static", {"/static/": "static/", "/media/": "static/uploads/"}),
    ("health_path", "/a'b\"c;d%20$e\\f"),
    ("http_port", 8080),
    ("static", {}),
    ("static", {"/static/": "static/", "/media/v1.0/": "media/"}),
    ("static_max_age", 0),
    ("client_max_body_size", "0"),
    ("client_max_body_size", "1G"),
    ("trusted_proxies", ["192.0.2.0/24", "2001:db8::/32", "10.0.0.1"]),
    ("trusted_proxies", ["cloudflare", "fastly", "10.0.0.0/8", "cloudfront"]),
    ("health_path", "/healthz?deep=1"),
    ("home_path", "/posts?page=1"),
    ("home_path", ""),
    ("backup_schedule", "*-*-* 03:00"),
    ("backup_schedule", "Mon..Fri 02:30:00 Europe/Berlin"),
    ("backup_keep", {"daily": 1}),
    ("backup_keep", {"last": 96, "hourly": 48, "daily": 7}),
]

#: variable, value, the value that the message names, a part of its rule
BAD = [
    ("name", "Blog", "Blog", "lower-case letters"),
    ("name", "my blog", "my blog", "lower-case letters"),
    ("name", "9blog", "9blog", "starts with a letter"),
    ("name", "blog-", "blog-", "lower-case letters"),
    ("name", "a" * 33, "a" * 33, "at most 32"),
    ("name", "", "", "lower-case letters"),
    ("name", "nginx", "nginx", "a service or account of the system"),
    ("name", "root", "root", "a service or account of the system"),
    *(
        ("name", name, name, "a service or account of the system")
        for name in ("dpkg", "apt", "ssl", "sudo", "ssh", "sshd", "cron", "disk", "docker", "shadow", "news", "lock")
    ),
    ("name", "flask-blog-hosting", "flask-blog-hosting", "a service or account of the system"),
    ("name", "systemd-homed", "systemd-homed", "a service or account of the system"),
    *(
        ("name", f"blog{suffix}", f"blog{suffix}", "another one could have this name")
        for suffix in (
            "-next",
            "-recovery",
            "-backup",
            "-command",
            "-rehearsal",
            "-build",
            "-data",
            "-hold",
            "-run",
            "-run-7",
        )
    ),
    ("name", "build-0123456789abcdef", "build-0123456789abcdef", "another one could have this name"),
    ("user", "root", "root", "a hole in the server"),
    ("user", "blog-build", "blog-build", "change what a blog's build account builds"),
    ("group", "build-0123456789abcdef", "build-0123456789abcdef", "change what a blog's build account builds"),
    ("user", "a user", "a user", "no valid name of an account"),
    ("group", "root", "root", "a hole in the server"),
    ("group", "Über", "Über", "no valid name of an account"),
    ("server_names", [], [], "a site needs a name"),
    ("server_names", ["https://blog.example.com"], "https://blog.example.com", "no host name"),
    ("server_names", ["blög.example.com"], "blög.example.com", "Write it as 'xn--blg-tna.example.com'"),
    ("server_names", ["blög.example.com/"], "blög.example.com/", "Write it as 'blog.example.com'"),
    ("server_names", ["blog.example.com:8080"], "blog.example.com:8080", "no host name"),
    ("server_names", ["-blog.example.com"], "-blog.example.com", "no host name"),
    ("server_names", ["blog..example.com"], "blog..example.com", "no host name"),
    ("server_names", ["blog.example.com; return 200"], "blog.example.com; return 200", "no host name"),
    ("server_names", ["a." * 127 + "aa"], "a." * 127 + "aa", "no host name"),
    ("server_names", ["a.example", "A.example"], ["a.example", "A.example"], "stands in it twice"),
    ("source", "http://git.test/blog", "http://git.test/blog", "lets anybody on the way change the code"),
    ("source", "git+ssh://host/blog", "git+ssh://host/blog", "no way to a repository"),
    ("source", "https://git.test/blog.zip", "https://git.test/blog.zip", "an archive is taken from the controller"),
    ("source", "https://git.test", "https://git.test", "no address of a repository"),
    ("source", "https://git.test/a b", "https://git.test/a b", "no address of a repository"),
    ("source", "https://me:hunter2@-x/blog", "https://-x/blog", "no address of a repository"),
    ("source", "file://host/blog", "file://host/blog", "no address of a repository"),
    ("source_checksum", "sha256:12", "sha256:12", "64 hexadecimal digits"),
    ("source_checksum", f"md5:{'0' * 64}", f"md5:{'0' * 64}", "64 hexadecimal digits"),
    ("version", "main", "main", "only a Git repository has one"),
    ("known_hosts", ["a b c"], ["a b c"], "only a Git repository has one"),
    ("deploy_key", "hunter2", "(hidden)", "flask_blog_source is none"),
    ("include", ["../dist"], "../dist", "stays inside it"),
    ("git_timeout", 0, 0, "at least 1"),
    ("source_max_size", "2 GB", "2 GB", "it is no size"),
    ("source_max_size", "0m", "0m", "it is no size"),
    ("source_max_file_size", "-1", "-1", "it is no size"),
    ("source_max_files", 0, 0, "at least 1"),
    ("wsgi", "app", "app", "module:callable"),
    ("wsgi", "app:app; rm -rf /", "app:app; rm -rf /", "module:callable"),
    ("wsgi", "blog/app:app", "blog/app:app", "module:callable"),
    ("wsgi", "app:create_app()\nUser=root", "app:create_app()\nUser=root", "module:callable"),
    ("bind", "0.0.0.0:8000", "0.0.0.0:8000", "the address is public"),
    ("bind", "[::]:8000", "[::]:8000", "the address is public"),
    ("bind", "192.0.2.1:8000", "192.0.2.1:8000", "the address is public"),
    ("bind", "localhost:8000", "localhost:8000", "no address:port"),
    ("bind", "8000", "8000", "no address:port"),
    ("bind", "::1:8000", "::1:8000", "no address:port"),
    ("bind", "[127.0.0.1]:8000", "[127.0.0.1]:8000", "no address:port"),
    ("bind", "[::1%lo]:8000", "[::1%lo]:8000", "no address:port"),
    ("bind", "127.0.0.1:8000\n", "127.0.0.1:8000\n", "from 1 to 65535"),
    ("bind", "127.0.0.1:٨٠٠٠", "127.0.0.1:٨٠٠٠", "from 1 to 65535"),
    ("bind", "127.0.0.1:08000", "127.0.0.1:08000", "from 1 to 65535"),
    ("bind", "unix:/tmp/x", "unix:/tmp/x", "no address:port"),
    ("extra_packages", ["--index-url=https://evil.test"], "--index-url=https://evil.test", "an option is none"),
    ("extra_packages", ["a\nb"], "a\nb", "an option is none"),
    ("extra_packages", [""], "", "an option is none"),
    ("wsgi", "app:create('\r')", "app:create('\r')", "gunicorn imports module:callable"),
    ("wsgi", "app:create('\0')", "app:create('\0')", "gunicorn imports module:callable"),
    ("release_commands", ["a\rb"], "a\rb", "one line"),
    ("release_commands", ["a\0b"], "a\0b", "one line"),
    ("workers", 1001, 1001, "at most 1000"),
    ("static_max_age", 10**12, 10**12, "at most"),
    ("proxy_read_timeout", 86401, 86401, "at most 86400"),
    ("client_connections", -1, -1, "at least 0"),
    ("maintenance_allow", ["all"], "all", "it is no network"),
    ("maintenance_allow", ["192.0.2.1/24"], "192.0.2.1/24", "it is no network"),
    ("maintenance_allow", ["fe80::1%eth0"], "fe80::1%eth0", "it is no network"),
    ("maintenance_allow", ["10.0.0.0/255.0.0.0"], "10.0.0.0/255.0.0.0", "it is no network"),
    ("maintenance_allow", ["10.0.0.0/08"], "10.0.0.0/08", "it is no network"),
    ("maintenance_allow", ["192.0.2.0/24 0; } evil"], "192.0.2.0/24 0; } evil", "it is no network"),
    ("maintenance_allow", ["192.0.2.0/24\n"], "192.0.2.0/24\n", "it is no network"),
    ("maintenance_allow", ["::/0"], "::/0", "everybody would see the site"),
    ("trusted_proxies", ["10.0.0.0/255.0.0.0"], "10.0.0.0/255.0.0.0", "it is no network"),
    ("server_names", ["~^.*$"], "~^.*$", "no host name"),
    ("server_names", ["_"], "_", "no host name"),
    ("server_names", [".example.com"], ".example.com", "no host name"),
    ("server_names", ["blog.example.com\n"], "blog.example.com\n", "no host name"),
    ("static", {"/-error-pages/x/": "static/"}, "/-error-pages/x/", "serves error pages there"),
    ("static", {"/../": "static/"}, "/../", "begins with a dot"),
    ("static", {"/.well-known/": "static/"}, "/.well-known/", "begins with a dot"),
    ("static", {"/a//b/": "static/"}, "/a//b/", "starts and ends with '/'"),
    ("static", {"/static/\n": "static/"}, "/static/\n", "starts and ends with '/'"),
    ("static", {"/s/": "static/", "/s/uploads/": "x/"}, "/s/uploads/", "'/s/' covers it already"),
    ("static", {"/files/": "venv/lib/"}, "venv/lib/", "must not be public"),
    ("static", {"/files/": "a/.git/"}, "a/.git/", "must not be public"),
    ("environment", {"FLASK_BLOG_HOST": "evil"}, "FLASK_BLOG_HOST", "the role's own"),
    ("generated_secrets", ["FLASK_BLOG_PROXY_KEY"], "FLASK_BLOG_PROXY_KEY", "the role's own"),
    ("client_max_body_size", "٨m", "٨m", "a number and k, m or g"),
    ("client_max_body_sizes", {"/": "9m"}, "/", "every page of the app. Set flask_blog_client_max_body_size."),
    ("client_max_body_sizes", {"upload": "9m"}, "upload", "begins with '/'"),
    ("client_max_body_sizes", {"/a//b": "9m"}, "/a//b", "no '//'"),
    ("client_max_body_sizes", {"/a/../b": "9m"}, "/a/../b", "or '/../'"),
    ("client_max_body_sizes", {"/a\n": "9m"}, "/a\n", "begins with '/'"),
    ("client_max_body_sizes", {"/a": "9 m"}, {"/a": "9 m"}, "a number and k, m or g"),
    ("client_max_body_sizes", {"/a": "9m", "/a/": "8m"}, ["/a", "/a/"], "twice"),
    ("client_max_body_sizes", {"/static": "9m"}, "/static", "nginx serves '/static/' itself"),
    ("client_max_body_sizes", {"/static/x/": "9m"}, "/static/x/", "nginx serves '/static/' itself"),
    ("client_max_body_sizes", {"/.well-known/acme-challenge/x": "9m"}, "/.well-known/acme-challenge/x", "itself"),
    ("websockets", ["/"], "/", "every page of the app. Name the path"),
    ("websockets", ["/chat"], ["/chat"], "flask_blog_workers is 2"),
    ("websockets", ["/chat"], ["/chat"], "Set flask_blog_workers: 1"),
    ("login_paths", ["login"], "login", "Write it as '/login'"),
    ("login_paths", ["/login?next=/"], "/login?next=/", "without a query"),
    ("login_paths", ["/lögin"], "/lögin", "letters of ASCII"),
    ("rate_limit", -1, -1, "at least 0"),
    ("login_rate", 100001, 100001, "at most 100000"),
    ("rate_burst", -1, -1, "at least 0"),
    ("login_burst", -1, -1, "at least 0"),
    ("client_max_body_size", "9999999999g", "9999999999g", "a number and k, m or g"),
    ("client_max_body_size", "8m\n", "8m\n", "a number and k, m or g"),
    ("health_path", "/\n", "/\n", "the path of a URL"),
    ("backup_schedule", "täglich", "täglich", "no systemd calendar expression"),
    ("backup_schedule", "100%", "100%", "no systemd calendar expression"),
    ("backup_schedule", "daily\n", "daily\n", "no systemd calendar expression"),
    ("backup_schedule", "never ", "never ", "no systemd calendar expression"),
    ("backup_keep", {"daily": 10**6}, {"daily": 10**6}, "at most"),
    ("user", "blog\n", "blog\n", "no valid name of an account"),
    ("group", "a%b", "a%b", "no valid name of an account"),
    ("bind", "127.0.0.1:0", "127.0.0.1:0", "from 1 to 65535"),
    ("bind", "127.0.0.1:65536", "127.0.0.1:65536", "from 1 to 65535"),
    ("bind", "127.0.0.1:http", "127.0.0.1:http", "from 1 to 65535"),
    ("https_port", 0, 0, "from 1 to 65535"),
    ("https_port", 8000, 8000, "gunicorn has this port"),
    ("tls", "provided", "provided", "it needs flask_blog_tls_certificate and flask_blog_tls_key"),
    ("server_names", ["*.example.com"], "*.example.com", "a wildcard names no host"),
    ("server_names", ["blog.test", "*.test"], "*.test", "it is no host name"),
    ("server_names", ["blog.test", "a.*.test"], "a.*.test", "it is no host name"),
    ("server_names", ["blog.test", "*.*.blog.test"], "*.*.blog.test", "it is no host name"),
    ("acme_directory", "http://ca.example.com/directory", "http://ca.example.com/directory", "https:// URL"),
    ("acme_directory", "https://ca.example.com/a b", "https://ca.example.com/a b", "https:// URL"),
    ("acme_ca_bundle", "ca.pem", "ca.pem", "absolute path"),
    ("acme_email", "ada", "ada", "no mail address"),
    ("acme_profile", "a profile", "a profile", "a word of letters"),
    ("hsts_max_age", -1, -1, "at least 0"),
    ("hsts_preload", True, True, "with all names below it"),
    ("content_security_policy", "$host", "$host", "one line of ASCII"),
    ("security_headers", {"A B": ""}, {"A B": ""}, "letters, digits and hyphens"),
    ("error_pages", "/srv", "/srv", "stays inside it"),
    ("basic_auth", {"ada": "short"}, {"ada": "(hidden)"}, "12 to 256 characters"),
    ("nginx_snippets", {"main": "x"}, "main", "no such place"),
    ("http_port", 0, 0, "from 1 to 65535"),
    ("http_port", 70000, 70000, "from 1 to 65535"),
    ("http_port", 8000, 8000, "gunicorn has this port"),
    ("workers", 0, 0, "at least 1"),
    ("threads", -1, -1, "at least 1"),
    ("proxy_read_timeout", 0, 0, "at least 1"),
    ("static_max_age", -1, -1, "at least 0"),
    ("activation_timeout", 0, 0, "at least 1"),
    ("command_timeout", 0, 0, "at least 1"),
    ("keep_releases", 0, 0, "at least 1"),
    ("memory_max", "0%", "0%", "at most 100 %"),
    ("memory_max", "101%", "101%", "at most 100 %"),
    ("memory_max", "512m", "512m", "K, M, G or T"),
    ("memory_max", "512 MB", "512 MB", "K, M, G or T"),
    ("memory_max", "-1", "-1", "K, M, G or T"),
    ("memory_max", "", "", "K, M, G or T"),
    ("memory_max", "1G\nUser=root", "1G\nUser=root", "K, M, G or T"),
    ("memory_max", "512", "512", "less than 32M"),
    ("memory_high", "half", "half", "K, M, G or T"),
    ("memory_high", "46%", "46%", "more than flask_blog_memory_max"),
    ("tasks_max", 18, 18, "gunicorn alone has 11"),
    ("tasks_max", -1, -1, "gunicorn alone has 11"),
    ("open_files", 255, 255, "does not start with less"),
    ("open_files", 524289, 524289, "systemd grants at most"),
    ("log_rate", -1, -1, "not negative"),
    ("release_commands", ["a\nb"], "a\nb", "one line"),
    ("after_release_commands", [" "], " ", "one line"),
    ("app_dir", "/srv/blog", "/srv/blog", "stays inside it"),
    ("app_dir", "../blog", "../blog", "stays inside it"),
    ("app_dir", "my blog", "my blog", "are taken in paths"),
    ("requirements", "/etc/passwd", "/etc/passwd", "stays inside it"),
    ("requirements", "a/../../b.txt", "a/../../b.txt", "stays inside it"),
    ("databases", ["/var/lib/blog.db"], "/var/lib/blog.db", "stays inside it"),
    ("databases", [""], "", "stays inside it"),
    ("databases", ["static/blog.db"], "static/blog.db", "serves to everybody"),
    ("databases", ["blog$.db"], "blog$.db", "are taken in paths"),
    ("writable_paths", ["."], ".", "stays inside it"),
    ("writable_paths", ["~/uploads"], "~/uploads", "stays inside it"),
    ("writable_paths", ["a%b"], "a%b", "are taken in paths"),
    ("static", {"static/": "static/"}, "static/", "starts and ends with '/'"),
    ("static", {"/static": "static/"}, "/static", "starts and ends with '/'"),
    ("static", {"/": "static/"}, "/", "starts and ends with '/'"),
    ("static", {"/a b/": "static/"}, "/a b/", "starts and ends with '/'"),
    ("static", {"/static/": "static"}, "static", "without a slash at both ends"),
    ("static", {"/static/": "./"}, "./", "stays inside it"),
    ("static", {"/static/": "../static/"}, "../static/", "stays inside it"),
    ("static", {"/files/": "instance/"}, "instance/", "must not be public"),
    ("static", {"/venv/": "venv/"}, "venv/", "must not be public"),
    ("environment", {"SITE NAME": "x"}, "SITE NAME", "letters, digits and underscores"),
    ("environment", {"1ST": "x"}, "1ST", "letters, digits and underscores"),
    ("environment", {"LIST": ["a"]}, "LIST", "not lists or mappings"),
    ("environment", {"A": "a\0b"}, "A", "NUL"),
    ("secrets", {"MAP": {"a": 1}}, "MAP", "not lists or mappings"),
    ("secrets", {"SITE_NAME": "x"}, "SITE_NAME", "stands in flask_blog_environment as well"),
    ("rehearse", "perhaps", "perhaps", "it is true, start or false"),
    ("rehearsal_environment", {"DATABASE URL": "x"}, "DATABASE URL", "letters, digits and underscores"),
    ("generated_secrets", ["SECRET-KEY"], "SECRET-KEY", "letters, digits and underscores"),
    ("init_commands", ["  "], "  ", "one line"),
    ("init_commands", ["a\nb"], "a\nb", "one line"),
    ("health_path", "healthz", "healthz", "the path of a URL"),
    ("health_path", "/a b", "/a b", "the path of a URL"),
    ("home_path", "posts", "posts", "the path of a URL"),
    ("home_path", "/a\r\nHost: evil", "/a\r\nHost: evil", "the path of a URL"),
    ("health_path", "/a\r\nHost: evil", "/a\r\nHost: evil", "the path of a URL"),
    ("health_path", "/gesund/ü", "/gesund/ü", "the path of a URL"),
    ("client_max_body_size", "8 MB", "8 MB", "a number and k, m or g"),
    ("client_max_body_size", "8m; deny all", "8m; deny all", "a number and k, m or g"),
    ("trusted_proxies", ["everybody"], "everybody", "it is no network"),
    ("trusted_proxies", ["192.0.2.1/24"], "192.0.2.1/24", "it is no network"),
    ("trusted_proxies", ["0.0.0.0/0"], "0.0.0.0/0", "everybody's forwarded headers"),
    ("trusted_proxies", ["::/0"], "::/0", "everybody's forwarded headers"),
    ("trusted_proxies", ["0.0.0.0/1", "128.0.0.0/1"], ["0.0.0.0/1", "128.0.0.0/1"], "together these are all addresses"),
    ("trusted_proxies", ["::/1", "fastly", "8000::/1"], ["::/1", "fastly", "8000::/1"], "together these are all"),
    ("trusted_proxies", ["Cloudflare"], "Cloudflare", "it is no network"),
    ("maintenance_allow", ["cloudflare"], "cloudflare", "it is no network"),
    ("proxy_protocol", True, True, "flask_blog_trusted_proxies names none"),
    ("only_through_proxies", True, True, "flask_blog_trusted_proxies names none"),
    ("backup_schedule", "daily; reboot", "daily; reboot", "no systemd calendar expression"),
    ("backup_schedule", "", "", "no systemd calendar expression"),
    ("backup_keep", {"daily": -1}, {"daily": -1}, "not negative"),
    ("backup_keep", {"daily": 0}, {"daily": 0}, "a backup that is not kept is none"),
    ("backup_repository", "ftp://host/blog", "ftp://host/blog", "no address of a restic repository"),
    ("backup_repository", "rclone:remote:blog", "rclone:remote:blog", "no address of a restic repository"),
    ("backup_repository", "s3:https://host/a b", "s3:https://host/a b", "no address of a restic repository"),
    ("backup_repository", "sftp:host:/blog", "sftp:host:/blog", "it names no user, server and folder"),
    ("backup_repository", "sftp:-oProxyCommand=x@host:/b", "sftp:-oProxyCommand=x@host:/b", "it names no user"),
    ("backup_repository", "sftp://blog@host", "sftp://blog@host", "it names no user, server and folder"),
    ("backup_repository", "rest:host/blog", "rest:host/blog", "it is no address of a REST server"),
    ("backup_repository", "/blog", "/blog", "a folder below a top-level one"),
    ("backup_repository", "/mnt/../etc/x", "/mnt/../etc/x", "a folder below a top-level one"),
    ("backup_repository", "/var/backups/flask-blog/x", "/var/backups/flask-blog/x", "no second place"),
    ("backup_repository", "/home/ada/blog", "/home/ada/blog", "no second place"),
    ("backup_password", "correct horse battery", "(hidden)", "it belongs to a repository"),
    ("backup_environment", {"AWS_ACCESS_KEY_ID": "x"}, "(hidden)", "it belongs to a repository"),
    ("backup_known_hosts", ["host ssh-ed25519 AAAA"], "(hidden)", "it belongs to a repository"),
    ("backup_environment", {"LD_PRELOAD": "/x.so"}, "LD_PRELOAD", "it is no credential"),
]


def test_the_defaults_are_accepted() -> None:
    assert checks.check(GOOD) == []


@pytest.mark.parametrize(("variable", "value"), FINE)
def test_a_value_that_works_is_accepted(variable: str, value: Any) -> None:
    assert checks.check({**GOOD, variable: value}) == []


@pytest.mark.parametrize(("variable", "value", "named", "rule"), BAD)
def test_a_bad_value_is_refused_with_variable_value_rule_and_remedy(
    variable: str, value: Any, named: Any, rule: str
) -> None:
    problems = checks.check({**GOOD, variable: value})
    (message,) = [problem for problem in problems if rule in problem]
    assert message.startswith(f"flask_blog_{variable}: {named!r}: ")
    told = message.removeprefix(f"flask_blog_{variable}: {named!r}: ")
    assert re.fullmatch(r".+\. [A-Z].+\.", told, re.DOTALL), "a rule, then a remedy, each a sentence"


def test_every_rule_has_refused_something_here() -> None:
    chosen: list[dict[str, Any]] = [
        *({variable: value} for variable, value, *_ in BAD),
        {"tls": "acme", "server_names": ["blog"]},
        {"http3": True},
        {"acme_dns": {"provider": "none"}},
    ]
    refusing = {
        position
        for values in chosen
        for position, rule in enumerate(checks.DEPLOYMENT)
        if list(rule({**GOOD, **values}))
    }
    assert refusing == set(range(len(checks.DEPLOYMENT)))


@pytest.mark.parametrize(
    ("most", "high", "refused"),
    [("1G", "1025M", True), ("1G", "1048576K", False), ("1G", "99%", False), ("50%", "49.99%", False)],
)
def test_slowing_down_begins_below_the_limit_if_the_two_can_be_compared(most: str, high: str, refused: bool) -> None:
    problems = checks.check({**GOOD, "memory_max": most, "memory_high": high})
    assert bool(problems) == refused, problems


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"tls": "self_signed", "https_port": 80}, "flask_blog_https_port: 80: it is the port of HTTP"),
        ({"tls": "provided", "tls_certificate": "a.pem"}, "flask_blog_tls: 'provided': it needs flask_blog_tls_key."),
        ({"tls": "self_signed", "server_names": ["192.0.2.7"]}, "flask_blog_server_names: '192.0.2.7': a client that"),
        ({"tls": "self_signed", "server_names": ["192.0.2.7"], "reject_unknown_hosts": False}, ""),
        ({"server_names": ["192.0.2.7"], "https_port": 80}, ""),
        (
            {"hsts_preload": True, "hsts_include_subdomains": True, "hsts_max_age": 31535999},
            "flask_blog_hsts_max_age: 31535999: preload needs at least a year",
        ),
        ({"hsts_preload": True, "hsts_include_subdomains": True, "hsts_max_age": 31536000}, ""),
        ({"tls": "acme"}, ""),
        ({"http3": True}, "flask_blog_http3: True: it needs HTTPS. Set flask_blog_tls, or leave it out."),
        ({"http3": True, "tls": "acme"}, ""),
        ({"http3": True, "tls": "acme", "reject_unknown_hosts": False}, "flask_blog_http3: True: its sockets belong"),
        (
            {"http3": True, "tls": "acme", "trusted_proxies": ["cloudflare"]},
            "flask_blog_http3: True: visitors' connections",
        ),
        (
            {"tls": "acme", "server_names": ["192.0.2.7"], "reject_unknown_hosts": False},
            "flask_blog_server_names: '192.0.2.7': no certificate is requested for an IP address",
        ),
        (
            {"tls": "acme", "server_names": ["blog"]},
            "flask_blog_server_names: 'blog': an authority issues certificates",
        ),
        (
            {"tls": "acme", "server_names": ["blog.example.com", "*.example.com"]},
            "flask_blog_server_names: '*.example.com': an authority issues a certificate for a wildcard by a challenge",
        ),
        ({"tls": "acme", "server_names": ["blog.example.com", "*.example.com"], "acme_dns": RFC2136}, ""),
        ({"tls": "self_signed", "server_names": ["blog.example.com", "*.example.com"]}, ""),
        ({"tls": "acme", "server_names": ["xn--bcher-kva.example"]}, ""),
        (
            {"tls": "acme", "server_names": ["bücher.example"]},
            "flask_blog_server_names: 'bücher.example': it is no host name",
        ),
        (
            {"acme_directory": "https://ca.test/dir", "acme_staging": True},
            "flask_blog_acme_directory: 'https://ca.test",
        ),
        ({"acme_eab_key_id": "kid-1"}, "flask_blog_acme_eab_hmac_key: '': flask_blog_acme_eab_key_id needs it"),
        ({"acme_eab_hmac_key": "c2VjcmV0LXNlY3JldA"}, "flask_blog_acme_eab_key_id: '': flask_blog_acme_eab_hmac_key"),
        ({"acme_eab_key_id": "a b", "acme_eab_hmac_key": "c2VjcmV0LXNlY3JldA"}, "flask_blog_acme_eab_key_id: 'a b'"),
        (
            {"acme_eab_key_id": "a", "acme_eab_hmac_key": "secret!"},
            "flask_blog_acme_eab_hmac_key: '(hidden)': it is no",
        ),
    ],
)
def test_what_https_needs_is_checked_together(chosen: dict[str, Any], words: str) -> None:
    problems = checks.check({**GOOD, **chosen})
    assert [problem.startswith(words) for problem in problems] == ([True] if words else []), problems


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (
            {"server": "192.0.2.53"},
            ".provider: '': it says who takes the entries in DNS. Choose one of cloudflare, google,",
        ),
        ({"provider": "gandi"}, ".provider: 'gandi': there is no such provider. Choose one of"),
        ({"provider": "cloudflare"}, ".api_token: '': cloudflare needs it"),
        ({**RFC2136, "key": ""}, ".key: '': rfc2136 needs it"),
        ({**RFC2136, "key": "not base64!"}, ".key: '(hidden)': it is no base64"),
        ({**RFC2136, "key": "c2VjcmV0LXNlY3JldA==\n"}, ".key: '(hidden)': it is no base64"),
        ({**RFC2136, "key_name": "a b"}, ".key_name: 'a b': it is no name of a key"),
        ({**RFC2136, "algorithm": "sha256"}, ".algorithm: 'sha256': certbot knows no such algorithm"),
        ({**RFC2136, "server": "ns.example.com"}, ".server: 'ns.example.com': certbot takes the address"),
        ({**RFC2136, "server": "fe80::1%eth0"}, ".server: 'fe80::1%eth0': certbot takes the address"),
        ({**RFC2136, "port": 65536}, ".port: 65536: a port is a number from 1 to 65535"),
        ({**RFC2136, "propagation_seconds": 601}, ".propagation_seconds: 601: it is a number of seconds"),
        ({**RFC2136, "propagation_seconds": -1}, ".propagation_seconds: -1: it is a number of seconds"),
        ({**RFC2136, "api_token": "0123456789"}, ".api_token: '(hidden)': rfc2136 takes server, port, key_name, key,"),
        ({**ROUTE53, "secret_access_key": ""}, ".secret_access_key: '': route53 needs it"),
        ({**ROUTE53, "access_key_id": "a\nb"}, ".access_key_id: 'a\\nb': it is no identifier"),
        ({"provider": "google", "credentials": {"type": "x"}}, ".credentials: '(hidden)': it is no key of a service"),
        (
            {"provider": "google", "credentials": {**SERVICE_ACCOUNT, "private_key": ""}},
            ".credentials: '(hidden)': it is no",
        ),
    ],
)
def test_what_a_provider_of_dns_needs_is_checked_and_its_secrets_are_not_shown(
    chosen: dict[str, Any], words: str
) -> None:
    problems = checks.check({**GOOD, "acme_dns": chosen})
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"flask_blog_acme_dns{words}")
    secrets = [str(chosen[key]) for key in acme.DNS_SECRETS & {*chosen} if chosen[key]]
    assert not any(secret in problems[0] for secret in secrets)


def test_what_proxies_are_needed_for_is_accepted_with_them() -> None:
    chosen = {"trusted_proxies": ["192.0.2.0/24"], "proxy_protocol": True, "only_through_proxies": True}
    assert checks.check({**GOOD, **chosen}) == []


def test_a_name_that_is_no_cdn_of_the_roles_is_refused_with_those_that_are() -> None:
    (problem,) = checks.check({**GOOD, "trusted_proxies": ["cloudflare", "akamai"]})
    assert problem.startswith("flask_blog_trusted_proxies: 'akamai': it is no network: ")
    assert problem.endswith("Write it as '192.0.2.0/24', or name one of cloudflare, cloudfront, fastly.")


def test_a_schedule_of_never_needs_no_retention() -> None:
    assert checks.check({**GOOD, "backup_schedule": "never", "backup_keep": {"daily": 0}}) == []


def test_all_problems_are_named_at_once() -> None:
    problems = checks.check({**GOOD, "name": "Blog", "workers": 0, "health_path": "x"})
    assert [problem.partition(":")[0] for problem in problems] == [
        "flask_blog_name",
        "flask_blog_workers",
        "flask_blog_health_path",
    ]
