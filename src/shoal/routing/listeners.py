"""
Who is told when a unit of work gets another member to read from. Holds their list.

Metrics and traces listen here. The list is empty unless the project installs one, and
nobody is called for a read that goes where the one before it went.
"""

from collections.abc import Callable
from typing import TypeAlias

from shoal.routing.context import Choice
from shoal.topology import Cluster

Listener: TypeAlias = Callable[[Cluster, Choice], None]
"""Called with the edition, in the thread or task that reads. It must not do I/O."""

listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Tell `listener` of choices from now on; once, however often this is called."""
    if listener not in listeners:
        listeners.append(listener)


def forget(listener: Listener) -> None:
    """Tell it no more."""
    if listener in listeners:
        listeners.remove(listener)
