"""Takes values, gives what is recorded of them, and back. Touches no database."""

import json
from typing import Any
from uuid import UUID

from shoal.errors import SagaDataError
from shoal.transactions.lines import recordable

_LONGEST_KEY = 255
_LONGEST_ERROR = 300


def dumped(value: Any, what: str) -> str:
    """Return a value as JSON, or raise `SagaDataError`."""
    try:
        return json.dumps(value, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise SagaDataError(
            f"{what} is recorded as JSON, which it cannot be: {error}.",
            hint="Use text, numbers, lists and dicts: a primary key for an object, "
            "str() for a date or a Decimal.",
        ) from error


def loaded(text: str) -> Any:
    return json.loads(text)


def as_key(key: Any) -> str:
    """Return the key of a run as text, or raise `SagaDataError`."""
    if isinstance(key, int | UUID) and not isinstance(key, bool):
        return str(key)
    if isinstance(key, str) and 0 < len(key) <= _LONGEST_KEY and key.isprintable():
        return key
    raise SagaDataError(
        f"A run of a saga cannot have the key {key!r}.",
        hint="Use an int, a UUID, or a str of 1 to 255 printable characters.",
    )


def shortened(error: BaseException) -> str:
    """Return what is recorded of an error: its class, and the beginning of its text."""
    return recordable(error, _LONGEST_ERROR)
