"""
Takes objects to insert unless they are there, finds those that are, on any shard.

Only for what no shard can tell alone: a conflict over fields that do not contain the
key. Two processes that insert the same at the same moment may both succeed, as they may
without `ignore_conflicts`; `manage.py check` names each such field.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from django.db.models import Q, UniqueConstraint
from django.db.models.constants import OnConflict
from django.db.models.sql.constants import ROW_COUNT
from django.db.models.sql.subqueries import UpdateQuery

from shoal.errors import QueryRefused
from shoal.placement.enforcing import enforces_unique

Fields: TypeAlias = tuple[Any, ...]
AT_ONCE = 500
"""Objects that one query looks for."""


class Conflicts:
    """
    What keeps objects of one insert from being inserted, on whatever shard it is.

    Raises `QueryRefused` where equal rows cannot be looked for.
    """

    def __init__(self, compiler: Any) -> None:
        self._compiler, self._query = compiler, compiler.query
        self._connection = compiler.connection
        self._meta: Any = compiler.query.get_meta()
        self._beyond = [u for u in self._uniques() if not self._is_enforced(u)]

    @property
    def are_beyond_a_shard(self) -> bool:
        return bool(self._beyond)

    def existing(self, objs: Sequence[Any]) -> dict[int, Q]:
        """Return which of the objects are there, and how to find their rows."""
        found: dict[int, Q] = {}
        for fields in self._beyond:
            wanted = self._values(objs, fields)
            there = self._there(fields, list(dict.fromkeys(wanted.values())))
            seen: set[Any] = set()
            for index, values in wanted.items():
                if values in there or values in seen:
                    found.setdefault(index, _equal(fields, values))
                seen.add(values)
        return found

    def update(self, obj: Any, where: Q) -> None:
        """Give the row that is there the values of the object."""
        query: Any = UpdateQuery(self._meta.model)
        query.values = [
            (field, None, self._compiler.pre_save_val(field, obj))
            for field in self._query.update_fields
        ]
        query.add_q(where)
        query.get_compiler(self._connection.alias).execute_sql(ROW_COUNT)

    def row(self, where: Q, fields: Sequence[Any]) -> tuple[Any, ...]:
        """Return what an insert would return of the row that is there."""
        rows = self._meta.model._base_manager.using(self._connection.alias)
        names = [field.attname for field in fields]
        found: tuple[Any, ...] = rows.filter(where).values_list(*names).get()
        return found

    def _values(self, objs: Sequence[Any], fields: Fields) -> dict[int, Any]:
        """Return the values of each object that can conflict: NULL never does."""
        found = {}
        for index, obj in enumerate(objs):
            values = tuple(self._value(field, obj) for field in fields)
            if None not in values:
                found[index] = values
        return found

    def _value(self, field: Any, obj: Any) -> Any:
        if field not in self._query.fields:
            return getattr(obj, field.attname)
        value = self._compiler.pre_save_val(field, obj)
        if hasattr(value, "resolve_expression"):
            raise self._refused(fields=(field,))
        return field.to_python(getattr(value, "pk", value))

    def _there(self, fields: Fields, wanted: Sequence[Any]) -> set[Any]:
        rows = self._meta.model._base_manager.using(self._connection.alias)
        found: set[Any] = set()
        for start in range(0, len(wanted), AT_ONCE):
            either = Q()
            for values in wanted[start : start + AT_ONCE]:
                either |= _equal(fields, values)
            found |= set(rows.filter(either).values_list(*(f.attname for f in fields)))
        return found

    def _uniques(self) -> Iterator[Fields]:
        """Yield the fields whose equality is a conflict."""
        named = self._query.unique_fields
        if self._query.on_conflict == OnConflict.UPDATE and named:
            yield tuple(named)
            return
        for field in self._meta.local_concrete_fields:
            if field.unique and not field.primary_key:
                yield (field,)
        for names in self._meta.unique_together:
            yield self._named(names)
        for constraint in self._meta.constraints:
            if isinstance(constraint, UniqueConstraint):
                fields = self._named(constraint.fields)
                if constraint.condition is not None or constraint.expressions:
                    if not fields or not self._is_enforced(fields):
                        raise self._refused(fields)
                else:
                    yield fields

    def _named(self, names: Sequence[str]) -> Fields:
        return tuple(self._meta.get_field(name) for name in names)

    def _is_enforced(self, fields: Fields) -> bool:
        names = [field.name for field in fields]
        return enforces_unique(self._meta.model, names, self._connection.cluster)

    def _refused(self, fields: Fields) -> QueryRefused:
        names = ", ".join(field.name for field in fields) or "an expression"
        return QueryRefused(
            f"{self._meta.label}: whether a row conflicts over {names} cannot be told, "
            "since equal ones may be on two shards.",
            hint="Look for the rows first, or make the key a part of the constraint.",
        )


def _equal(fields: Fields, values: Sequence[Any]) -> Q:
    pairs = zip(fields, values, strict=True)
    return Q(**{field.attname: value for field, value in pairs})
