"""Takes an error of a server, lets it say which shard it is about."""

from typing import Any

from django.db import InterfaceError, OperationalError, ProgrammingError

from shoal.errors import ShoalError
from shoal.types import Alias

NAMED = (OperationalError, InterfaceError, ProgrammingError)
"""What tells of a server, or of its tables, and not of a value."""


class naming:
    """Let errors of a server say which shard it is."""

    def __init__(self, alias: Alias) -> None:
        self._alias = alias

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        is_named = getattr(error, "shoal_named", False) or isinstance(error, ShoalError)
        if isinstance(error, NAMED) and not is_named:
            named: Any = type(error)(f"On the shard {self._alias!r}: {error}")
            named.shoal_named = True
            raise named from error
