"""
Takes a run, lets one process at a time have it.

On PostgreSQL, MySQL and MariaDB it is a lock of the session, on the connection that
writes the run's rows: who is killed loses it as soon as the server notices, who is only
stopped keeps it, and who has lost it cannot write either. No clock is asked. On SQLite
it is a lock of the system on one byte of a file beside the database, which has the same
three properties.
"""

import contextlib
import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator

from django.db import Error

from shoal.placement.control import Control
from shoal.transactions.saga.places import Ledger

_turn = threading.Lock()
_held: set[tuple[str, bytes]] = set()
"""What threads of this process have, by place: no server's lock is between them."""
_files: dict[str, int] = {}
"""Open until the process ends: closing one would give up every lock on that file."""


@contextlib.contextmanager
def locked(ledger: Ledger, saga: str, key: str) -> Iterator[bool]:
    """Yield whether nobody else has this run. Never waits."""
    name = hashlib.blake2b(f"{saga}/{key}".encode(), digest_size=8).digest()
    with ledger.open() as there:
        place = _place(there)
        file = _file(there) if there.vendor == "sqlite" else ""
    with _within_the_process(place, name) as is_free:
        if not is_free:
            yield False
        elif file:
            with _on_file(file, name) as got:
                yield got
        elif ledger.is_apart:
            with ledger.open() as there, _on_server(there, name) as got:
                yield got
        else:
            # Nobody else sees the rows of a test's transaction, or of a memory.
            yield True


def _place(there: Control) -> str:
    at = there.connection.settings_dict
    return "\n".join(str(at[key]) for key in ("ENGINE", "HOST", "PORT", "NAME"))


def _file(there: Control) -> str:
    """Return the file for the locks; `""` for a database in memory."""
    path = str(there.run("PRAGMA database_list")[0][2])
    return f"{path}-sagas.lock" if path else ""


@contextlib.contextmanager
def _within_the_process(place: str, name: bytes) -> Iterator[bool]:
    with _turn:
        is_free = (place, name) not in _held
        _held.add((place, name))
    try:
        yield is_free
    finally:
        if is_free:
            with _turn:
                _held.discard((place, name))


@contextlib.contextmanager
def _on_server(there: Control, name: bytes) -> Iterator[bool]:
    take, give = _STATEMENTS[there.vendor]
    for sql in _BEFORE[there.vendor]:
        there.run(sql)
    lock = _number(name) if there.vendor == "postgresql" else _name(there, name)
    got = there.run(take, lock) in ([(True,)], [(1,)])
    try:
        yield got
    finally:
        # A connection that is gone has given it up.
        with contextlib.suppress(Error):
            if got:
                there.run(give, lock)


_STATEMENTS = {
    "postgresql": ("SELECT pg_try_advisory_lock(%s)", "SELECT pg_advisory_unlock(%s)"),
    "mysql": ("SELECT GET_LOCK(%s, 0)", "SELECT RELEASE_LOCK(%s)"),
}
_BEFORE = {
    # A step may take long, and meanwhile this session has nothing to do.
    "postgresql": (
        "SELECT set_config('idle_session_timeout', '0', false) "
        "WHERE current_setting('idle_session_timeout', true) IS NOT NULL",
    ),
    "mysql": ("SET SESSION wait_timeout = 2147483",),
}


def _number(name: bytes) -> int:
    return int.from_bytes(name, "big", signed=True)


def _name(there: Control, name: bytes) -> str:
    """Of the whole server: other databases have locks there, too."""
    database = str(there.connection.settings_dict["NAME"]).encode()
    return f"shoal_saga_{hashlib.blake2b(database + name, digest_size=16).hexdigest()}"


@contextlib.contextmanager
def _on_file(path: str, name: bytes) -> Iterator[bool]:
    # Locks lie beyond the end of the file, which stays empty.
    start = int.from_bytes(name, "big") >> 2
    file = _opened(path)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, start)
    except (BlockingIOError, PermissionError):
        yield False
        return
    try:
        yield True
    finally:
        fcntl.lockf(file, fcntl.LOCK_UN, 1, start)


def _opened(path: str) -> int:
    with _turn:
        if path not in _files:
            _files[path] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return _files[path]


def _forget() -> None:
    """A new process has none of the locks of the one that it was forked from."""
    global _turn
    _turn = threading.Lock()
    _held.clear()


os.register_at_fork(after_in_child=_forget)
