"""Django's test cases, allowed on every cluster without a list of aliases."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, overload

from django import test

from shoal.routing import unit_of_work
from shoal.routing.health import stop_watching
from shoal.testing.asserts import assertQueriesOn
from shoal.testing.databases import every_database
from shoal.testing.emptying import empty
from shoal.testing.mirrors import mirrored
from shoal.types import Alias


class _EveryDatabase:
    """`databases` of a test class, looked up when the test runner asks for it."""

    def __get__(self, instance: object, owner: type) -> frozenset[Alias]:
        return every_database()


if TYPE_CHECKING:
    _Base = test.TransactionTestCase
else:
    _Base = object


class _OnEveryCluster(_Base):
    databases: Any = _EveryDatabase()
    mirror_replicas = True
    """False: replicas are asked for real. Only for a `TransactionTestCase`."""

    @classmethod
    def setUpClass(cls) -> None:
        # Its connections would keep the test databases from being dropped.
        cls.addClassCleanup(stop_watching)
        if cls.mirror_replicas:
            cls.enterClassContext(mirrored())
        super().setUpClass()

    def run(self, result: Any = None) -> Any:
        """Run each test as a unit of work of its own."""
        with unit_of_work():
            return super().run(result)

    @overload
    def assertQueriesOn(self, alias: Alias, n: int) -> AbstractContextManager[None]: ...

    @overload
    def assertQueriesOn(
        self, alias: Alias, n: int, func: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> None: ...

    def assertQueriesOn(
        self,
        alias: Alias,
        n: int,
        func: Callable[..., Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> AbstractContextManager[None] | None:
        """Fail unless the block, or `func`, sends exactly `n` queries to `alias`."""
        if func is None:
            return assertQueriesOn(alias, n)
        with assertQueriesOn(alias, n):
            func(*args, **kwargs)
        return None


class TestCase(_OnEveryCluster, test.TestCase):
    """
    `django.test.TestCase` on every cluster.

    Each test runs in a transaction on each server and is rolled back on each.
    """


class TransactionTestCase(_OnEveryCluster, test.TransactionTestCase):
    """
    `django.test.TransactionTestCase` on every cluster.

    Messages and runs of sagas do not outlast the test, as the project's rows do not.
    """

    def run(self, result: Any = None) -> Any:
        """Delete at the end, after the test's own cleanups, what Django does not."""
        self.addCleanup(empty, self.databases)
        return super().run(result)
