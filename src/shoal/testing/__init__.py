"""Test cases and assertions for a project on many databases."""

from shoal.testing.asserts import assertQueriesOn
from shoal.testing.cases import TestCase, TransactionTestCase
from shoal.testing.lagging import lagging
from shoal.testing.messages import deliver_all
from shoal.testing.mirrors import mirrored
from shoal.testing.servers import served_by

__all__ = [
    "TestCase",
    "TransactionTestCase",
    "assertQueriesOn",
    "deliver_all",
    "lagging",
    "mirrored",
    "served_by",
]
