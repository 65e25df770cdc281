# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Why pip fails, as data: what it prints, what that means, and what to do.

A pattern is searched in one line of limited length (diagnosis.py), and repeats nothing without a bound. Its first group
goes into the texts as C({0}).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: What nearly every package with code in C needs.
COMPILER = ("build-essential", "python3-dev")


@dataclass(frozen=True)
class Cause:
    """A reason why an environment cannot be built."""

    pattern: re.Pattern[str]
    #: a sentence
    meaning: str
    #: in full sentences; the Debian packages are named before it
    remedy: str = ""
    #: Debian packages to install
    packages: tuple[str, ...] = ()
    #: says why a package was not found, and is no error if it was
    is_hint: bool = False
    #: is about the requirements as a whole, not about the package that pip was at
    is_general: bool = False


def _cause(
    pattern: str,
    meaning: str,
    remedy: str = "",
    packages: tuple[str, ...] = (),
    *,
    is_hint: bool = False,
    is_general: bool = False,
) -> Cause:
    return Cause(re.compile(pattern), meaning, remedy, packages, is_hint, is_general)


_UNREACHABLE = (
    "The server cannot reach the package index.",
    "Check its network and DNS, and the proxy or the index in /etc/pip.conf; then run again.",
)
_CERTIFICATE = (
    "The package index has a certificate that the server does not trust.",
    "If a proxy of your network signs it, add the proxy's CA with update-ca-certificates(8), and check the clock.",
)
_OLD = (
    "This version is older than the server's Python and has no wheel for it.",
    "Require a newer version of the package.",
)
_CREDENTIALS = (
    "The build has no credentials for that address.",
    "Require a release of the package from an index, or put a copy of it into the source.",
)

#: In this order for each line; the first line that fits one of them counts.
CAUSES: tuple[Cause, ...] = (
    # -- the host --
    _cause(
        r"No space left on device|Disk quota exceeded",
        "A disk of the server is full.",
        "Free some space (df -h /opt /var) or inodes (df -i /opt /var), and run again.",
    ),
    _cause(
        r"ended with status -9|[Kk]illed signal terminated program|fatal error: Killed|^MemoryError",
        "The server ran out of memory.",
        "Require a version of the package with a wheel for this Python, or give the server more memory or swap.",
    ),
    # -- what the requirements name --
    _cause(
        r"Cannot find command 'git'|'git' while executing command",
        "A requirement lies in a Git repository, and the server has no git.",
        packages=("git",),
    ),
    _cause(r"could not read Username for '([^']{1,200})'|Permission denied \(publickey\)", *_CREDENTIALS),
    _cause(
        r"^\s{0,9}fatal: unable to access '([^']{1,200})'",
        "The server cannot reach the repository {0}.",
        "Check the server's network and DNS, and its proxy; then run again.",
    ),
    _cause(r"[Rr]epository (?:'([^']{1,200})' )?not found", *_CREDENTIALS),
    _cause(
        r"^\s{0,9}(?:fatal|error): .{0,100}(?:Remote branch|remote ref|pathspec|reference is not a tree)",
        "The repository does not have that branch, tag or commit.",
        "Correct what stands behind the '@'.",
    ),
    _cause(r"HTTP error 40[13] while getting (\S{1,200})|^ERROR: 40[13] Client Error", *_CREDENTIALS),
    _cause(
        r"^ERROR: .{0,60}OSError: \[Errno 2\] No such file or directory: '(/[^']{1,300})'",
        "The requirements name a file of the computer that they were written on: {0}.",
        "Write name and version in its place: 'pip list --format=freeze > requirements.txt' does (conda's 'pip freeze'"
        " writes such lines).",
        is_general=True,
    ),
    _cause(r"^ERROR: Invalid requirement", "pip cannot read a requirement.", "Correct the line.", is_general=True),
    _cause(
        r"^ERROR: Could not open requirements file",
        "The requirements include a file that the source does not hold.",
        "Add it to the source, or remove the line.",
        is_general=True,
    ),
    _cause(
        r"neither 'setup\.py' nor 'pyproject\.toml' found",
        "The requirements name a folder that cannot be installed.",
        "Remove the line ('-e .' or '.'): the app's own folder is on the path anyway.",
        is_general=True,
    ),
    _cause(
        r"No file/folder found for package (\S{1,100})",
        "Poetry finds no package {0} in the source.",
        "Export the requirements: 'poetry export -f requirements.txt -o requirements.txt'.",
    ),
    _cause(
        r"DO NOT MATCH THE HASHES",
        "A package does not have the hash that the requirements name.",
        "Write the hashes anew ('pip-compile --generate-hashes', 'uv export'). If nobody changed them, find out why the"
        " index serves another file.",
    ),
    _cause(
        r"[Ii]n --require-hashes mode, all requirements must have|Hashes are required in --require-hashes mode",
        "Some requirements have a hash, and others have none.",
        "Give each a hash ('pip-compile --generate-hashes', 'uv export'), or none.",
    ),
    _cause(
        r"^ERROR: Cannot install (.{1,300}?) because these package versions have conflicting",
        "Some requirements contradict each other: {0}.",
        "Loosen one of them; pip's lines below say which.",
        is_general=True,
    ),
    _cause(
        r"requires a different Python: (.{1,100})",
        "The package is not for the server's Python: {0}.",
        "Require another version, or deploy to a Debian with that Python (12 has 3.11, 13 has 3.13).",
    ),
    # -- the index --
    _cause(r"CERTIFICATE_VERIFY_FAILED|problem confirming the ssl certificate", *_CERTIFICATE, is_hint=True),
    _cause(
        r"^WARNING: Retrying|Name or service not known|Temporary failure in name resolution|Connection refused"
        r"|Network is unreachable|Max retries exceeded|ProxyError|Tunnel connection failed",
        *_UNREACHABLE,
        is_hint=True,
    ),
    _cause(
        r"require a different python version: (.{1,200})",
        "Its other versions are for other versions of Python: {0}",
        "Require one for the server's Python, or deploy to a Debian with another one (12 has 3.11, 13 has 3.13).",
        is_hint=True,
    ),
    _cause(
        r"No matching distribution found for (\S{1,100})",
        "The package index has no {0} for this server's Python and processor.",
        "Correct the name or the version.",
    ),
    _cause(r"Connection to \S{1,100} timed out|^ERROR: .{0,100}HTTPSConnectionPool", *_UNREACHABLE),
    # -- what a package needs to be compiled --
    _cause(
        r"[Cc]an't find Rust compiler|Rust(?: package manager)?, .{0,40}is not installed|^\s{0,20}Rust not found|cargo: not found"
        r"|Unable to find.{0,20}(?:cargo|rustc)|requires Rust",
        "There is no wheel of this version for the server's Python, and no Rust compiler.",
        packages=(*COMPILER, "cargo", "rustc"),
    ),
    _cause(
        r"pg_config executable not found|pg_config: not found",
        "It is compiled against PostgreSQL's library, whose development files are missing.",
        packages=("libpq-dev",),
    ),
    _cause(
        r"mysql_config:? not found|mysql_config' .{0,60}(?:not found|No such file)",
        "It is compiled against MariaDB's library, whose development files are missing.",
        packages=("default-libmysqlclient-dev", "pkg-config"),
    ),
    _cause(
        r"libxml2 and libxslt development packages|xslt-config: not found",
        "It is compiled against libxml2 and libxslt, whose development files are missing.",
        packages=("libxml2-dev", "libxslt1-dev"),
    ),
    _cause(
        r"headers or library files could not be found for (\w{1,30})",
        "It is compiled against a library, {0}, whose development files are missing.",
        packages=("libjpeg-dev", "zlib1g-dev", "libfreetype-dev"),
    ),
    _cause(
        r"curl-config: not found|Could not run curl-config",
        "It is compiled against curl's library, whose development files are missing.",
        packages=("libcurl4-openssl-dev", "libssl-dev"),
    ),
    _cause(
        r"krb5-config: not found",
        "It is compiled against the library of Kerberos, whose development files are missing.",
        packages=("libkrb5-dev",),
    ),
    _cause(
        r"Could not find (?:directory of )?OpenSSL|openssl.{0,40}development (?:files|headers)",
        "It is compiled against OpenSSL's library, whose development files are missing.",
        packages=("libssl-dev", "pkg-config"),
    ),
    _cause(
        r"pkg-config: (?:command )?not found|No such file or directory: 'pkg-config'|[Dd]id not find pkg-config"
        r"|valid pkg-config name|pkg-config.{0,20}is (?:required|not installed)",
        "It is compiled, and pkg-config is missing.",
        packages=("pkg-config",),
    ),
    _cause(
        r"fatal error: ([\w.+/-]{1,80}): No such file or directory",
        "It is compiled, and the header file {0} is missing.",
        "'apt-file search {0}' finds the Debian package.",
    ),
    _cause(
        r"cannot find -l([\w.+-]{1,40})",
        "It is compiled, and the library {0} is missing.",
        "'apt-file search lib{0}.so' finds the Debian package.",
    ),
    _cause(
        r"Package '?([\w.+-]{1,60})'?,? (?:required by .{1,60} )?(?:was )?not found",
        "It is compiled, and the library {0} is missing.",
        "'apt-file search {0}.pc' finds the Debian package.",
    ),
    _cause(
        r"No such file or directory: '(?:[\w-]{1,30}-)?(?:gcc|g\+\+|cc|c\+\+|clang)(?:-\d{1,3})?'"
        r"|unable to execute '(?:[\w-]{1,30}-)?(?:gcc|g\+\+|cc)'|command '[^']{0,60}(?:gcc|g\+\+|cc)' failed: No such"
        r"|Unknown compiler\(s\)|CMAKE_C(?:XX)?_COMPILER.{0,20}(?:could be found|not set)|need a C compiler"
        r"|no acceptable C compiler",
        "There is no wheel of this version for the server's Python, and no compiler.",
        packages=COMPILER,
    ),
    _cause(r"Microsoft Visual C\+\+|only supported on Windows|requires Windows", "The package is for Windows only."),
    # -- packages that are older than the Python --
    _cause(r"Cannot import 'setuptools\.build_meta'|module 'pkgutil' has no attribute 'ImpImporter'", *_OLD),
    _cause(r"No module named '(?:distutils|imp|pkg_resources)'|use_2to3 is invalid|has no attribute 'cython_", *_OLD),
)

#: The Debian package of a header file, by how its path begins.
HEADERS = {
    "Python.h": "python3-dev",
    "bzlib.h": "libbz2-dev",
    "cairo": "libcairo2-dev",
    "curl/": "libcurl4-openssl-dev",
    "expat.h": "libexpat1-dev",
    "ffi.h": "libffi-dev",
    "freetype": "libfreetype-dev",
    "ft2build.h": "libfreetype-dev",
    "gmp.h": "libgmp-dev",
    "gssapi": "libkrb5-dev",
    "jpeglib.h": "libjpeg-dev",
    "krb5": "libkrb5-dev",
    "lber.h": "libldap-dev",
    "ldap.h": "libldap-dev",
    "libmemcached": "libmemcached-dev",
    "libpq-fe.h": "libpq-dev",
    "libxml": "libxml2-dev",
    "libxslt": "libxslt1-dev",
    "lzma.h": "liblzma-dev",
    "magic.h": "libmagic-dev",
    "my_config.h": "default-libmysqlclient-dev",
    "mysql": "default-libmysqlclient-dev",
    "openssl/": "libssl-dev",
    "pcre": "libpcre2-dev",
    "png.h": "libpng-dev",
    "postgres": "libpq-dev",
    "readline/": "libreadline-dev",
    "sasl/": "libsasl2-dev",
    "sql.h": "unixodbc-dev",
    "sqlite3.h": "libsqlite3-dev",
    "tiff": "libtiff-dev",
    "uuid/": "uuid-dev",
    "webp/": "libwebp-dev",
    "xmlsec": "libxmlsec1-dev",
    "yaml.h": "libyaml-dev",
    "zlib.h": "zlib1g-dev",
}

#: The Debian package of a library that the linker or pkg-config looks for.
LIBRARIES = {
    "cairo": "libcairo2-dev",
    "crypto": "libssl-dev",
    "ffi": "libffi-dev",
    "jpeg": "libjpeg-dev",
    "libffi": "libffi-dev",
    "libpq": "libpq-dev",
    "libxml-2.0": "libxml2-dev",
    "mariadb": "default-libmysqlclient-dev",
    "mysqlclient": "default-libmysqlclient-dev",
    "openssl": "libssl-dev",
    "pq": "libpq-dev",
    "ssl": "libssl-dev",
    "xml2": "libxml2-dev",
    "xmlsec1": "libxmlsec1-dev",
    "xslt": "libxslt1-dev",
    "z": "zlib1g-dev",
    "zlib": "zlib1g-dev",
}

#: All that a package needs to be compiled, beside COMPILER: pip only reports the first thing that is missing.
NEEDED = {
    "cairocffi": ("libffi-dev", "libcairo2"),
    "cffi": ("libffi-dev",),
    "cryptography": ("cargo", "libffi-dev", "libssl-dev", "pkg-config", "rustc"),
    "lxml": ("libxml2-dev", "libxslt1-dev"),
    "mysqlclient": ("default-libmysqlclient-dev", "pkg-config"),
    "pillow": ("libfreetype-dev", "libjpeg-dev", "zlib1g-dev"),
    "psycopg2": ("libpq-dev",),
    "pycairo": ("libcairo2-dev", "pkg-config"),
    "pycurl": ("libcurl4-openssl-dev", "libssl-dev"),
    "pyodbc": ("unixodbc-dev",),
    "python-ldap": ("libldap-dev", "libsasl2-dev"),
    "xmlsec": ("libxmlsec1-dev", "pkg-config"),
}

#: Another way, for packages that need a compiler.
INSTEAD = {
    "mysqlclient": "Or require PyMySQL in its place, with the URL mysql+pymysql://, which needs no compiler.",
    "psycopg2": "Or require psycopg2-binary in its place, which needs no compiler.",
    "uwsgi": "Or remove it from the requirements: the role brings gunicorn.",
}

#: Parts of Debian and Ubuntu, which C(pip freeze) writes outside of a virtual environment; no index has them. Older
#: Debians' C(pip freeze) writes C(pkg-resources==0.0.0) inside of one as well.
OF_THE_SYSTEM = frozenset(
    (
        *("command-not-found", "language-selector", "pkg-resources", "python-apt", "ubuntu-advantage-tools"),
        *("ubuntu-drivers-common", "ubuntu-pro-client", "unattended-upgrades"),
    )
)

#: Packages that exist for Windows alone.
WINDOWS = frozenset({"pypiwin32", "pywin32", "pywinpty", "windows-curses"})
