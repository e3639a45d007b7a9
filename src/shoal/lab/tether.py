"""
Takes a keeper, gives orders to it: the lab's end of the line.

While this end is open the keeper keeps the servers running. A forked child closes
its copy at once, so that only the death of the lab's own process counts.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shoal.errors import LabError
from shoal.lab import keeper
from shoal.lab.privileges import Account, account, check_enterable

ANSWER_WITHIN = 60.0
GONE_WITHIN = 30.0
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ", "TZDIR")


class Tether:
    """An open line to a keeper of one's own."""

    def __init__(self) -> None:
        self.user = account()
        check_enterable(Path(tempfile.gettempdir()), self.user)
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._number = 0
        self._line, far_end = socket.socketpair()
        self._line.settimeout(ANSWER_WITHIN)
        with far_end:
            self._keeper = _start_keeper(far_end, self.user)
        self._received = b""
        _all.add(self)
        self.directory = Path(os.devnull)
        try:
            self.directory = Path(self._answer(0)["directory"])
        except BaseException:
            self.close()
            raise

    @property
    def keeper_pid(self) -> int:
        return self._keeper.pid

    @property
    def mine(self) -> bool:
        """Whether this process opened the line, and it is open."""
        return self._owner == os.getpid() and self._line.fileno() >= 0

    def spawn(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        last_signal: int = signal.SIGKILL,
    ) -> int:
        """Start a process and return its id; `last_signal` takes it down in the end."""
        passed_on = {k: v for k, v in os.environ.items() if k in PASSED_ON}
        return int(
            self._order(
                "spawn",
                argv=[str(word) for word in argv],
                log=str(log),
                env={**passed_on, "LC_ALL": "C", "HOME": str(self.directory)},
                last_signal=int(last_signal),
            )["pid"]
        )

    def exit_code(self, pid: int) -> int | None:
        """Return the exit code of a process, None while it runs."""
        code = self._order("poll", pid=pid)["code"]
        return None if code is None else int(code)

    def wait(self, pid: int, *, within: float) -> int | None:
        """Return the exit code as soon as there is one, None after `within` seconds."""
        deadline = time.monotonic() + within
        while (code := self.exit_code(pid)) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return code

    def signal(self, pid: int, number: int) -> None:
        """Send a signal to a process that this tether's keeper started."""
        self._order("signal", pid=pid, signal=int(number))

    def claim(self, path: Path, text: str) -> bool:
        """Make a file that goes with the lab; say no if a living lab has it."""
        return bool(self._order("claim", path=str(path), text=text)["mine"])

    def publish(self, path: Path, text: str) -> None:
        """Replace the text of a file that was claimed."""
        self._order("publish", path=str(path), text=text)

    def wait_until_gone(self) -> None:
        """Return when the keeper has ended, which others may have asked it to."""
        self._keeper.wait()

    def detach(self) -> None:
        """Let everything go on without this process."""
        self._order("detach")
        self._keeper.returncode = 0  # Nobody waits for it any more.
        self._hang_up()

    def close(self) -> None:
        """Stop everything that was started and return when it is gone."""
        if not self.mine:
            return
        self._hang_up()
        try:
            self._keeper.wait(GONE_WITHIN)
        except subprocess.TimeoutExpired as error:
            raise LabError(
                f"The lab's servers are not gone after {GONE_WITHIN:g} seconds.",
                hint=f"See what holds process {self._keeper.pid} up.",
            ) from error
        # Only a keeper that was killed leaves anything.
        shutil.rmtree(self.directory, ignore_errors=True)

    def _hang_up(self) -> None:
        # Shut down first: another thread may wait for an answer on it.
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RDWR)
        self._line.close()

    def _order(self, what: str, **details: Any) -> dict[str, Any]:
        if not self.mine:
            raise LabError(
                "The lab's servers are not this process's to command.",
                hint="Only the process that started a lab can, until it is stopped.",
            )
        with self._lock:
            self._number += 1
            number = self._number
            order = {"number": number, "do": what, **details}
            try:
                self._line.sendall(json.dumps(order).encode() + b"\n")
                return self._answer(number)
            except (OSError, ValueError) as error:
                raise LabError(
                    "The process that keeps the lab's servers is gone.",
                    hint="It was killed, or the lab is being stopped. Start it again.",
                ) from error

    def _answer(self, number: int) -> dict[str, Any]:
        """Return the answer to order `number`; skip those nobody waited for."""
        while True:
            text, newline, rest = self._received.partition(b"\n")
            if newline:
                self._received = rest
                answer: dict[str, Any] = json.loads(text)
                if answer["number"] == number:
                    break
            elif received := self._line.recv(65536):
                self._received += received
            else:
                raise ConnectionResetError("the keeper hung up")
        if "error" in answer:
            raise LabError(
                f"The lab can't go on: {answer['error']}.",
                hint=f"It works in {tempfile.gettempdir()}; TMPDIR changes that.",
            )
        return answer


def _start_keeper(
    far_end: socket.socket, user: Account | None
) -> subprocess.Popen[bytes]:
    identity = (user.uid, user.gid) if user else ()
    arguments = (os.getpid(), tempfile.gettempdir(), *identity)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", keeper.__file__, *map(str, arguments)],
        stdin=far_end.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


_all: weakref.WeakSet[Tether] = weakref.WeakSet()


def _let_go_in_child() -> None:
    for tether in _all:
        if (line := tether._line.detach()) >= 0:
            os.close(line)


os.register_at_fork(after_in_child=_let_go_in_child)
