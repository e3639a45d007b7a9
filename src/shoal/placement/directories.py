"""
Takes a key of a model with `by=directory()`, gives the bucket written down for it.

The directory is in the control database. A key has its bucket for ever, so a process
asks once for each.
"""

import functools

from django.db import DatabaseError

from shoal.conf import on_settings_change
from shoal.errors import DeclarationError, UnknownKey
from shoal.placement.control import Control, Place, goes_apart, place, reached_tables
from shoal.placement.strategies import BUCKETS
from shoal.types import Bucket, ClusterName

KEPT = 100_000
"""How many keys a process remembers."""


def bucket_in_directory(cluster: ClusterName, key: str) -> Bucket:
    """Return the bucket of `key`, or raise `UnknownKey`."""
    if goes_apart():
        return _kept(place(), cluster, key)
    # There the project's own transaction is asked, which may roll back.
    return _found(cluster, key)


def write_in_directory(cluster: ClusterName, key: str, bucket: Bucket) -> None:
    """
    Write down the bucket of a new key. The same again changes nothing.

    Raises `DeclarationError` if the key has another bucket already: its rows are there.
    """
    if type(bucket) is not int or not 0 <= bucket < BUCKETS:
        raise DeclarationError(
            f"{bucket!r} is not a bucket.",
            hint=f"A bucket is a whole number from 0 to {BUCKETS - 1}.",
        )
    with reached_tables() as control:
        found = _read(control, cluster, key)
        if found is None:
            try:
                control.run(
                    'INSERT INTO "shoal_directory" ("cluster", "key", "bucket") '
                    "VALUES (%s, %s, %s)",
                    cluster,
                    key,
                    bucket,
                )
            except DatabaseError:
                # Somebody else may have been faster.
                found = _read(control, cluster, key)
                if found is None:
                    raise
    if found not in (None, bucket):
        raise DeclarationError(
            f"The directory of {cluster!r} has {key!r} in bucket {found}, "
            f"not {bucket}.",
            hint="A key keeps its bucket for ever. Buckets move, keys do not.",
        )


def _read(control: Control, cluster: ClusterName, key: str) -> Bucket | None:
    rows = control.run(
        'SELECT "bucket" FROM "shoal_directory" WHERE "cluster" = %s AND "key" = %s',
        cluster,
        key,
    )
    return int(rows[0][0]) if rows else None


@functools.lru_cache(maxsize=KEPT)
def _kept(where: Place, cluster: ClusterName, key: str) -> Bucket:
    return _found(cluster, key)


def _found(cluster: ClusterName, key: str) -> Bucket:
    with reached_tables() as control:
        found = _read(control, cluster, key)
    if found is None:
        raise UnknownKey(
            f"The directory of the cluster {cluster!r} has no key {key!r}.",
            hint="Write it down with write_in_directory(cluster, key, bucket) before "
            "the first row with it.",
        )
    return found


on_settings_change(_kept.cache_clear)
