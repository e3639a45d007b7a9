"""
Takes nothing, gives ports that nobody listens on; checks the paths of sockets.

They lie below the range from which the kernel picks a client's port, so that a
server that was stopped finds its port free when it starts again.
"""

import random
import socket
from collections.abc import Container
from pathlib import Path

from shoal.errors import LabError

HOST = "127.0.0.1"
LOWEST, USUAL_HIGHEST = 15000, 32767
KERNEL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
ATTEMPTS = 500
LONGEST_SOCKET = 107
"""Bytes. Linux: sun_path in man 7 unix."""
_random = random.SystemRandom()


def free_port(taken: Container[int] = ()) -> int:
    """Return a port that was free a moment ago and is not one of `taken`."""
    highest = _highest()
    for _ in range(ATTEMPTS):
        port = _random.randint(LOWEST, highest)
        if port not in taken and _is_free(port):
            return port
    raise LabError(
        f"No free port was found between {LOWEST} and {highest} on {HOST}.",
        hint="Stop some of the servers that listen there.",
    )


def _highest() -> int:
    try:
        first_of_kernel = int(KERNEL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return USUAL_HIGHEST
    return first_of_kernel - 1 if first_of_kernel > LOWEST + 1000 else USUAL_HIGHEST


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def check_socket(path: Path) -> None:
    """Raise `LabError` where a socket's path is longer than the system takes."""
    if len(bytes(path)) > LONGEST_SOCKET:
        raise LabError(
            f"The socket {str(path)!r} has a path of {len(bytes(path))} bytes.",
            hint=f"The system takes {LONGEST_SOCKET}. Set TMPDIR to a shorter "
            "directory, or give the server a shorter name.",
        )
