"""
Takes orders on its standard input, gives processes that never outlive their lab.

Runs as a program of its own, in a session of its own, and is the parent of every
server. Its standard input is a socket whose other end only the lab's process has.
When that end closes, however its owner died, the keeper stops everything that it
started, removes the lab's directory and ends. So must it when it is terminated.

It imports nothing but the standard library: it has to be up in no time.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PREFIX = "shoal-lab-"
LOCK = "keeper.lock"
STALE = 60.0
"""Seconds after which the directory of a keeper that is gone may be removed."""
PATIENCE = 8.0
"""Seconds that servers may take to obey before they are killed."""
SET_PDEATHSIG, SET_CHILD_SUBREAPER = 1, 36
IPC_RMID = 0

Order = dict[str, Any]


class Keeper:
    """Starts processes, watches them, and takes all of them down in the end."""

    def __init__(self, parent: int, tempdir: str, uid: int | None, gid: int | None):
        self.parent = parent
        self.uid, self.gid = uid, gid
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=tempdir))
        # Held, and so locked, until the keeper ends in whatever way.
        self.lock = (self.directory / LOCK).open("w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        if uid is not None and gid is not None:
            os.chown(self.directory, uid, gid)
        self.detached = False
        self.claimed: list[Path] = []
        self.last_signal: dict[int, int] = {}
        self.codes: dict[int, int] = {}

    def obey(self, order: Order) -> Order:
        match order.pop("do"):
            case "spawn":
                return {"pid": self.spawn(**order)}
            case "poll":
                self.reap()
                return {"code": self.codes.get(order["pid"])}
            case "signal":
                self.reap()
                if order["pid"] in self.last_signal:
                    os.killpg(order["pid"], order["signal"])
                return {}
            case "claim":
                return {"mine": self.claim(Path(order["path"]), order["text"])}
            case "publish":
                publish(Path(order["path"]), order["text"])
                return {}
            case "detach":
                self.detached = True
                return {}
            case unknown:
                return {"error": f"unknown order {unknown!r}"}

    def spawn(
        self,
        argv: list[str],
        log: str,
        env: dict[str, str],
        last_signal: int,
    ) -> int:
        """Start a process in a group of its own; it dies if the keeper is killed."""
        with open(log, "ab") as output:
            if self.uid is not None:
                os.fchown(output.fileno(), self.uid, self.gid or 0)
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=self.directory,
                start_new_session=True,
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else [],
                umask=0o077,
                preexec_fn=lambda: die_with_parent(last_signal),
            )
        process.returncode = 0  # Reaped here, not by Popen.
        self.last_signal[process.pid] = last_signal
        return process.pid

    def claim(self, path: Path, text: str) -> bool:
        """
        Make a file that names this lab, to be removed with it.

        Say no when a living lab has it. The file is made here, and not by the lab's
        process, so that nothing of it is left wherever that process dies.
        """
        while True:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError), locked(path.parent):
                if path.exists():
                    owner = json.loads(path.read_text(encoding="utf-8"))["directory"]
                    if alive(Path(owner)):
                        return False
                    path.unlink()
                publish(path, text)
                self.claimed.append(path)
                return True

    def reap(self) -> bool:
        """Note who has ended; say whether anybody is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if self.last_signal.pop(pid, None) is not None:
                self.codes[pid] = os.waitstatus_to_exitcode(status)

    def abandoned(self) -> bool:
        return not self.detached and os.getppid() != self.parent

    def clean_up(self) -> None:
        segments = shared_memory(self.directory)
        for pid, last_signal in list(self.last_signal.items()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, last_signal)
        patience = time.monotonic() + PATIENCE
        while self.reap() and time.monotonic() < patience:
            time.sleep(0.01)
        while self.reap():
            for pid in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        for segment in segments:
            remove_shared_memory(segment)
        for path in self.claimed:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        # More than once: a dying thread of the lab may still write a file into it.
        for _ in range(20):
            shutil.rmtree(self.directory, ignore_errors=True)
            if not self.directory.exists():
                break
            time.sleep(0.05)


def die_with_parent(last_signal: int) -> None:
    prctl(SET_PDEATHSIG, last_signal)


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process, where the system is Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def descendants(ancestor: int) -> list[int]:
    """Return all processes below `ancestor`, as Linux lists them."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            parents[int(stat.parent.name)] = int(
                stat.read_text().rpartition(")")[2].split()[1]
            )
    found = [ancestor]
    for known in found:
        found += [pid for pid, parent in parents.items() if parent == known]
    return found[1:]


def shared_memory(directory: Path) -> list[int]:
    """Return the System V segments of PostgreSQL, which outlive a SIGKILL."""
    found = []
    for path in directory.glob("*/data/postmaster.pid"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            found.append(int(path.read_text().splitlines()[6].split()[1]))
    return found


def remove_shared_memory(segment: int) -> None:
    """Remove a segment, or do nothing when it is gone already."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).shmctl(segment, IPC_RMID, None)


def serve(keeper: Keeper, line: socket.socket) -> None:
    """Obey until the lab's end of the line closes, or its process is gone."""
    pending = b""
    while not keeper.abandoned():
        readable, _, _ = select.select([] if keeper.detached else [line], [], [], 0.5)
        keeper.reap()
        if not readable:
            continue
        received = line.recv(65536)
        if not received and not keeper.detached:
            return
        *orders, pending = (pending + received).split(b"\n")
        for text in orders:
            answer(keeper, line, json.loads(text))


def answer(keeper: Keeper, line: socket.socket, order: Order) -> None:
    number = order.pop("number")
    try:
        reply = keeper.obey(order)
    except (OSError, subprocess.SubprocessError) as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    line.sendall(json.dumps({"number": number, **reply}).encode() + b"\n")


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other keepers out of a directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def publish(path: Path, text: str) -> None:
    """Write a file in one step, for this user's eyes only."""
    draft = path.with_suffix(".draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def alive(directory: Path) -> bool:
    """Say whether the keeper of this directory still holds its lock."""
    try:
        with (directory / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def sweep(tempdir: Path, uid: int | None) -> None:
    """Remove what keepers left that were killed, or died with the machine."""
    mine = {os.geteuid(), uid}
    for directory in tempdir.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = (directory / LOCK).stat()
            old = time.time() - lock.st_mtime > STALE
            if old and directory.lstat().st_uid in mine and not alive(directory):
                shutil.rmtree(directory, ignore_errors=True)


def stop(*_: object) -> None:
    raise SystemExit


def main(parent: str, tempdir: str, uid: str = "", gid: str = "") -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGTERM, stop)
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_IGN)
    prctl(SET_CHILD_SUBREAPER, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    line = socket.socket(fileno=0)
    greeting: Order
    try:
        keeper = Keeper(
            int(parent), tempdir, int(uid) if uid else None, int(gid) if gid else None
        )
    except OSError as error:
        line.sendall(json.dumps({"number": 0, "error": str(error)}).encode() + b"\n")
        return
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        greeting = {"number": 0, "directory": str(keeper.directory)}
        line.sendall(json.dumps(greeting).encode() + b"\n")
        sweep(Path(tempdir), keeper.uid)
        serve(keeper, line)
    except OSError:
        pass  # The line broke: the lab's process is gone.
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        keeper.clean_up()


if __name__ == "__main__":
    main(*sys.argv[1:])
