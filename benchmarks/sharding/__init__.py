"""
What a sharded alias costs, beside what else can be done with the same rows.

The same reviews lie on four shards and in one database, all on one PostgreSQL server.
Beside the sharded alias are measured: the same call with `using()`, the one database,
the loop over the shards that tutorials teach, and SQLAlchemy's horizontal sharding if
it is installed. They take turns, so that a machine that slows down slows all of them
down, and each answer is compared with that of the one database. What Shoal refuses is
shown as refused. Exit status 1 if a target is missed.
"""

from benchmarks.sharding.run import ROWS, main

__all__ = ["ROWS", "main"]
