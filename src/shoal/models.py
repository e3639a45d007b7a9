"""
The rows that must survive: most of them in the control database, those that belong to
a transaction in every database that takes part in one. Fields only.

They are made by a migration and unmanaged since: what flushes the project's tables, or
keeps their rows over a test, leaves them alone. Nobody asks them through the ORM:
`shoal.placement` does, past the project's transactions. The rows bear names that no
value of Shoal has.
"""

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

LONGEST = 255
_BYTES = 4
"""What a character of a text takes at most, in UTF-8."""


class ExactText(models.CharField):  # type: ignore[type-arg]
    """
    A short text that equals itself alone.

    MySQL and MariaDB compare text without regard to case, and most of their collations
    without regard to spaces at the end. There it is kept as bytes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", LONGEST)
        super().__init__(*args, **kwargs)

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        if connection.vendor == "mysql":
            return f"varbinary({(self.max_length or LONGEST) * _BYTES})"
        return super().db_type(connection)

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        value = super().get_db_prep_value(value, connection, prepared)
        if connection.vendor == "mysql" and isinstance(value, str):
            return value.encode()
        return value

    def from_db_value(self, value: Any, *args: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value


class ClusterRow(models.Model):
    """One for each sharded cluster that has a bucket map."""

    id = models.BigAutoField(primary_key=True)
    cluster = ExactText()
    version = models.BigIntegerField()
    """Grows with each change of the map."""

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_cluster"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=["cluster"], name="shoal_cluster_once"),
        )

    def __str__(self) -> str:
        return f"{self.cluster} version {self.version}"


class RangeRow(models.Model):
    """Buckets that follow each other and are on one shard."""

    id = models.BigAutoField(primary_key=True)
    cluster = ExactText()
    first = models.IntegerField()
    last = models.IntegerField()
    """The last one belongs to it."""
    shard = ExactText()

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_range"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["cluster", "first"], name="shoal_range_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.cluster} {self.first}-{self.last}: {self.shard}"


class SequenceRow(models.Model):
    """The numbers for the automatic ids of one table of a sharded cluster."""

    id = models.BigAutoField(primary_key=True)
    cluster = ExactText()
    table = ExactText()
    next = models.BigIntegerField()
    """Nobody has got this number yet, nor any above."""

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_sequence"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["cluster", "table"], name="shoal_sequence_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.cluster} {self.table}: {self.next}"


class DirectoryRow(models.Model):
    """A key that was given its bucket by hand."""

    id = models.BigAutoField(primary_key=True)
    cluster = ExactText()
    key = ExactText()
    bucket = models.IntegerField()

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_directory"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["cluster", "key"], name="shoal_directory_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.cluster} {self.key!r}: {self.bucket}"


class IdentityRow(models.Model):
    """
    The one name of this database that no other has, wherever its server moves.

    Two projects that share a server may call different databases `default`.
    """

    id = models.SmallIntegerField(primary_key=True)
    """1: there is one row."""
    identity = ExactText(max_length=8)

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_identity"
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.identity)


class DecisionRow(models.Model):
    """
    A unit of work over several servers that commits: so says this row, once committed.

    It is written on the unit's home server, in its transaction.
    """

    unit = ExactText(max_length=32, primary_key=True)
    servers = models.TextField()
    """Who has prepared, as a JSON object: aliases, with the databases' identities."""
    at = models.DateTimeField()

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_decision"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.unit} over {self.servers}"


class MessageRow(models.Model):
    """
    A message that was sent in a transaction of this database and is not delivered yet.

    Moments are seconds since 1970 by this database's own clock, so that no two clocks
    are compared.
    """

    id = models.BigAutoField(primary_key=True)
    """The order in which messages were sent."""
    message = ExactText(max_length=32)
    topic = ExactText()
    key = ExactText(null=True)
    """Messages of one key are delivered in order; without any, in no order."""
    body = models.TextField()
    """JSON in ASCII, whatever the encoding of the database is."""
    attempts = models.IntegerField()
    due = models.FloatField()
    sent = models.FloatField()
    done = models.TextField()
    """The names of the receivers that need it no more, as a JSON array."""
    dead = models.FloatField(null=True)
    """Since when nobody tries any more."""
    error = models.TextField(null=True)  # noqa: DJ001  What the last attempt said.

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_message"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=["message"], name="shoal_message_once"),
            # As an index: what lies before a message of the same key?
            models.UniqueConstraint(fields=["key", "id"], name="shoal_message_order"),
        )

    def __str__(self) -> str:
        return f"{self.topic} {self.message}"


class ReceivedRow(models.Model):
    """A message whose receiver has done its work: in that work's own transaction."""

    id = models.BigAutoField(primary_key=True)
    message = ExactText(max_length=32)
    receiver = ExactText()
    source = ExactText(max_length=8)
    """The identity of the database that it was sent in."""
    at = models.FloatField()

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_received"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=["message", "receiver"], name="shoal_received_once"
            ),
            # As an index: which of them are old?
            models.UniqueConstraint(
                fields=["source", "at", "id"], name="shoal_received_age"
            ),
        )

    def __str__(self) -> str:
        return f"{self.message} by {self.receiver}"


class SagaRow(models.Model):
    """
    A run of a saga, from its start to its end and after.

    Times are seconds since 1970, UTC.
    """

    id = models.BigAutoField(primary_key=True)
    saga = ExactText(max_length=100)
    key = ExactText()
    token = ExactText(max_length=32)
    """Of this row alone, should another have its key once this one was deleted."""
    state = ExactText(max_length=20)
    due = models.FloatField(null=True)
    """It goes on then; null: at once, or never."""
    turn = models.BigIntegerField()
    """Grows with each process that takes the run, so the one before writes no more."""
    data = models.TextField()
    error = models.TextField()
    begun = models.FloatField()
    changed = models.FloatField()

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_saga"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=["saga", "key"], name="shoal_saga_once"),
        )
        indexes = (models.Index(fields=["state", "due"], name="shoal_saga_due"),)

    def __str__(self) -> str:
        return f"{self.saga}/{self.key}: {self.state}"


class SagaStepRow(models.Model):
    """A step of a run, from before it first ran."""

    id = models.BigAutoField(primary_key=True)
    run = models.BigIntegerField()
    """The `id` of its `SagaRow`."""
    position = models.IntegerField()
    name = ExactText(max_length=100)
    state = ExactText(max_length=20)
    attempt = models.BigIntegerField()
    ended = models.BigIntegerField()
    failures = models.BigIntegerField()
    has_compensation = models.SmallIntegerField()
    result = models.TextField()
    """JSON; empty until it is done."""
    error = models.TextField()
    changed = models.FloatField()

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_saga_step"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=["run", "name"], name="shoal_step_once"),
        )

    def __str__(self) -> str:
        return f"{self.run} {self.name}: {self.state}"


class SagaMarkRow(models.Model):
    """
    A step that has written here is done: so says this row, in the same transaction.

    The run is recorded in another database, which may not know yet.
    """

    id = models.BigAutoField(primary_key=True)
    mark = ExactText()
    """The token of the run and the step."""
    result = models.TextField()
    at = models.FloatField()

    class Meta:
        app_label = "shoal"
        managed = False
        db_table = "shoal_saga_mark"
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=["mark"], name="shoal_saga_mark_once"),
        )

    def __str__(self) -> str:
        return str(self.mark)
