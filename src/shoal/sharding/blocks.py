"""
What an enclosing block says of how queries on a sharded alias are answered, in a
ContextVar.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from shoal.routing.scopes import Scope

_said: ContextVar[Mapping[str, Any]] = ContextVar(
    "shoal.sharding", default=MappingProxyType({})
)


def said(key: str, default: Any) -> Any:
    """Return what the enclosing blocks say of this."""
    return _said.get().get(key, default)


class Block(Scope):
    """A context manager and a decorator, for sync and async code alike."""

    def _values(self) -> Mapping[str, Any]:
        return _said.get()

    def _set(self, values: Mapping[str, Any]) -> None:
        _said.set(MappingProxyType(values))
