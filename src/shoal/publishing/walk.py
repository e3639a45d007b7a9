"""
What has to be copied. Takes keys of one edition, gives all rows that belong to them.

Asks a fixed number of questions per relation, and not per object: breadth first, keys
of one table together.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from shoal.errors import PublishError
from shoal.publishing.include import Relation, Tree, relations_of
from shoal.publishing.reading import matching, read
from shoal.publishing.tables import (
    Key,
    ModelClass,
    Reference,
    Row,
    Table,
    concrete,
    is_own_to_each_edition,
    lives_on,
    table_of,
)
from shoal.types import Alias, ClusterName


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Rows that are the whole of something: what else is there is to be removed."""

    model: ModelClass
    lookup: str
    keys: tuple[Key, ...]


@dataclass(kw_only=True, eq=False)
class Links:
    """
    The table behind a plain many-to-many field, as pairs of keys.

    Its own primary keys mean nothing and may differ from edition to edition.
    """

    through: ModelClass
    columns: tuple[Any, Any]
    """The two foreign keys."""
    scopes: list[Scope] = field(default_factory=list)
    pairs: set[tuple[Key, Key]] = field(default_factory=set)


@dataclass(kw_only=True)
class Copy:
    """Everything to be copied, as it is in the source."""

    rows: dict[ModelClass, dict[Key, Row]] = field(default_factory=dict)
    scopes: list[Scope] = field(default_factory=list)
    links: dict[ModelClass, Links] = field(default_factory=dict)


class Walk:
    """Reads rows of `alias` and follows their relations within `cluster`."""

    def __init__(self, cluster: ClusterName, alias: Alias) -> None:
        self.cluster = cluster
        self.alias = alias
        self.copy = Copy()
        self._wanted: dict[ModelClass, dict[Key, None]] = {}
        self._values: dict[tuple[ModelClass, Any], set[Any]] = {}
        """Values, of fields that aren't the primary key, that a row was found for."""

    def table(self, model: ModelClass) -> Table:
        return table_of(model, self.cluster)

    def select(self, model: ModelClass, keys: Iterable[Key], tree: Tree) -> None:
        """Take these objects: rows, links, and the relations that the tree names."""
        self._want(model, keys)
        self.settle()
        known = self.copy.rows.get(model, {})
        keys = tuple(key for key in dict.fromkeys(keys) if key in known)
        if not keys:
            return
        for link in self._parent_links(model):
            self._select_ends(link, [known[key] for key in keys], tree)
        for m2m in model._meta.local_many_to_many:
            self._links(m2m, m2m.m2m_field_name(), keys)
            if m2m.remote_field.symmetrical:
                self._links(m2m, m2m.m2m_reverse_field_name(), keys)
        relations = relations_of(model)
        for name, below in tree.items():
            relation = relations.get(name)
            if relation is not None and relation.owner is model:
                self._step(relation, keys, below)

    def settle(self) -> None:
        """Read all rows that are wanted, then those that these refer to, and so on."""
        while self._wanted:
            model = next(iter(self._wanted))
            keys = self._wanted.pop(model)
            self._keep(model, list(read(self.table(model), self.alias, "pk", keys)))

    def check_references(self) -> None:
        """Raise for a foreign key that leads to no row of the source."""
        for model, rows in self.copy.rows.items():
            table = self.table(model)
            for reference in table.references:
                if not is_own_to_each_edition(reference.target):
                    self._check_reference(table, reference, rows)

    def _check_reference(
        self, table: Table, reference: Reference, rows: dict[Key, Row]
    ) -> None:
        if reference.to_primary_key:
            there: Any = self.copy.rows.get(reference.target, {})
        else:
            there = self._values.get((reference.target, reference.field.target_field))
        for key, row in rows.items():
            value = row[reference.position]
            if value is not None and value not in (there or ()):
                name, end = reference.field.name, reference.target._meta.label
                raise PublishError(
                    f"{table.label} {key!r} can't be published: its {name!r} refers "
                    f"to {end} {value!r}, which does not exist on {self.alias!r}.",
                    hint=f"Set {name!r} to an object that exists.",
                )

    def _want(self, model: ModelClass, keys: Iterable[Key]) -> None:
        if is_own_to_each_edition(model):
            return
        known = self.copy.rows.get(model, {})
        new = {key: None for key in keys if key is not None and key not in known}
        if new:
            self._wanted.setdefault(model, {}).update(new)

    def _keep(self, model: ModelClass, rows: list[Row]) -> None:
        table = self.table(model)
        self.copy.rows.setdefault(model, {}).update(
            (table.key_of(row), row) for row in rows
        )
        for reference in table.references:
            self._follow(reference, {row[reference.position] for row in rows} - {None})

    def _follow(self, reference: Reference, values: set[Any]) -> None:
        if reference.to_primary_key:
            self._want(reference.target, values)
            return
        end = reference.field.target_field
        known = self._values.setdefault((reference.target, end), set())
        for queryset in matching(
            reference.target, self.alias, end.name, values - known
        ):
            for value, key in queryset.values_list(end.attname, "pk"):
                known.add(value)
                self._want(reference.target, [key])

    def _parent_links(self, model: ModelClass) -> list[Reference]:
        links = {link for link in model._meta.parents.values() if link is not None}
        return [r for r in self.table(model).references if r.field in links]

    def _select_ends(self, reference: Reference, rows: list[Row], tree: Tree) -> None:
        values = {row[reference.position] for row in rows} - {None}
        if values and reference.to_primary_key:
            self.select(reference.target, values, tree)
        elif values:
            end = f"{reference.field.target_field.name}"
            keys = [
                key
                for queryset in matching(reference.target, self.alias, end, values)
                for key in queryset.values_list("pk", flat=True)
            ]
            self.select(reference.target, keys, tree)

    def _step(self, relation: Relation, keys: tuple[Key, ...], tree: Tree) -> None:
        """Follow one name of `include`."""
        if relation.kind == "forward":
            self._step_forward(relation, keys, tree)
        elif relation.kind == "reverse":
            found = self._children(relation.target, relation.field.name, keys)
            self.select(relation.target, found, tree)
        else:
            m2m = relation.field
            there, back = m2m.m2m_reverse_field_name(), m2m.m2m_field_name()
            if relation.kind == "reverse links":
                there, back = back, there
            found = self._links(m2m, back, keys, want=there)
            self.select(relation.target, found, tree)

    def _step_forward(
        self, relation: Relation, keys: tuple[Key, ...], tree: Tree
    ) -> None:
        rows = self.copy.rows[relation.owner]
        for reference in self.table(relation.owner).references:
            if reference.field == relation.field:
                self._select_ends(reference, [rows[key] for key in keys], tree)

    def _children(
        self, model: ModelClass, field_name: str, keys: tuple[Key, ...]
    ) -> list[Key]:
        """Read the rows that refer to `keys`: they are all that may do so."""
        scope = Scope(model=model, lookup=f"{field_name}__pk", keys=keys)
        self.copy.scopes.append(scope)
        table = self.table(model)
        rows = list(read(table, self.alias, scope.lookup, keys))
        self._keep(model, rows)
        return [table.key_of(row) for row in rows]

    def _links(
        self, m2m: Any, near: str, keys: tuple[Key, ...], want: str = ""
    ) -> list[Key]:
        """Take the links of `keys`, and what they lead to; give the keys of `want`."""
        through = m2m.remote_field.through
        if not lives_on(through, self.cluster):
            return []
        if not through._meta.auto_created:
            found = self._children(through, near, keys)
            self.select(through, found, {})
            return self._ends(through, want, found) if want else []
        names = m2m.m2m_field_name(), m2m.m2m_reverse_field_name()
        columns = tuple(through._meta.get_field(name) for name in names)
        links = self.copy.links.setdefault(
            through,
            Links(through=through, columns=columns),
        )
        scope = Scope(model=through, lookup=near, keys=keys)
        links.scopes.append(scope)
        pairs = pairs_in(links, scope, self.alias)
        links.pairs.update(pairs)
        for position, column in enumerate(columns):
            end = concrete(column.remote_field.model)
            if lives_on(end, self.cluster):
                self._want(end, {pair[position] for pair in pairs})
        return [pair[names.index(want)] for pair in pairs] if want else []

    def _ends(self, through: ModelClass, name: str, keys: list[Key]) -> list[Key]:
        """Return the keys of the objects that rows of a custom link table lead to."""
        return [
            key
            for queryset in matching(through, self.alias, "pk", keys)
            for key in queryset.values_list(f"{name}__pk", flat=True)
            if key is not None
        ]


def pairs_in(links: Links, scope: Scope, alias: Alias) -> dict[tuple[Key, Key], Key]:
    """Return the pairs that an edition has in a scope, with their primary keys."""
    near, far = (column.attname for column in links.columns)
    return {
        (one, other): key
        for queryset in matching(links.through, alias, scope.lookup, scope.keys)
        for one, other, key in queryset.values_list(near, far, "pk")
    }
