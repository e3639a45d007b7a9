"""
One unit of work over several servers.

Takes a block of work and the clusters it may touch; gives all of it or none.
"""

from shoal.transactions.block import atomic
from shoal.transactions.saga import saga

__all__ = ["atomic", "saga"]
