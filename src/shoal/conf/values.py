"""The SHOAL setting as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal.types import Alias, ClusterName, Consistency, Ids, Permission, Role


@dataclass(frozen=True, kw_only=True)
class ReplicaConf:
    alias: Alias
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ClusterConf:
    name: ClusterName
    apps: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """Labels in lower case, as in `Model._meta.label_lower`."""
    replicas: tuple[ReplicaConf, ...] = ()
    consistency: Consistency = "session"
    max_lag: float = 30.0
    """Seconds."""
    roles: Mapping[Role, Alias] = field(default_factory=dict)
    request_role: Any = None
    """A callable `request -> role`, or the dotted path of one."""
    two_phase: bool = True
    """Whether its servers may be asked to prepare a transaction."""
    shards: tuple[Alias, ...] = ()
    """In order; the first is home."""
    ids: Ids = "bucketed"
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The fields of the key, by label of the model in lower case."""
    max_gather_rows: int = 0
    scatter: Permission = "allow"
    gather: Permission = "allow"
    timeout: float | None = None
    """Seconds."""


@dataclass(frozen=True, kw_only=True)
class CookieConf:
    """Where a browser sends the token: wherever it sends Django's session."""

    domain: str | None = None
    path: str = "/"
    secure: bool = False
    samesite: Any = "Lax"


@dataclass(frozen=True, kw_only=True)
class Conf:
    clusters: Mapping[ClusterName, ClusterConf] = field(default_factory=dict)
    control: Alias | None = None
    """Which alias holds Shoal's own tables; `None` where nothing needs them."""
    token_cookie: str = "shoal_token"
    """The name of the cookie that carries a visitor's token."""
    cookie: CookieConf = field(default_factory=CookieConf)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with the setting, under the id of its system check."""

    id: str
    message: str
    hint: str
