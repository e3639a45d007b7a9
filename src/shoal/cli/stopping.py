"""Takes the signals that end a command, gives an event: for commands that stay."""

import contextlib
import signal
from collections.abc import Iterator
from threading import Event
from typing import Any


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[Event]:
    """Let SIGTERM and Ctrl-C end the work after what is at hand; the second one now."""
    stop = Event()

    def end(number: int, *args: Any) -> None:
        signal.signal(number, before[signal.Signals(number)])
        stop.set()

    before = {one: signal.signal(one, end) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
