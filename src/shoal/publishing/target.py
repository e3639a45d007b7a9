"""
The edition that is written. Takes a copy of rows and links, makes the edition like it.

Order: new rows, those they refer to first; rows that changed; links; then what is to
be removed, when nothing that was copied refers to it any more. Where a value that must
be unique is still held by a row that is to change or go, everything is undone and done
once more with those rows taken out of the way first.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, connections, transaction

from shoal.publishing.difference import Difference, difference
from shoal.publishing.reading import BATCH, batches, read, rows_all
from shoal.publishing.removal import Doomed, doomed, remove
from shoal.publishing.report import Tally
from shoal.publishing.sequences import advance
from shoal.publishing.tables import Key, ModelClass, Row, Table, in_order, table_of
from shoal.publishing.unique import Hindrance, hindrances, take_away
from shoal.publishing.walk import Copy, Links, pairs_in
from shoal.publishing.writing import RowRefused, insert, update
from shoal.types import Alias, ClusterName


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one edition lacks, and what it has too much."""

    alias: Alias
    ordered: Sequence[Table]
    in_rings: frozenset[ModelClass]
    parts: tuple[Difference, ...]
    """In the order of the tables."""
    links: tuple[Links, ...]
    doomed: Doomed


def plan_for(copy: Copy, cluster: ClusterName, alias: Alias) -> Plan:
    """Compare the copy with what the edition has now."""
    models = {*copy.rows, *(scope.model for scope in copy.scopes)}
    ordered, in_rings = in_order([table_of(model, cluster) for model in models])
    parts = (
        difference(table, rows.values(), _there(table, alias, rows))
        for table in ordered
        if (rows := copy.rows.get(table.model))
    )
    return Plan(
        alias=alias,
        ordered=ordered,
        in_rings=in_rings,
        parts=tuple(parts),
        links=tuple(copy.links.values()),
        doomed=doomed(copy.scopes, alias, copy.rows),
    )


def _there(table: Table, alias: Alias, keys: Any) -> dict[Key, Row]:
    # MySQL can't be told which key an update is to go by, and takes any unique one if
    # the row is gone. So it must not go.
    lock = not connections[alias].features.supports_update_conflicts_with_target
    return {table.key_of(row): row for row in read(table, alias, "pk", keys, lock=lock)}


def carry_out(plan: Plan, tally: Tally) -> None:
    """Write it all, within the transaction that is open."""
    taken = _write_all_rows(plan)
    for part in plan.parts:
        tally.add("created", part.table.label, len(part.new))
        tally.add("updated", part.table.label, len(part.changed))
        tally.add("unchanged", part.table.label, part.unchanged)
    for links in plan.links:
        _write_links(links, plan.alias, tally)
    for item in taken.values():
        tally.add("removed", item.table.label, len(item.doomed))
    remove(plan.doomed, plan.ordered, plan.alias, tally)
    advance(plan.parts, plan.alias)
    _check_what_hung_on(taken, plan.alias)


def _write_all_rows(plan: Plan) -> Mapping[ModelClass, Hindrance]:
    """Write the rows; give those that had to be taken out of the way for that."""
    in_the_way = hindrances(plan.parts, plan.doomed)
    try:
        with transaction.atomic(using=plan.alias):
            _write_rows(plan, {})
    except RowRefused as error:
        if not in_the_way or not isinstance(error.__cause__, IntegrityError):
            raise
        with _unchecked(plan.alias, True):
            if not take_away(in_the_way, plan.alias):
                raise
        _write_rows(plan, in_the_way)
        return in_the_way
    return {}


def _write_rows(plan: Plan, taken: Mapping[ModelClass, Hindrance]) -> None:
    for part in plan.parts:
        model = part.table.model
        again = _again(part, taken)
        with _unchecked(plan.alias, model in plan.in_rings or bool(again)):
            insert(part.table, [*part.new, *again.values()], plan.alias)
    for part in plan.parts:
        again = _again(part, taken)
        rows = [row for row in part.changed if part.table.key_of(row) not in again]
        update(part.table, rows, plan.alias)


def _again(
    part: Difference, taken: Mapping[ModelClass, Hindrance]
) -> Mapping[Key, Row]:
    """Return the rows that were taken away to be written as new ones."""
    hindrance = taken.get(part.table.model)
    return hindrance.changed if hindrance else {}


@contextlib.contextmanager
def _unchecked(alias: Alias, wanted: bool) -> Iterator[None]:
    """
    Let rows of a ring refer to rows that come later, where the server won't (MySQL).

    Nothing is left dangling: what a copied row refers to is copied, too.
    """
    connection = connections[alias]
    if wanted and not connection.features.supports_forward_references:
        with connection.constraint_checks_disabled():
            yield
    else:
        yield


def _check_what_hung_on(taken: Mapping[ModelClass, Hindrance], alias: Alias) -> None:
    """Check rows that refer to those that were gone for a while unseen (MySQL)."""
    connection = connections[alias]
    if taken and not connection.features.supports_forward_references:
        connection.check_constraints(
            {
                relation.related_model._meta.db_table
                for model in taken
                for relation in model._meta.related_objects
                if not relation.many_to_many
            }
        )


def _write_links(links: Links, alias: Alias, tally: Tally) -> None:
    """Make the pairs of all scopes the same, whatever primary keys they have."""
    there: dict[tuple[Key, Key], Key] = {}
    for scope in links.scopes:
        there |= pairs_in(links, scope, alias)
    label = links.through._meta.label
    new = sorted(links.pairs - there.keys(), key=repr)
    gone = [key for pair, key in there.items() if pair not in links.pairs]
    for batch in batches(gone, BATCH):
        rows = rows_all(links.through, alias).filter(pk__in=batch)
        tally.add("removed", label, rows.delete()[0])
    table = Table(
        model=links.through, fields=links.columns, key_positions=(0, 1), references=()
    )
    insert(table, new, alias)
    tally.add("created", label, len(new))
    tally.add("unchanged", label, len(there) - len(gone))
