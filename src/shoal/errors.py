"""
Every exception that Shoal raises. Takes a fact and a way out, gives one message.

    ShoalError
    ├── SettingsError           the SHOAL setting is wrong        (ImproperlyConfigured,
    │                                                              CommandError)
    ├── UnknownCluster          no cluster has this name          (LookupError)
    ├── UnknownRole             no edition has this role          (LookupError)
    ├── DeclarationError        a model cannot be placed like that
    │                                                             (ImproperlyConfigured)
    ├── MissingKey              a row has no key                  (IntegrityError)
    ├── KeyTypeError            a value is no key of its column   (TypeError,
    │                                                              ValueError)
    ├── KeyMismatch             two columns name two buckets      (IntegrityError)
    ├── UnknownKey              the directory has no such key     (LookupError)
    ├── MapMissing              a cluster has no bucket map       (ProgrammingError)
    ├── TablesMissing           a database lacks Shoal's tables   (ProgrammingError)
    ├── UnknownShard            a bucket map is no use            (LookupError)
    ├── WriteRefused            a write was stopped before it was sent
    │   ├── WrongCluster        the model lives elsewhere         (ProgrammingError)
    │   ├── ReplicaWrite        the alias is a replica            (ProgrammingError)
    │   └── KeyChangeRefused    a row would have to change shards (ProgrammingError)
    ├── QueryRefused            a sharded alias cannot answer     (NotSupportedError)
    │   ├── RawQueryRefused     raw SQL names no shard
    │   ├── ScatterForbidden    several shards may not be asked
    │   ├── GatherForbidden     rows may not be gathered
    │   └── GatherTooLarge      too many rows would be gathered
    ├── DeadlineExceeded        a query had no more time          (OperationalError)
    ├── PartialCommit           some servers committed, some not  (DatabaseError)
    ├── UnitRefused             work over clusters begins inside of a transaction
    │                                                 (TransactionManagementError)
    ├── WritesLost              a block would be rolled back in silence
    │                                                 (TransactionManagementError)
    ├── CannotPrepare           a server cannot promise a commit  (NotSupportedError)
    ├── CommitInDoubt           nobody can say what was decided   (OperationalError)
    ├── OutboxError             a message is not sent or delivered
    ├── SagaInTransaction       a saga would run in an open transaction
    │                                                   (TransactionManagementError)
    ├── SagaConflict            a saga was begun with other data  (ValueError)
    ├── SagaDataError           data of a saga is no JSON         (TypeError,
    │                                                              ValueError)
    ├── SagaTaken               another process has the run       (OperationalError)
    ├── UnknownSaga             no run has this name              (LookupError)
    ├── PrimaryUnavailable      a write finds its primary gone    (OperationalError)
    ├── BadToken                a token is forged or broken       (ValueError)
    ├── CrossClusterQuery       a query joins two clusters        (ProgrammingError,
    │                                                              OperationalError)
    ├── MigrateError            a cluster could not be migrated   (CommandError)
    ├── PublishError            objects could not be published
    ├── ExplainError            a queryset could not be explained
    ├── LaggingError            replicas could not lag in a test
    └── LabError                a real server could not be run
"""

import difflib
from collections.abc import Collection

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db.transaction import TransactionManagementError
from django.db.utils import (
    DatabaseError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)


class ShoalError(Exception):
    """Base of every exception of Shoal: the fact first, the way out in `hint`."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nHint: {self.hint}" if self.hint else self.message


class SettingsError(ShoalError, ImproperlyConfigured, CommandError):
    """
    The SHOAL setting is wrong.

    Also a `CommandError`: Django's own commands ask the router on their way, and then
    show the message alone and exit with status 1.
    """


class UnknownCluster(ShoalError, LookupError):
    """No cluster has this name."""


class UnknownRole(ShoalError, LookupError):
    """No edition of the cluster has this role."""


class DeclarationError(ShoalError, ImproperlyConfigured):
    """A model declares a placement that its rows cannot have."""


class MissingKey(ShoalError, IntegrityError):
    """A row of a sharded table has no key, so no shard is its own."""


class KeyTypeError(ShoalError, TypeError, ValueError):
    """
    A value cannot be a key of its column.

    Django raises a `TypeError` for some of them and a `ValueError` for others; callers
    may catch either.
    """


class KeyMismatch(ShoalError, IntegrityError):
    """Two columns of one row say that it lies in two buckets."""


class UnknownKey(ShoalError, LookupError):
    """The directory of the cluster has no such key."""


class MapMissing(ShoalError, ProgrammingError):
    """The control database has no bucket map for the cluster, or no tables at all."""


class TablesMissing(ShoalError, ProgrammingError):
    """A database has not the tables that transactions over several of them need."""


class UnknownShard(ShoalError, LookupError):
    """A bucket map names a shard that the cluster does not have, or none at all."""


class WriteRefused(ShoalError, ProgrammingError):
    """A write was stopped before it was sent to the server."""


class WrongCluster(WriteRefused):
    """A write names a table whose model lives on another cluster."""


class ReplicaWrite(WriteRefused):
    """A write was meant for an alias that is a replica."""


class KeyChangeRefused(WriteRefused):
    """A row would have to move to another shard, and cannot."""


class QueryRefused(ShoalError, NotSupportedError):
    """A sharded alias cannot answer a query as one database would."""


class RawQueryRefused(QueryRefused):
    """Raw SQL on a sharded alias does not say which shard it is for."""


class ScatterForbidden(QueryRefused):
    """A query would ask several shards, which a setting or a block forbids."""


class GatherForbidden(QueryRefused):
    """A query would be gathered, which a setting or a block forbids."""


class GatherTooLarge(QueryRefused):
    """A query over several shards needs more rows than `MAX_GATHER_ROWS`."""


class DeadlineExceeded(ShoalError, OperationalError):
    """A query on a sharded alias was stopped, since its time was up."""


class PartialCommit(ShoalError, DatabaseError):
    """A transaction was committed on some shards and rolled back on others."""


class UnitRefused(ShoalError, TransactionManagementError):
    """A unit of work would begin inside of a transaction that ends without it."""


class WritesLost(ShoalError, TransactionManagementError):
    """What a receiver or a step of a saga wrote would be rolled back in silence."""


class CannotPrepare(ShoalError, NotSupportedError):
    """A unit of work was rolled back: two of its servers cannot promise a commit."""


class CommitInDoubt(ShoalError, OperationalError):
    """The server that decides a unit of work was lost while it committed."""


class OutboxError(ShoalError):
    """A message cannot be sent as it was asked for, or cannot be delivered."""


class SagaInTransaction(ShoalError, TransactionManagementError):
    """A saga was started in a transaction, whose end nobody knows yet."""


class SagaConflict(ShoalError, ValueError):
    """A saga was started before under the same key with other data."""


class SagaDataError(ShoalError, TypeError, ValueError):
    """
    A key, data or the result of a step cannot be recorded.

    `json` raises a `TypeError` for some of it and a `ValueError` for the rest.
    """


class SagaTaken(ShoalError, OperationalError):
    """A run of a saga lost its lock, and goes on elsewhere."""


class UnknownSaga(ShoalError, LookupError):
    """No run of a saga has this name, or none that this could be done with."""


class PrimaryUnavailable(ShoalError, OperationalError):
    """A write was meant for a primary that cannot be reached, or takes no writes."""


class BadToken(ShoalError, ValueError):
    """A token was forged, cut off, or is of another project."""


class CrossClusterQuery(ShoalError, ProgrammingError, OperationalError):
    """
    A query names a table that is on another cluster.

    SQLite calls a missing table an `OperationalError`, other servers do not; callers
    may catch either.
    """


class MigrateError(ShoalError, CommandError):
    """
    A cluster could not be migrated.

    Also a `CommandError`: Django's own `migrate` then shows the message alone.
    """


class PublishError(ShoalError):
    """Objects could not be published from one edition to another."""


class ExplainError(ShoalError):
    """What was to be explained is not a queryset, or its database cannot do it."""


class LaggingError(ShoalError):
    """Replicas could not be made to lag in a test."""


class LabError(ShoalError):
    """A server of the lab could not be started, stopped or asked."""


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return the hint for an unknown `word`: the nearest known one, then all."""
    nearest = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    listed = ", ".join(repr(name) for name in sorted(known)) or "none"
    question = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return f"{question}Known: {listed}."
