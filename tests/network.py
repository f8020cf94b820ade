"""No test may reach another machine: what is not loopback or a Unix socket is refused, and the test fails.

An audit hook sees every connection, datagram and name that Python's sockets are asked for, before it leaves,
in threads and forked children too. New interpreters and sockets of C code are not seen: for them,
`unshare -rn python -m pytest`.
"""

import socket
import sys
from ipaddress import ip_address
from typing import Any

import pytest

REACHING = ("socket.connect", "socket.sendto", "socket.sendmsg")
NAMING = ("socket.getaddrinfo", "socket.gethostbyname")
refused: list[str] = []  # since the last test


class NetworkError(RuntimeError):
    """A test asked for another machine."""


def refuse() -> None:
    """From now on, for the life of the process."""
    sys.addaudithook(_look)


def judge() -> None:
    """Fail if something was refused, even where the error was swallowed."""
    if refused:
        found = ", ".join(refused)
        refused.clear()
        pytest.fail(f"the network is off in tests, but this was asked for: {found}", pytrace=False)


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if event in REACHING:
        here = arguments[0].family not in (socket.AF_INET, socket.AF_INET6) or arguments[1] is None
        asked = None if here else arguments[1][0]
    elif event in NAMING:
        asked = arguments[0]
    else:
        return
    if not _here(asked):
        refused.append(f"{event} {asked}")
        raise NetworkError(f"the network is off in tests: {event} {asked}; use 127.0.0.1, or a file")


def _here(host: str | bytes | None) -> bool:
    """Whether the host is this machine; the empty one is any of its addresses."""
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ip_address(str(name)).is_loopback
    except ValueError:
        return False
