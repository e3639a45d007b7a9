"""A column of a temporary table."""

from dataclasses import dataclass
from typing import Any

from django.db.models.expressions import Col


@dataclass(frozen=True, kw_only=True)
class Column:
    """What a table is made of where it is not made like another."""

    name: str
    type: str
    """As SQL has it, with its collation; empty: of any type, where there is that."""


def column_type(field: Any, connection: Any) -> str:
    """Return the type of a field's column, without what counts it up."""
    has: Any = field.db_parameters(connection=connection)
    # A foreign key, or an automatic one, without what makes it one.
    kind = str(field.rel_db_type(connection) or has["type"])
    collation = has.get("collation")
    if collation:
        kind = f"{kind} COLLATE {connection.ops.quote_name(collation)}"
    return kind


def declared_type(expression: Any, connection: Any) -> str:
    """Return the type that SQLite knows of an expression: columns alone have one."""
    is_column = isinstance(expression, Col)
    return column_type(expression.target, connection) if is_column else ""
