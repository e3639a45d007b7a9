"""
Takes what a lab shall consist of, gives it checked: frozen values, no process.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from shoal.errors import LabError

NAME = re.compile(r"[a-z_][a-z0-9_]*")
LONGEST_NAME = 63
SETTING = re.compile(r"[a-z_][a-z0-9_.-]*")


@dataclass(frozen=True)
class Cluster:
    """A primary with its replicas, as they shall be started."""

    name: str
    """The primary's name, which is also its alias and the name of its database."""
    replicas: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The servers' own settings, for the primary and its replicas alike."""

    vendor: ClassVar[str]
    engine: ClassVar[str]
    reserved: ClassVar[frozenset[str]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "replicas", _names(self.name, self.replicas))
        settings = {_setting(name): str(v) for name, v in self.settings.items()}
        object.__setattr__(self, "settings", settings)
        for name in self.servers:
            _check_name(name)
        _check_settings(self.name, settings, self.reserved)

    @property
    def servers(self) -> tuple[str, ...]:
        """Return the names of all servers, the primary first."""
        return (self.name, *self.replicas)


@dataclass(frozen=True)
class Postgres(Cluster):
    """A PostgreSQL primary with streaming replicas."""

    vendor = "postgresql"
    engine = "django.db.backends.postgresql"
    reserved = frozenset(
        {
            "cluster_name",
            "config_file",
            "data_directory",
            "hba_file",
            "ident_file",
            "listen_addresses",
            "port",
            "primary_conninfo",
            "primary_slot_name",
            "unix_socket_directories",
        }
    )


@dataclass(frozen=True)
class MariaDB(Cluster):
    """A MariaDB primary with replicas that follow its GTIDs."""

    vendor = "mariadb"
    engine = "django.db.backends.mysql"
    reserved = frozenset(
        {
            "bind_address",
            "datadir",
            "log_error",
            "pid_file",
            "port",
            "report_host",
            "server_id",
            "socket",
            "tmpdir",
            "user",
        }
    )


def check(clusters: Iterable[Cluster]) -> tuple[Cluster, ...]:
    """Return `clusters` when they can be one lab, or raise `LabError`."""
    checked = tuple(clusters)
    if not checked:
        raise LabError(
            "A lab needs at least one cluster.",
            hint='For instance Lab(Postgres("default")).',
        )
    names = [name for cluster in checked for name in cluster.servers]
    for name in names:
        if names.count(name) > 1:
            raise LabError(
                f"Two servers of the lab are named {name!r}.",
                hint="A server's name is its alias, so each needs its own.",
            )
    return checked


def parse(text: str) -> Cluster:
    """
    Return the cluster that a word of the command line stands for.

    The words are `name`, `name=replica1,replica2` and `mariadb:name=replica`.
    """
    vendor, colon, rest = text.rpartition(":")
    kinds: dict[str, type[Cluster]] = {"postgres": Postgres, "mariadb": MariaDB}
    if colon and vendor not in kinds:
        raise LabError(
            f"{text!r} asks for a server of the unknown kind {vendor!r}.",
            hint="Kinds: postgres (the default) and mariadb.",
        )
    name, equals, replicas = rest.partition("=")
    if equals and not replicas:
        raise LabError(
            f"{text!r} has an equals sign but no replicas.",
            hint="Write name=replica1,replica2, or the name alone.",
        )
    return kinds[vendor or "postgres"](
        name, replicas=tuple(replicas.split(",")) if replicas else ()
    )


def _names(primary: str, replicas: Iterable[str]) -> tuple[str, ...]:
    if isinstance(replicas, str):
        raise LabError(
            f"The replicas of {primary!r} are the text {replicas!r}.",
            hint=f"Write a tuple of names: replicas=({replicas!r},).",
        )
    return tuple(replicas)


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise LabError(
            f"{name!r} can't be the name of a server.",
            hint="A name has lower-case letters, digits and underscores, and "
            "doesn't start with a digit: it names a replication slot too.",
        )
    if len(name) > LONGEST_NAME:
        raise LabError(
            f"The server name {name!r} has {len(name)} characters.",
            hint=f"At most {LONGEST_NAME} are possible.",
        )


def _setting(name: str) -> str:
    """Return the one spelling of a setting: MariaDB takes `-` for `_`."""
    return str(name).strip().lower().replace("-", "_")


def _check_settings(
    name: str, settings: Mapping[str, str], reserved: Collection[str]
) -> None:
    for setting, value in settings.items():
        if setting in reserved:
            raise LabError(
                f"The setting {setting!r} of {name!r} belongs to the lab.",
                hint="The lab chooses where servers live and listen; leave it out.",
            )
        if not SETTING.fullmatch(setting) or "\n" in value or "\0" in value:
            raise LabError(
                f"{setting!r} = {value!r} can't be a setting of {name!r}.",
                hint="A setting is a name and a value of one line.",
            )
