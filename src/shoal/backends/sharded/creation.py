"""Makes, copies and drops the test databases of all shards at once."""

from typing import TYPE_CHECKING, Any

from django import VERSION
from django.conf import settings
from django.db import connections
from django.db.backends.base.creation import BaseDatabaseCreation

from shoal.backends.sharded.shard import ShardConnection
from shoal.placement.buckets import get_ready
from shoal.placement.control import control_alias

if TYPE_CHECKING:
    _Base = BaseDatabaseCreation
else:
    _Base = object


NOT_SERIALIZED: dict[str, Any] = {"serialize": False} if VERSION < (6,) else {}
"""Later versions of Django do not serialize here at all."""


class ShardedCreation(_Base):
    """Goes before the vendor's `DatabaseCreation`."""

    connection: Any
    _old_names: dict[str, str]
    _named: str | None = None
    """The control database's own name, before there was any test database."""
    _control: Any = None
    """
    The control database's connection, as long as its test database is ours, or that of
    the sharded alias that it is a shard of.
    """
    _old_control: str = ""

    def test_db_signature(self) -> tuple[str, str, str, str]:
        # Django asks all aliases before it makes the first test database.
        self._named = connections[control_alias()].settings_dict["NAME"]
        return ("", "", "shoal.backends.sharded", self.connection.alias)

    def _get_test_db_name(self) -> str:
        return str(self.connection.settings_dict["NAME"] or self.connection.alias)

    def _get_database_display_str(self, verbosity: int, database_name: str) -> str:
        shards = ", ".join(shard.name for shard in self.connection.cluster.shards)
        return f"{self.connection.alias!r} (shards {shards})"

    def _create_test_db(
        self, verbosity: int, autoclobber: bool, keepdb: bool = False
    ) -> str:
        self._old_names = {}
        for shard in self.connection.shard_connections():
            name = shard.creation._get_test_db_name()
            shard.creation._create_test_db(verbosity, autoclobber, keepdb)
            shard.close()
            self._old_names[shard.alias] = shard.settings_dict["NAME"]
            settings.DATABASES[shard.alias]["NAME"] = name
            shard.settings_dict["NAME"] = name
        self._require_test_control(verbosity, autoclobber, keepdb)
        get_ready(self.connection.cluster)
        self._tell_new_processes()
        return self._get_test_db_name()

    def _require_test_control(
        self, verbosity: int, autoclobber: bool, keepdb: bool
    ) -> None:
        """Let ids come from a test database, if no test has asked for that one yet."""
        control: Any = connections[control_alias()]
        name = control.settings_dict["NAME"]
        # Once Django has made that of PostgreSQL or MySQL, it would name a further one
        # test_test_..., and take the project's own for the one to drop.
        is_own = name == self._named
        if is_own and control.alias not in self._old_names:
            if isinstance(control, ShardConnection):
                # Of another cluster: its shards are made together.
                control = control.shoal_owner()
            self._control = control
            self._old_control = control.settings_dict["NAME"]
            control.creation.create_test_db(
                verbosity, autoclobber, keepdb=keepdb, **NOT_SERIALIZED
            )
            # Tests may ask for it, too: Django would make another, without the map.
            control.creation.create_test_db = self._hand_over

    def _tell_new_processes(self) -> None:
        """
        Note own names and test names where Django hands settings to its processes.

        One that is spawned begins with the project's own, and Django renames only what
        a test lists.
        """
        owns = {control_alias(): self._named, **self._old_names}
        self.connection.settings_dict["TEST"]["NAMES"] = {
            alias: (own, connections[alias].settings_dict["NAME"])
            for alias, own in owns.items()
        }

    def _hand_over(self, *args: Any, serialize: bool = False, **kwargs: Any) -> str:
        """Let Django have, and destroy, the control database that is there already."""
        control, self._control = self._control, None
        del control.creation.create_test_db
        if serialize:
            contents = control.creation.serialize_db_to_string()
            control._test_serialized_contents = contents
        return str(control.settings_dict["NAME"])

    def destroy_test_db(
        self,
        old_database_name: str | None = None,
        verbosity: int = 1,
        keepdb: bool = False,
        suffix: str | None = None,
    ) -> None:
        self.connection.close()
        for shard in self.connection.shard_connections():
            # With a suffix it is a copy, and the original is still there.
            old = self._old_names.get(shard.alias) if suffix is None else None
            shard.creation.destroy_test_db(old, verbosity, keepdb, suffix)
        if self._control is not None and suffix is None:
            control, self._control = self._control, None
            del control.creation.create_test_db
            control.creation.destroy_test_db(self._old_control, verbosity, keepdb)

    def _clone_test_db(self, suffix: str, verbosity: int, keepdb: bool = False) -> None:
        # PostgreSQL copies no database that anybody is connected to.
        self.connection.close()
        for shard in self.connection.shard_connections():
            shard.close()
            shard.creation._clone_test_db(suffix, verbosity, keepdb)
        self._get_control_copy_ready(suffix)

    def _get_control_copy_ready(self, suffix: str) -> None:
        """Write the map where the control database was copied before it had one."""
        control: Any = connections[control_alias()]
        name = control.settings_dict["NAME"]
        copy = control.creation.get_test_db_clone_settings(suffix)["NAME"]
        is_copied_later = self._control is not None or control.alias in self._old_names
        if is_copied_later or copy == name:
            return
        control.close()
        control.settings_dict["NAME"] = copy
        try:
            get_ready(self.connection.cluster)
        finally:
            control.close()
            control.settings_dict["NAME"] = name

    def get_test_db_clone_settings(self, suffix: str) -> dict[str, Any]:
        return {**self.connection.settings_dict}

    def setup_worker_connection(self, _worker_id: Any) -> None:
        self.connection.close()
        names = self.connection.settings_dict["TEST"].get("NAMES", {})
        for alias, (own, test) in names.items():
            settings_dict = connections[alias].settings_dict
            if settings_dict["NAME"] == own:
                settings_dict["NAME"] = test
        for shard in self.connection.shard_connections():
            shard.creation.setup_worker_connection(_worker_id)
