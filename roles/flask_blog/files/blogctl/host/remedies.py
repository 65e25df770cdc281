"""What to do about an error of the app that people meet often."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from ..shared import contract
from ..site import Site
from .traceback import Error

#: Names under which Python finds packages that are installed under others.
PACKAGES = {
    "Crypto": "pycryptodome",
    "MySQLdb": "mysqlclient",
    "PIL": "Pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "fitz": "PyMuPDF",
    "flask_uploads": "Flask-Reuploaded",
    "git": "GitPython",
    "jose": "python-jose",
    "jwt": "PyJWT",
    "magic": "python-magic",
    "multipart": "python-multipart",
    "pkg_resources": "setuptools<81",
    "psycopg2": "psycopg2-binary",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slugify": "python-slugify",
    "yaml": "PyYAML",
}
#: Modules that Python 3.12 and 3.13 no longer have (https://docs.python.org/3/whatsnew/3.13.html, "Removed").
REMOVED = frozenset(
    (
        *("aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils", "imghdr", "imp"),
        *("mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "smtpd", "sndhdr", "spwd", "sunau"),
        *("telnetlib", "uu", "xdrlib"),
    )
)
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

Remedy = Callable[[Site, Error, "re.Match[str]"], str]


def remedy_for(site: Site, error: Error) -> str:
    """Return what to do about an error; an empty text if nothing is known about it."""
    for pattern, remedy in REMEDIES:
        for text in (error.text, error.then):
            if match := pattern.search(text):
                return remedy(site, error, match)
    return ""


def _missing_module(site: Site, error: Error, match: re.Match[str]) -> str:
    name = match[1]
    top, package = name.partition(".")[0], str(site.settings["wsgi"]).partition(":")[0].partition(".")[0]
    if name == "gunicorn":
        return (
            f"The release's virtual environment does not belong to the host's Python {PYTHON}, perhaps since Debian was"
            f" upgraded. Build it again: 'blogctl rebuild' on the host, or run the playbook."
        )
    if top == "gunicorn" or (error.place.startswith("gunicorn/") and top in REMOVED | {"pkg_resources"}):
        return (
            f"The version of gunicorn in the requirements is too old for Python {PYTHON}. Remove gunicorn from"
            " them, as the role installs it, or require gunicorn>=22."
        )
    if top == package and "." not in name:
        return (
            f"flask_blog_wsgi is {site.settings['wsgi']!r}, and the app's folder has no module {top}. Name the module"
            " and the app in flask_blog_wsgi, and its folder in the source in flask_blog_app_dir."
        )
    if top == package:
        return f"The release has no {name.replace('.', '/')}: does Git track it, and is its name spelled the same?"
    if top in REMOVED and top not in sys.stdlib_module_names:
        return (
            f"Python {PYTHON} no longer has the module {top}. Use a newer version of the package that imports it"
            f"{', or add setuptools to the requirements' if top == 'distutils' else ''}."
        )
    found = PACKAGES.get(top, top.replace("_", "-"))
    return f"Add {found} to the app's requirements, or to flask_blog_extra_packages."


def _missing_name(site: Site, error: Error, match: re.Match[str]) -> str:
    top, package = match[2].partition(".")[0], str(site.settings["wsgi"]).partition(":")[0].partition(".")[0]
    if top == package or "circular import" in error.text:
        return ""
    return (
        f"The version of {PACKAGES.get(top, top)} that was installed has no {match[1]}. Pin the version that the app"
        " was written for in its requirements."
    )


def _environment(site: Site, error: Error, match: re.Match[str]) -> str:
    if not any("environ" in line for line in error.lines):
        return ""
    return f"Set {match[1]} in flask_blog_environment, or in flask_blog_secrets if it is a secret."


def _file(site: Site, error: Error, match: re.Match[str]) -> str:
    path = match[1]
    if "/instance/" in f"/{path}":
        return (
            f"No release contains instance/: it is the folder {site.settings['data']}/instance. Write the file there as"
            f" the app's account {site.settings['user']}. For a blog without data, flask_blog_initial_data may name a"
            " folder that holds instance/ with the file."
        )
    if path.startswith("/") and not path.startswith((str(site.settings["releases"]), str(site.settings["link"]))):
        return ""
    return (
        f"The release has no {path.rpartition('/')[2]!r}. A file that a .gitignore leaves out comes with"
        " flask_blog_include; settings belong in flask_blog_environment; for data, name its folder in"
        " flask_blog_writable_paths."
    )


def _tables(site: Site, error: Error, match: re.Match[str]) -> str:
    initialised = (site.path("state") / contract.INITIALISED).exists()
    of_new_blog = (
        ". flask_blog_init_commands run for a new blog alone, and this one has had its first data."
        if initialised
        else ", or in flask_blog_init_commands if it is for a new blog alone."
    )
    return (
        "The database has no such table. Name the command that creates the tables, such as flask db upgrade, or python"
        f" -c with the app's db.create_all() in its app_context(), in flask_blog_release_commands{of_new_blog}"
    )


def _network(site: Site, error: Error, match: re.Match[str]) -> str:
    if site.settings["sandbox"].get("PrivateNetwork") != "yes":
        return ""
    return "The app has no network: flask_blog_outbound is false. Set it to true if the app needs a connection."


def _fixed(text: str) -> Remedy:
    return lambda site, *_: text.format(**{key: site.settings.get(key) for key in ("wsgi", "health_path")})


REMEDIES: tuple[tuple[re.Pattern[str], Remedy], ...] = (
    (re.compile(r"No module named '?([\w.]+)"), _missing_module),
    (re.compile(r"cannot import name '(\w+)' from (?:partially initialized module )?'([\w.]+)'"), _missing_name),
    (
        re.compile(r"(lib[\w.+-]+\.so[\d.]*): cannot open shared object file"),
        lambda _, __, match: f"Install Debian's package that has {match[1]} on the host (apt-file search {match[1]}).",
    ),
    (re.compile(r"^KeyError: '([A-Z][A-Z0-9_]+)'"), _environment),
    (
        re.compile(r"no such table|relation \"[^\"]+\" does not exist|Table '[^']+' doesn't exist"),
        _tables,
    ),
    (
        re.compile(
            r"no such column|has no column named|Unknown column '"
            r"|column \"?[\w.]+\"?(?: of relation \"\w+\")? does not exist"
        ),
        _fixed(
            "The tables are older than the release. Name the command that migrates them, such as flask db upgrade, in"
            " flask_blog_release_commands: flask_blog_init_commands run for a new blog alone."
        ),
    ),
    (
        re.compile(r"table [\w.\"'`]+ already exists|relation \"\w+\" already exists|Table '[^']+' already exists"),
        _fixed(
            "The table was made without the migrations, perhaps by the app's db.create_all(). Remove that call; on a"
            " database that has all tables of the newest migration, run 'blogctl run -- flask db stamp head' once."
        ),
    ),
    (
        re.compile(r"Can't locate revision identified by"),
        _fixed(
            "The database was migrated to a revision that the release does not have. Check that Git tracks all files in"
            " migrations/versions, and that the release is not older than the data."
        ),
    ),
    (
        re.compile(r"Multiple head revisions are present"),
        _fixed("Two migrations follow the same one. Join them with flask db merge heads, and commit the result."),
    ),
    (
        re.compile(r"no secret key was set|SECRET_KEY (?:is not set|must be set)", re.IGNORECASE),
        _fixed(
            "Read SECRET_KEY from the environment in the app's settings; flask_blog_generated_secrets creates it there."
        ),
    ),
    (
        re.compile(r"Failed to (?:find attribute|parse)|Application object must be callable"),
        _fixed(
            "flask_blog_wsgi is '{wsgi}': name the module and, after the colon, the app or the function that makes it."
        ),
    ),
    # Flask's own text for a settings file has a parenthesis.
    (re.compile(r"No such file or directory\)?: b?['\"]([^'\"]+)['\"]"), _file),
    (
        re.compile(r"TemplateNotFound: (\S+)"),
        lambda _, __, match: (
            f"The release has no template {match[1]}: does Git track it, in the app's folder templates, and is its name"
            " the same in upper and lower case? Windows and macOS ignore the case, and Linux does not."
        ),
    ),
    (
        re.compile(r"can't start new thread|BlockingIOError: \[Errno 11\]"),
        _fixed("The app reached flask_blog_tasks_max, the number of its processes and threads. Raise it."),
    ),
    (re.compile(r"\[Errno 24\] Too many open files"), _fixed("The app reached flask_blog_open_files. Raise it.")),
    (
        re.compile(r"\[Errno 98\] Address already in use"),
        _fixed("The app opens a port of its own when it is imported. Leave that to Gunicorn."),
    ),
    (
        re.compile(r"^locale\.Error: unsupported locale setting"),
        _fixed(
            "The host does not have this locale. Install Debian's package locales, name it in /etc/locale.gen and"
            " run locale-gen; or format dates and numbers with Babel, which needs none."
        ),
    ),
    (
        re.compile(r"No time zone found with key "),
        _fixed("The host has no such time zone. Add tzdata to the app's requirements."),
    ),
    (re.compile(r"^SyntaxError: "), _fixed(f"The host has Python {PYTHON}; the file must be valid for it.")),
    (
        re.compile(
            r"Address family not supported by protocol|Network is unreachable|Connection refused"
            r"|Temporary failure in name resolution"
        ),
        _network,
    ),
)
