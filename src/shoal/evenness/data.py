"""Takes operations of migrations, gives them without those that change rows. Pure."""

from collections.abc import Iterable
from typing import Any

from django.db.migrations.operations import RunPython, SeparateDatabaseAndState


def without_data(operations: Iterable[Any]) -> list[Any]:
    """Leave out what runs code. What it would do to the state is nothing, too."""
    found = []
    for operation in operations:
        if isinstance(operation, RunPython):
            continue
        if isinstance(operation, SeparateDatabaseAndState):
            found.append(
                SeparateDatabaseAndState(
                    database_operations=without_data(operation.database_operations),
                    state_operations=operation.state_operations,
                )
            )
        else:
            found.append(operation)
    return found
