"""An app that uses as many resources as it can, and reports its limits."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import socket
import time
from pathlib import Path
from typing import Any

from flask import Flask, request

app = Flask(__name__)

#: Memory that this process keeps.
eaten: list[bytearray] = []

MEGABYTE = 1 << 20
#: Numbers of system calls on x86-64 and arm64 (asm/unistd.h), and arguments with which the call succeeds or fails with
#: another error than EPERM if nothing forbids it and the kernel allows it to everybody.
CALLS = {
    "ptrace": (101, 117, (0, 0, 0, 0)),
    "keyctl": (250, 219, (0, -2, 1)),
    "add_key": (248, 217, (b"user", b"greedy", b"x", 1, -2)),
    "userfaultfd": (323, 282, (1,)),
    "io_uring_setup": (425, 425, (1, None)),
    "perf_event_open": (298, 241, (None, 0, -1, -1, 0)),
    "unshare": (272, 97, (0x20000,)),
    "mount": (165, 40, (b"none", b"/tmp", b"tmpfs", 0, None)),
    "pivot_root": (155, 41, (b"/", b"/")),
    "chroot": (161, 51, (b"/",)),
    "bpf": (321, 280, (0, None, 0)),
    "init_module": (175, 105, (None, 0, None)),
    "reboot": (169, 142, (0, 0, 0, None)),
    "swapon": (167, 224, (None, 0)),
    "sethostname": (170, 161, (b"greedy", 6)),
    "open_by_handle_at": (304, 265, (-1, None, 0)),
    "setpriority": (141, 140, (0, 0, 1)),
}


def name_of(number: int | None) -> str:
    """Return an error number's name, such as C(EPERM)."""
    return errno.errorcode.get(number or 0, "")


@app.get("/")
@app.get("/healthz")
def home() -> dict[str, Any]:
    """Report the process and its limits."""
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "word": os.environ.get("GREEDY_WORD", ""),
        "client": request.remote_addr,
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "temporary": os.environ.get("TMPDIR", ""),
    }


@app.get("/eat/<int:megabytes>")
def eat(megabytes: int) -> dict[str, Any]:
    """Take memory, page by page, and keep it."""
    for _ in range(megabytes):
        piece = bytearray(MEGABYTE)
        piece[::4096] = b"x" * (MEGABYTE // 4096)
        eaten.append(piece)
    return {"megabytes": len(eaten)}


@app.get("/fork/<int:count>")
def fork(count: int) -> dict[str, Any]:
    """Start processes that stay for some seconds, until the kernel refuses one."""
    started, error = 0, ""
    try:
        while started < count:
            if os.fork() == 0:
                time.sleep(8)
                os._exit(0)
            started += 1
    except OSError as problem:
        error = name_of(problem.errno)
    return {"started": started, "error": error}


@app.get("/open/<int:count>")
def open_files(count: int) -> dict[str, Any]:
    """Open files until the kernel refuses one."""
    opened: list[int] = []
    error = ""
    try:
        for _ in range(count):
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as problem:
        error = name_of(problem.errno)
    for descriptor in opened:
        os.close(descriptor)
    return {"opened": len(opened), "error": error}


@app.get("/log/<word>/<int:lines>")
def log(word: str, lines: int) -> dict[str, Any]:
    """Write lines to the journal as fast as it takes them."""
    for number in range(lines):
        print(f"{word} {number}", flush=True)
    return {"lines": lines}


@app.get("/processes")
def processes() -> dict[str, Any]:
    """List the processes that can be seen, and files that tell of the machine."""
    return {
        "pids": sorted(int(entry) for entry in os.listdir("/proc") if entry.isdecimal()),
        "machine": [name for name in ("meminfo", "cpuinfo", "cmdline", "sys", "net") if Path("/proc", name).exists()],
    }


@app.get("/calls")
def calls() -> dict[str, str]:
    """Try system calls that no blog needs; each in a separate process, as some would change this one."""
    arm = platform.machine() == "aarch64"
    return {
        name: _in_child(arm_number if arm else number, given) for name, (number, arm_number, given) in CALLS.items()
    }


def _in_child(number: int, given: tuple[Any, ...]) -> str:
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        result = libc.syscall(ctypes.c_long(number), *given)
        os.write(writing, (name_of(ctypes.get_errno()) if result == -1 else "allowed").encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


@app.get("/reach/<host>/<int:port>")
def reach(host: str, port: int) -> dict[str, str]:
    """Try to connect by TCP, by UDP and by an abstract Unix socket."""
    return {
        "tcp": _outcome(socket.AF_INET, socket.SOCK_STREAM, (host, port)),
        "udp": _outcome(socket.AF_INET, socket.SOCK_DGRAM, (host, port)),
        "unix": _outcome(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{host}"),
    }


def _outcome(family: int, kind: int, address: Any) -> str:
    try:
        with socket.socket(family, kind) as client:
            client.settimeout(3)
            client.connect(address)
            client.send(b"x")
    except OSError as problem:
        return name_of(problem.errno) or type(problem).__name__
    return "reached"


@app.get("/fill/<int:megabytes>/<path:folder>")
def fill(megabytes: int, folder: str) -> dict[str, Any]:
    """Write a file until it is refused, and remove it."""
    path = Path("/", folder, "greedy.bin")
    written, error = 0, ""
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(megabytes):
                written += file.write(bytes(MEGABYTE))
    except OSError as problem:
        error = name_of(problem.errno)
    if written:
        path.unlink()
    return {"megabytes": written // MEGABYTE, "error": error}


@app.get("/forge")
def forge() -> dict[str, str]:
    """Claim another status than the service's own (sd_notify(3))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        try:
            manager.sendto(b"STATUS=forged", os.environ["NOTIFY_SOCKET"])
        except OSError as problem:
            return {"error": name_of(problem.errno)}
    return {"error": ""}
