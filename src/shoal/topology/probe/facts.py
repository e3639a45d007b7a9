"""What one server says of itself, as a frozen value."""

from dataclasses import dataclass
from typing import Literal

from shoal.types import Alias

Trouble = Literal[
    "", "unreachable", "silent", "refused", "missing", "too_old", "settings"
]
"""
Why an alias could not be used: nothing is there, it does not answer in time, the
credentials are refused, the database does not exist, the server is too old for Django,
the entry of `DATABASES` is wrong or its driver not installed.
"""


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """
    What the server behind an alias answered; `None` where it could or would not say.
    """

    alias: Alias
    address: str = ""
    """Where the alias leads: host and port, or a file."""
    user: str = ""
    vendor: str = ""
    trouble: Trouble = ""
    error: str = ""
    """The message of the database or of its driver, without the password."""
    version: str | None = None
    server_name: str | None = None
    """`cluster_name`; `report_host` or `hostname`; the name of the file."""
    database: str | None = None
    is_replica: bool | None = None
    connected: bool | None = None
    """Whether a replica is connected to its primary."""
    follows: str | None = None
    """The address of the primary that a replica is connected to."""
    system: str | None = None
    """What a primary and its replicas have in common, or what replicas name."""
    follows_system: str | None = None
    """The `system` of the primary that a replica follows."""
    position: str | None = None
    """How far the log has come: written by a primary, replayed by a replica."""
    lag_seconds: float | None = None
    """Behind by at most this much: the age of the last transaction replayed."""
    identity: str | None = None
    """Equal for two aliases of one database on one server."""
    max_prepared_transactions: int | None = None

    @property
    def reachable(self) -> bool:
        """Whether the alias can be used, and not only that something listens."""
        return not self.trouble

    @property
    def server(self) -> str:
        """The server as a person would call it."""
        return self.server_name or self.address
