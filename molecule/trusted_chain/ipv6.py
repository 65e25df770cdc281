"""Give a machine an IPv6 address beside its IPv4 address, as Docker's default network has none: ipv6.py PREFIX."""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess
import sys
from pathlib import Path

DEVICE = "eth0"
#: linux/sockios.h
SIOCSIFADDR = 0x8916

(own, *_) = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
subprocess.run(["mount", "-o", "remount,rw", "/proc/sys"], check=True)
for device in ("lo", DEVICE):
    Path(f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6").write_text("0")
Path(f"/proc/sys/net/ipv6/conf/{DEVICE}/accept_dad").write_text("0")  # the address can be used at once
request = struct.pack("16sIi", socket.inet_pton(socket.AF_INET6, sys.argv[1] + own), 64, socket.if_nametoindex(DEVICE))
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
    fcntl.ioctl(control, SIOCSIFADDR, request)
