"""The first error of a build is found in what pip prints, with the package that it is about and the remedy.

The outputs are pip's own (23.0 and 25.1), shortened.
"""

from __future__ import annotations

import re
import time

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import causes, diagnosis

FAILED = "\nerror: subprocess-exited-with-error\n\n× {0} did not run successfully.\n╰─> See above for output."


def step(package: str, output: str, version: str = "1.0") -> str:
    """What pip prints if a package's build fails before its wheel is built."""
    return f"""\
Collecting flask
  Downloading flask-3.1.3-py3-none-any.whl (103 kB)
Collecting {package}
  Downloading {package}-{version}.tar.gz (104 kB)
  Installing build dependencies: started
  Installing build dependencies: finished with status 'done'
  Getting requirements to build wheel: started
  Getting requirements to build wheel: finished with status 'error'
  error: subprocess-exited-with-error

  × Getting requirements to build wheel did not run successfully.
  │ exit code: 1
  ╰─> [35 lines of output]
      {output}
      [end of output]

  note: This error originates from a subprocess, and is likely not a problem with pip.
error: subprocess-exited-with-error

× Getting requirements to build wheel did not run successfully.
╰─> See above for output.
"""


def wheel(package: str, output: str) -> str:
    """What pip prints if a package's wheel cannot be built, after others were collected."""
    return f"""\
Collecting {package}
  Downloading {package}-1.0.tar.gz (516 kB)
  Preparing metadata (pyproject.toml): finished with status 'done'
Collecting pycparser (from {package})
  Downloading pycparser-3.12-py3-none-any.whl (158 kB)
Building wheels for collected packages: {package}
  Building wheel for {package} (pyproject.toml): started
  Building wheel for {package} (pyproject.toml): finished with status 'error'
  error: subprocess-exited-with-error

  × Building wheel for {package} (pyproject.toml) did not run successfully.
  ╰─> [1 lines of output]
      {output}
      [end of output]

  note: This error originates from a subprocess, and is likely not a problem with pip.
  ERROR: Failed building wheel for {package}
Failed to build {package}
ERROR: Failed to build installable wheels for some pyproject.toml based projects ({package})
"""


MYSQLCLIENT = step(
    "mysqlclient",
    """/bin/sh: 1: pkg-config: not found
      /bin/sh: 1: pkg-config: not found
      Trying pkg-config --exists mysqlclient
      Command 'pkg-config --exists mysqlclient' returned non-zero exit status 127.
      Traceback (most recent call last):
        File "<string>", line 155, in <module>
      Exception: Can not find valid pkg-config name.
      Specify MYSQLCLIENT_CFLAGS and MYSQLCLIENT_LDFLAGS env vars manually""",
)
PSYCOPG2 = step("psycopg2", "running egg_info\n\n      Error: pg_config executable not found.\n\n      pg_config is")
LXML = step("lxml", "Error: Please make sure the libxml2 and libxslt development packages are installed.")
PILLOW = wheel("pillow", "The headers or library files could not be found for jpeg,\n      a required dependency")
CFFI = wheel("cffi", "building '_cffi_backend'\n      error: [Errno 2] No such file or directory: 'x86_64-linux-gnu-gcc'")
HEADER = wheel(
    "python-ldap",
    """x86_64-linux-gnu-gcc -Wall -c Modules/LDAPObject.c -o build/LDAPObject.o
      In file included from Modules/LDAPObject.c:3:
      Modules/constants.h:7:10: fatal error: lber.h: No such file or directory
      error: command '/usr/bin/x86_64-linux-gnu-gcc' failed with exit code 1""",
)
PYTHON_H = wheel("greenlet", "src/greenlet.cpp:9:10: fatal error: Python.h: No such file or directory")
UNKNOWN_H = wheel("thing", "thing.c:9:10: fatal error: thing/own.h: No such file or directory")
LINKER = wheel("mysqlclient", "/usr/bin/ld: cannot find -lssl: No such file or directory")
RUST = wheel("bcrypt", "running build_rust\n      error: can't find Rust compiler\n\n      If you are using")
MESON = step("numpy", '../meson.build:1:0: ERROR: Unknown compiler(s): [["cc"], ["gcc"], ["clang"]]')
OLD = step("PyYAML", "AttributeError: 'build_ext' object has no attribute 'cython_sources'")
DISTUTILS = step("numpy", "ModuleNotFoundError: No module named 'distutils'")

#: An output, the package, and parts of the message in their order.
CASES = {
    "pkg-config": (
        MYSQLCLIENT,
        ["mysqlclient cannot", "pkg-config: not found", "apt install", "default-libmysqlclient-dev pkg-config", "PyMySQL"],
    ),
    "pg_config": (PSYCOPG2, ["psycopg2 cannot", "pg_config executable", "build-essential libpq-dev", "psycopg2-binary"]),
    "libxml2": (LXML, ["lxml cannot", "apt install build-essential libxml2-dev libxslt1-dev python3-dev"]),
    "jpeg": (PILLOW, ["pillow cannot", "found for jpeg", "libjpeg-dev"]),
    "a compiler": (CFFI, ["cffi cannot", "gcc", "no compiler", "apt install build-essential libffi-dev python3-dev"]),
    "a header": (HEADER, ["python-ldap cannot", "lber.h", "libldap-dev libsasl2-dev"]),
    "Python's header": (PYTHON_H, ["greenlet cannot", "Python.h", "apt install build-essential python3-dev"]),
    "an unknown header": (UNKNOWN_H, ["thing cannot", "'apt-file search thing/own.h' finds"]),
    "a library": (LINKER, ["mysqlclient cannot", "-lssl", "libssl-dev"]),
    "Rust": (RUST, ["bcrypt cannot", "Rust compiler", "cargo python3-dev rustc"]),
    "meson's compiler": (MESON, ["numpy cannot", "Unknown compiler", "build-essential"]),
    "Cython of before": (OLD, ["PyYAML cannot", "cython_sources", "older than the server's Python", "newer version"]),
    "distutils": (DISTUTILS, ["numpy cannot", "older than the server's Python"]),
    "Windows": (
        "ERROR: Could not find a version that satisfies the requirement pywin32==306 (from versions: none)\n"
        "ERROR: No matching distribution found for pywin32==306",
        ["pywin32 exists for Windows alone", "'pywin32==306; sys_platform == \"win32\"'"],
    ),
    "conda": (
        "Processing /croot/certifi_1683875369620/work/certifi\nERROR: Could not install packages due to an OSError:"
        " [Errno 2] No such file or directory: '/croot/certifi_1683875369620/work/certifi'\n",
        ["The requirements cannot", "/croot/certifi", "the computer that they were written on", "--format=freeze"],
    ),
    "git": (
        "Collecting flask@ git+https://git.test/flask.git\n  Cloning https://git.test/flask.git to /tmp/x\n"
        "  ERROR: Error [Errno 2] No such file or directory: 'git' while executing command git version\n"
        "ERROR: Cannot find command 'git' - do you have 'git' installed and in your PATH?",
        ["flask cannot", "no git", "apt install git"],
    ),
    "a private repository": (
        "Collecting mine@ git+https://git.test/mine.git\n"
        "  fatal: could not read Username for 'https://git.test': terminal prompts disabled",
        ["mine cannot", "no credentials"],
    ),
    "a repository that is not there": (
        "Collecting mine@ git+https://git.test/mine.git\n  Running command git clone --quiet https://git.test/mine.git /x\n"
        "  remote: Repository not found.\n  fatal: repository 'https://git.test/mine.git/' not found",
        ["mine cannot", "no credentials"],
    ),
    "a repository that is not reached": (
        "Collecting mine@ git+https://git.test/mine.git\n"
        "  fatal: unable to access 'https://git.test/mine.git/': Could not resolve host: git.test",
        ["mine cannot", "cannot reach the repository https://git.test/mine.git/", "proxy"],
    ),
    "a tag that is not there": (
        "Collecting mine@ git+https://git.test/mine.git@v9\n  error: pathspec 'v9' did not match any file(s) known to git",
        ["mine cannot", "does not have that branch, tag or commit", "'@'"],
    ),
    "no such version": (
        "ERROR: Could not find a version that satisfies the requirement flask==99.0 (from versions: 3.1.2, 3.1.3)\n"
        "ERROR: No matching distribution found for flask==99.0",
        ["The package index has no flask==99.0", "newest version for this Python is 3.1.3"],
    ),
    "no such name": (
        "ERROR: Could not find a version that satisfies the requirement flsk (from versions: none)\n"
        "ERROR: No matching distribution found for flsk",
        ["flsk cannot", "no flsk for this server's Python", "Correct the name"],
    ),
    "other versions of Python": (
        "ERROR: Ignored the following versions that require a different python version: 0.8 Requires-Python >=3.6, <3.7\n"
        "ERROR: Could not find a version that satisfies the requirement dataclasses==0.8 (from versions: 0.5, 0.6)\n"
        "ERROR: No matching distribution found for dataclasses==0.8",
        ["dataclasses cannot", "0.8 Requires-Python >=3.6, <3.7", "12 has 3.11, 13 has 3.13"],
    ),
    "requires-python": (
        "Processing /opt/blog/venvs/x/source\n"
        "ERROR: Package 'blog' requires a different Python: 3.11.2 not in '>=3.12'",
        ["3.11.2 not in '>=3.12'", "12 has 3.11, 13 has 3.13"],
    ),
    "no network": (
        "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by"
        " 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f24>: Failed to establish a"
        " new connection: [Errno -3] Temporary failure in name resolution')': /simple/flask/\n"
        "ERROR: Could not find a version that satisfies the requirement flask (from versions: none)\n"
        "ERROR: No matching distribution found for flask",
        ["flask cannot", "cannot reach the package index", "proxy"],
    ),
    "a proxy's certificate": (
        "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by 'SSLError(SSLCertVerificationError(1,"
        " '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate'))': /x\n"
        "ERROR: Could not find a version that satisfies the requirement flask (from versions: none)\n"
        "ERROR: No matching distribution found for flask",
        ["flask cannot", "certificate that the server does not trust", "update-ca-certificates"],
    ),
    "hashes": (
        "Collecting itsdangerous==2.2.0\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
        ["itsdangerous cannot", "does not have the hash", "generate-hashes"],
    ),
    "some hashes": (
        "ERROR: Hashes are required in --require-hashes mode, but they are missing from some requirements. Here is a list",
        ["Some requirements have a hash, and others have none"],
    ),
    "a full disk": (
        "Collecting numpy\n  Downloading numpy-2.5.5.whl (15.7 MB)\n"
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        ["numpy cannot", "A disk of the server is full", "df -h"],
    ),
    "memory": (
        wheel("pandas", "gcc: fatal error: Killed signal terminated program cc1plus"),
        ["pandas cannot", "ran out of memory", "swap"],
    ),
    "a conflict": (
        "Collecting werkzeug<2\n"
        "ERROR: Cannot install flask==3.0.0 and werkzeug<2 because these package versions have conflicting dependencies.",
        ["The requirements cannot", "contradict each other: flask==3.0.0 and werkzeug<2"],
    ),
    "a line that is none": (
        "ERROR: Invalid requirement: 'this is not valid': Expected end or semicolon",
        ["The requirements cannot", "'this is not valid'", "Correct the line"],
    ),
    "Poetry": (
        step("my-blog", "ValueError: No file/folder found for package my-blog"),
        ["my-blog cannot", "poetry export"],
    ),
    "what is in no table": (
        step("thing", "Traceback (most recent call last):\n        File x\n      RuntimeError: the moon is full\n      X"),
        ["thing cannot be installed: RuntimeError: the moon is full"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_first_error_comes_with_its_package_and_the_remedy(name: str) -> None:
    output, parts = CASES[name]
    message = diagnosis.explain(output.splitlines())
    place = 0
    for part in parts:
        assert part in message[place:], message
        place = message.index(part, place)


def test_an_output_without_an_error_is_not_explained() -> None:
    assert diagnosis.explain(["Collecting flask", "Successfully installed flask-3.1.3"]) == ""
    assert diagnosis.explain(["WARNING: Retrying (Retry(total=4)) after connection broken"]) == ""


def test_the_first_error_counts_and_not_one_that_it_caused() -> None:
    lines = [*CFFI.splitlines(), *PSYCOPG2.splitlines(), "ERROR: No matching distribution found for x"]
    assert diagnosis.explain(lines).startswith("cffi cannot be installed")


def test_an_error_of_the_project_itself_does_not_hide_that_of_the_second_attempt() -> None:
    lines = [*step("blog", "ValueError: No file/folder found for package blog").splitlines()]
    lines += ["'python -m pip install .' ended with status 1; trying without the project itself", *CFFI.splitlines()]
    assert diagnosis.explain(lines).startswith("cffi cannot be installed")


def test_a_long_list_of_versions_ends_with_the_newest() -> None:
    versions = ", ".join(f"0.{number}" for number in range(2000))
    lines = [f"ERROR: Could not find a version that satisfies the requirement x==9 (from versions: {versions})"]
    assert diagnosis.explain([*lines, "ERROR: No matching distribution found for x==9"]).endswith("is 0.1999.")


@pytest.mark.parametrize(
    "line", ["A" * 1_000_000, " " * 1_000_000, "(" * 5000, "fatal error: " * 100_000, "Error" * 200_000, "a.b" * 9999]
)
def test_a_hostile_line_costs_no_time(line: str) -> None:
    began = time.monotonic()
    assert len(diagnosis.explain([line] * 20)) < 2000
    assert time.monotonic() - began < 2


def test_no_pattern_repeats_without_a_bound() -> None:
    for cause in causes.CAUSES:
        plain = re.sub(r"\\.|\[[^\]]*\]", "x", cause.pattern.pattern)
        assert not re.search(r"[^\\][*+]", plain), cause.pattern.pattern


def test_every_cause_has_a_remedy() -> None:
    for cause in causes.CAUSES:
        assert cause.meaning.endswith((".", ": {0}"))
        assert cause.remedy or cause.packages or "Windows" in cause.meaning, cause.meaning
