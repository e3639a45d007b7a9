"""
SQLAlchemy's horizontal sharding over the same four databases, if it is installed.

As its documentation shows it: three functions choose the shards, one of which looks for
the key in the criteria. Its ids are handed out before the clock runs.
"""

import functools
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.sharding.everywhere import BY_KEY, BY_STARS, COUNT, LATEST, least
from benchmarks.sharding.keyed import FILTER, FOUND, GET
from benchmarks.sharding.measuring import Way
from benchmarks.sharding.places import REVIEWS, SHARDS
from benchmarks.sharding.rows import Sample

NAME = "SQLAlchemy"


def contender() -> "Alchemy | None":
    return Alchemy() if importlib.util.find_spec("sqlalchemy") else None


class Alchemy:
    """The same work with sessions of SQLAlchemy, one for each call."""

    def __init__(self) -> None:
        self._row = _mapped()
        self._session = _sessions(self._row)

    def reads(self, sample: Sample) -> Mapping[str, Mapping[str, Way]]:
        from sqlalchemy import select

        row = self._row

        def get(n: int) -> Any:
            pk = sample.pks[n % len(sample.pks)]
            return lambda: self._ask(lambda session: session.get(row, pk).id)

        def filtered(n: int) -> Any:
            product = sample.products[n % len(sample.products)]
            query = select(row).where(row.product == product)
            query = query.order_by(row.created).limit(FOUND)
            return lambda: self._ask(
                lambda session: [one.id for one in session.scalars(query)]
            )

        return {GET: {NAME: get}, FILTER: {NAME: filtered}}

    def everywhere(self, sample: Sample) -> Mapping[str, Mapping[str, Way]]:
        from sqlalchemy import func, select

        row = self._row
        latest = select(row).order_by(row.created.desc()).limit(20)
        counted = select(func.count(row.id))
        per_product = least("product", sample.rows)
        per_stars = least("stars", sample.rows)

        def grouped(session: Any, column: Any, at_least: int) -> Any:
            number = func.count(row.id)
            query = select(column, number, func.avg(row.stars)).group_by(column)
            found = session.execute(query.having(number >= at_least))
            return sorted(
                (key, count, round(float(mean), 9)) for key, count, mean in found
            )

        asked: dict[str, Callable[[Any], Any]] = {
            LATEST: lambda session: [one.id for one in session.scalars(latest)],
            COUNT: lambda session: session.scalars(counted).first(),
            BY_KEY: lambda session: grouped(session, row.product, per_product),
            BY_STARS: lambda session: grouped(session, row.stars, per_stars),
        }
        return {name: {NAME: self._way(ask)} for name, ask in asked.items()}

    def creating(self, values: Callable[[int], Any]) -> Mapping[str, Way]:
        from benchmarks.sharding.models import Review
        from shoal.sharding import new_ids

        def create(n: int) -> Any:
            found = values(n)
            [pk] = new_ids(Review, [found["product"]])
            return lambda: self._write(self._row(id=pk, **found))

        return {NAME: create}

    def _way(self, ask: Callable[[Any], Any]) -> Way:
        return lambda n: lambda: self._ask(ask)

    def _ask(self, ask: Callable[[Any], Any]) -> Any:
        with self._session() as session:
            return ask(session)

    def _write(self, made: Any) -> None:
        with self._session() as session:
            session.add(made)
            session.commit()


def _mapped() -> Any:
    from sqlalchemy import BigInteger, DateTime, Integer, Text
    from sqlalchemy.orm import DeclarativeBase, mapped_column

    from benchmarks.sharding.models import Review

    class Base(DeclarativeBase):
        pass

    class Mapped(Base):
        __tablename__ = Review._meta.db_table
        id = mapped_column(BigInteger, primary_key=True, autoincrement=False)
        product = mapped_column(BigInteger)
        author = mapped_column(BigInteger)
        stars = mapped_column(Integer)
        text = mapped_column(Text)
        created = mapped_column(DateTime(timezone=True))

    return Mapped


def _sessions(row: Any) -> Any:
    """Return what makes sessions. They commit each statement, as Django does."""
    from sqlalchemy.ext.horizontal_shard import ShardedSession
    from sqlalchemy.orm import sessionmaker

    from benchmarks.sharding.models import Review
    from shoal.placement import shard_of
    from shoal.placement.buckets import BUCKETS, bucket_map
    from shoal.topology import get_topology

    buckets = bucket_map(get_topology().clusters[REVIEWS])
    of_product = functools.cache(lambda product: shard_of(Review, product))

    def of_row(mapper: Any, instance: Any, clause: Any = None) -> str:
        return of_product(instance.product)

    def of_identity(mapper: Any, primary_key: Any, **context: Any) -> list[str]:
        return [buckets.shard_of(primary_key[0] % BUCKETS)]

    def of_query(context: Any) -> list[str]:
        products = _products(context.statement, row)
        return [of_product(product) for product in products] or list(SHARDS)

    return sessionmaker(
        class_=ShardedSession,
        shards=_engines(),
        shard_chooser=of_row,
        identity_chooser=of_identity,
        execute_chooser=of_query,
    )


def _products(statement: Any, row: Any) -> list[int]:
    """Find the keys in the criteria."""
    from sqlalchemy.sql import operators, visitors

    if statement.whereclause is None:
        return []
    clauses: Any = visitors.iterate(statement.whereclause)
    return [
        clause.right.effective_value
        for clause in clauses
        if getattr(clause, "operator", None) is operators.eq
        and getattr(clause.left, "key", None) == row.product.key
    ]


def _engines() -> dict[str, Any]:
    from django.db import connections
    from sqlalchemy import URL, create_engine

    return {
        alias: create_engine(
            URL.create(
                "postgresql+psycopg",
                username=entry["USER"],
                password=entry["PASSWORD"],
                host=entry["HOST"],
                port=int(entry["PORT"]),
                database=entry["NAME"],
            ),
            isolation_level="AUTOCOMMIT",
        )
        for alias, entry in ((name, connections.settings[name]) for name in SHARDS)
    }
