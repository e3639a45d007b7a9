"""
Forks a process for each line of its input, which runs sagas and may kill itself.

Django is set up once; no connection is open when it forks. A line is a JSON object:
what to `do` (`start` or `resume`), or whom to `wait` for. Each gets one in answer. A
process leaves a file with its number as the name, with a line for each of its sessions.
"""

import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import django
from django.db.backends.signals import connection_created


class Killer(logging.Handler):
    """Kills its process at an event, the first being number 1."""

    def __init__(self, at: int, sign: int) -> None:
        super().__init__()
        self.left, self.sign = at, sign

    def emit(self, record: logging.LogRecord) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.sign)


def note_session(connection: Any, **signal: Any) -> None:
    """Write down what a server calls this connection."""
    if connection.vendor == "postgresql":
        number = connection.connection.info.backend_pid
    elif connection.vendor == "mysql":
        number = connection.connection.thread_id()
    else:
        return
    with (Path(sys.argv[1]) / str(os.getpid())).open("a") as file:
        file.write(f"{number}\n")


def run(wanted: dict[str, Any]) -> None:
    from shoal.transactions.saga import resume
    from tests.integration.sagas.shop import sagas

    sagas.LOGGER.setLevel(logging.DEBUG)
    sagas.LOGGER.propagate = False
    sign = signal.SIGSTOP if wanted.get("stop") else signal.SIGKILL
    sagas.LOGGER.addHandler(Killer(wanted.get("at", 0), sign))
    if wanted["do"] == "resume":
        resume()
    else:
        saga = getattr(sagas, wanted["saga"])
        saga.start(wanted["key"], wanted["data"])


def fork(wanted: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        run(wanted)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def main() -> None:
    django.setup()
    connection_created.connect(note_session)
    import tests.integration.sagas.shop.sagas  # noqa: F401

    for line in sys.stdin:
        wanted = json.loads(line)
        if "wait" in wanted:
            flags = os.WUNTRACED if wanted.get("stopped") else 0
            _, status = os.waitpid(wanted["wait"], flags)
            stopped = os.WIFSTOPPED(status)
            answer = None if stopped else os.waitstatus_to_exitcode(status)
        else:
            answer = fork(wanted)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
