"""
What it costs to commit on several servers all or nothing.

The same writes, one `INSERT` on each server, are committed by `shoal.transactions`, by
the transaction of a sharded alias, by one Django transaction for each server, and on
one server alone. They take turns, on real servers that wait for their disk. Exit status
1 if a target is missed.
"""

from benchmarks.transactions.run import UNITS, main

__all__ = ["UNITS", "main"]
