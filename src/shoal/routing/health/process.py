"""The watch of this process. Begins with its first read, and anew after a fork."""

import atexit
import os
import threading
from typing import Any

from shoal.conf import on_settings_change
from shoal.routing.health.watch import Watch
from shoal.topology import get_topology

_watch: Watch | None = None
_beginning = threading.Lock()
_inherited: list[Any] = []
"""Watches of the process that this one was forked from. Kept, since closing their
connections would end the parent's."""


def get_watch() -> Watch:
    """Return the watch over the clusters that have replicas; start nothing."""
    global _watch
    watch = _watch
    if watch is None:
        with _beginning:
            watch = _watch = _watch or Watch(
                edition for edition in get_topology().editions() if edition.replicas
            )
    return watch


def stop_watching() -> None:
    """
    Close the connections of the watch; the next read begins a new one.

    For tests, which drop their databases in the end.
    """
    global _watch
    watch, _watch = _watch, None
    if watch is not None:
        watch.stop()


def _after_fork() -> None:
    """Forget the parent's watch: its threads are not here."""
    global _watch, _beginning
    _beginning = threading.Lock()
    if _watch is not None:
        _inherited.append(_watch)
        _watch = None


on_settings_change(stop_watching)
atexit.register(stop_watching)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
