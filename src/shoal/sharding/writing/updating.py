"""
Takes an update, sends it to the shards whose rows it may change, gives how many it did.

One that looks at other tables is first told, by a query of its own, which rows it
changes and to what.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import ExpressionWrapper
from django.db.models.sql.constants import MULTI, ROW_COUNT
from django.db.models.sql.subqueries import UpdateQuery

from shoal.sharding.conditions import is_fickle
from shoal.sharding.counting import as_one_query
from shoal.sharding.writing.keys import KeyChange, MustMove
from shoal.sharding.writing.statement import AT_ONCE, Entangled, Writing


class Updating(Writing):
    """One update, until its rows are where their keys say."""

    keys: Sequence[Any] = ()
    """The primary keys of the rows, where they had to be found first."""

    def run_returning(self, fields: Any) -> list[Any]:
        """Return what Django asks of the rows that were written: since 6.0."""
        if not fields:
            self._execute = self.compiler.count_rows
            return [()] * int(self.run(ROW_COUNT) or 0)
        try:
            rows: list[Any] = self.execute(fields)
        except (Entangled, MustMove):
            self._execute = self.compiler.count_rows
            self.run(ROW_COUNT)
            model = self.query.get_meta().model
            found = model._base_manager.using(self.connection.alias)
            names = [field.attname for field in fields]
            rows = list(found.filter(pk__in=self.keys).values_list(*names))
        return rows

    def run(self, result_type: Any = ROW_COUNT, *args: Any) -> Any:
        with as_one_query(self.connection):
            try:
                return self.execute(result_type, *args)
            except Entangled:
                with transaction.atomic(self.connection.alias, savepoint=False):
                    return self._with_values_found()
            except MustMove:
                change = KeyChange(self)
                count = change.move()
                self.keys = change.keys
                return count

    def before(self) -> None:
        if self.layout.kind == "reference" and any(
            hasattr(value, "flatten") and is_fickle(value)
            for _, _, value in self.query.values
        ):
            # Every shard gets the value that one of them has computed.
            raise Entangled
        if getattr(self.query, "is_moving", False):
            return
        KeyChange(self).require_same_shard()

    def _with_values_found(self) -> int:
        """Ask for the rows and their new values, and write these."""
        query = self.query
        found = [v for v in query.values if hasattr(v[2], "resolve_expression")]
        select = self.select_primary_keys()
        for index, (field, _, value) in enumerate(found):
            # An update need not say of what type an expression is: its field does.
            of: Any = getattr(field, "target_field", field)
            typed = ExpressionWrapper(value, output_field=of)
            select.add_annotation(typed, f"shoal_{index}")
        width = len(self.primary_key)
        groups: dict[Any, list[Any]] = defaultdict(list)
        known: set[Any] = set()
        compiler = select.get_compiler(self.connection.alias)
        for row in compiler.results_iter(compiler.execute_sql(MULTI)):
            key = row[0] if width == 1 else tuple(row[:width])
            if key in known:
                # It was joined several times, and is one row.
                continue
            known.add(key)
            groups[_hashable(row[width:])].append((key, row[width:]))
        self.keys = [key for rows in groups.values() for key, _ in rows]
        count = 0
        for rows in groups.values():
            values = dict(zip(map(id, found), rows[0][1], strict=True))
            changed = [
                (field, model, values.get(id(entry), value))
                for entry in query.values
                for field, model, value in (entry,)
            ]
            keys = [key for key, _ in rows]
            for start in range(0, len(keys), AT_ONCE):
                count += self._update(changed, keys[start : start + AT_ONCE])
        for related in query.get_related_updates():
            related.get_compiler(self.connection.alias).execute_sql(ROW_COUNT)
        return count

    def _update(self, values: list[Any], keys: list[Any]) -> int:
        query: Any = UpdateQuery(self.query.get_meta().model)
        query.values = values
        query.add_filter("pk__in", keys)
        compiler = query.get_compiler(self.connection.alias)
        return int(compiler.execute_sql(ROW_COUNT) or 0)


def _hashable(values: Any) -> Any:
    """Return what tells two rows of new values apart."""
    return tuple(repr(value) for value in values)
