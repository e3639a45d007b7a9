"""
Takes `settings.SHOAL` and `settings.DATABASES`, gives a `Conf` and its problems. Pure.

What is wrong is collected, so that one error names everything.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

from shoal.conf import sharding
from shoal.conf.values import ClusterConf, Conf, Problem, ReplicaConf
from shoal.errors import did_you_mean
from shoal.types import Alias, ClusterName, Consistency, Role

KEYS = ("CLUSTERS", "CONTROL", "TOKEN_COOKIE")
CLUSTER_KEYS = (
    "APPS",
    "CONSISTENCY",
    "MAX_LAG",
    "MODELS",
    "REPLICAS",
    "REQUEST_ROLE",
    "ROLES",
    "TWO_PHASE",
    *sharding.SHARDED_KEYS,
)
_COOKIE_NAME = re.compile(r"[\w-]+", re.ASCII)
DUMMY_ENGINE = "django.db.backends.dummy"


def parse(
    setting: object, databases: Mapping[Alias, Mapping[str, Any]]
) -> tuple[Conf, tuple[Problem, ...]]:
    """Check the setting against the known aliases. Pure: reads nothing else."""
    parser = _Parser(databases)
    conf = parser.conf(setting)
    return conf, tuple(parser.problems)


def is_configured(database: Mapping[str, Any]) -> bool:
    """Say whether an entry of `DATABASES` names a real database."""
    return database.get("ENGINE", DUMMY_ENGINE) not in ("", DUMMY_ENGINE)


def is_member(alias: Alias, clusters: Mapping[ClusterName, ClusterConf]) -> bool:
    """Say whether a cluster has this alias, as whatever."""
    return alias in clusters or any(
        alias in (*c.shards, *c.roles.values(), *(r.alias for r in c.replicas))
        for c in clusters.values()
    )


class _Parser:
    """Walks the setting once and collects what is wrong on the way."""

    def __init__(self, databases: Mapping[Alias, Mapping[str, Any]]) -> None:
        self.databases = databases
        self.configured = [a for a, d in databases.items() if is_configured(d)]
        self.problems: list[Problem] = []

    def wrong(self, id: str, message: str, hint: str) -> None:
        self.problems.append(Problem(id=f"shoal.{id}", message=message, hint=hint))

    def conf(self, setting: object) -> Conf:
        top = self.mapping(setting, "SHOAL", KEYS)
        entries = self.mapping(top.get("CLUSTERS", {}), 'SHOAL["CLUSTERS"]', None)
        clusters = {
            name: self.cluster(name, entry)
            for name, entry in entries.items()
            if self.alias(name, 'SHOAL["CLUSTERS"]')
        }
        control = top.get("CONTROL")
        if control is not None and not self.alias(control, 'SHOAL["CONTROL"]'):
            control = None
        control = control or sharding.control(clusters, self.databases, self.configured)
        if control is not None and not is_member(control, clusters):
            clusters[control] = ClusterConf(name=control)
        conf = Conf(
            clusters=MappingProxyType(clusters),
            control=control,
            token_cookie=self.token_cookie(top.get("TOKEN_COOKIE", "shoal_token")),
        )
        self.claims(conf)
        self.members(conf)
        return conf

    def token_cookie(self, name: object) -> str:
        if isinstance(name, str) and _COOKIE_NAME.fullmatch(name):
            return name
        self.wrong(
            "E001",
            f'SHOAL["TOKEN_COOKIE"] is {name!r}, which cannot be the name of a cookie.',
            'Use letters, digits, "-" and "_" only.',
        )
        return "shoal_token"

    def mapping(
        self, value: object, where: str, known: tuple[str, ...] | None
    ) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            self.wrong(
                "E001",
                f"{where} is a {type(value).__name__}, not a dict.",
                "See the settings reference for its shape.",
            )
            return {}
        for key in value:
            if not isinstance(key, str):
                self.wrong("E001", f"{where} has the key {key!r}.", "Keys are strings.")
            elif known and key not in known:
                self.wrong(
                    "E001",
                    f"{where} has the unknown key {key!r}.",
                    did_you_mean(key, known),
                )
        return {k: v for k, v in value.items() if isinstance(k, str)}

    def alias(self, alias: object, where: str) -> bool:
        if not isinstance(alias, str) or alias not in self.databases:
            self.wrong(
                "E002",
                f"{where} names the alias {alias!r}, which is not in DATABASES.",
                did_you_mean(str(alias), self.configured),
            )
            return False
        if alias not in self.configured:
            self.wrong(
                "E008",
                f"{where} names the alias {alias!r}, which is empty in DATABASES.",
                f"Give {alias!r} an ENGINE, or name one of: "
                f"{', '.join(self.configured) or 'none is configured'}.",
            )
            return False
        return True

    def cluster(self, name: ClusterName, entry: object) -> ClusterConf:
        where = f'SHOAL["CLUSTERS"][{name!r}]'
        options = self.mapping(entry, where, CLUSTER_KEYS)
        shards = sharding.read(self, name, options, where)
        if shards:
            options = {k: v for k, v in options.items() if k not in sharding.REFUSED}
        return ClusterConf(
            name=name,
            apps=self.strings(options, "APPS", where),
            models=self.models(options, where),
            replicas=self.replicas(options, where),
            consistency=self.consistency(options, where),
            max_lag=self.max_lag(options, where),
            roles=self.roles(options, name, where),
            request_role=self.request_role(options, where),
            two_phase=self.two_phase(options, where),
            **shards,
        )

    def strings(
        self, options: Mapping[str, Any], key: str, where: str
    ) -> tuple[str, ...]:
        value = options.get(key, ())
        is_list = isinstance(value, list | tuple | set | frozenset)
        if is_list and all(isinstance(item, str) for item in value):
            return tuple(value)
        self.wrong(
            "E001",
            f"{where}[{key!r}] is {value!r}, not a list of strings.",
            f'Write "{key}": [{value!r}].'
            if isinstance(value, str)
            else f'Write "{key}": ["..."].',
        )
        return ()

    def models(self, options: Mapping[str, Any], where: str) -> tuple[str, ...]:
        labels = self.strings(options, "MODELS", where)
        for label in labels:
            if label.count(".") != 1 or not all(label.split(".")):
                self.wrong(
                    "E001",
                    f'{where}["MODELS"] names {label!r}, which is not a model label.',
                    'Write "app_label.ModelName", as in "auth.User".',
                )
        return tuple(label.lower() for label in labels)

    def replicas(
        self, options: Mapping[str, Any], where: str
    ) -> tuple[ReplicaConf, ...]:
        value = options.get("REPLICAS", ())
        if not isinstance(value, Mapping):
            aliases = self.strings(options, "REPLICAS", where)
            value = {alias: {} for alias in aliases}
        where = f'{where}["REPLICAS"]'
        found = []
        for alias, entry in value.items():
            if self.alias(alias, where):
                extra = self.mapping(entry, f"{where}[{alias!r}]", ("WEIGHT",))
                weight = self.number(extra.get("WEIGHT", 1), f"{where}[{alias!r}]")
                found.append(ReplicaConf(alias=alias, weight=weight))
        return tuple(found)

    def number(self, value: object, where: str) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and 0 <= float(value) < float("inf"):  # type: ignore[arg-type]
            return float(value)  # type: ignore[arg-type]
        self.wrong(
            "E001",
            f'{where}["WEIGHT"] is {value!r}.',
            "A weight is a number: 2 serves twice the reads of 1, and 0 none.",
        )
        return 1.0

    def consistency(self, options: Mapping[str, Any], where: str) -> Consistency:
        value = options.get("CONSISTENCY", "session")
        if value in get_args(Consistency):
            return value  # type: ignore[no-any-return]
        self.wrong(
            "E001",
            f'{where}["CONSISTENCY"] is {value!r}.',
            did_you_mean(str(value), get_args(Consistency)),
        )
        return "primary"

    def max_lag(self, options: Mapping[str, Any], where: str) -> float:
        value = options.get("MAX_LAG", 30)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return float(value)
        self.wrong(
            "E001",
            f'{where}["MAX_LAG"] is {value!r}.',
            "It is a number of seconds above 0.",
        )
        return 30.0

    def two_phase(self, options: Mapping[str, Any], where: str) -> bool:
        value = options.get("TWO_PHASE", True)
        if isinstance(value, bool):
            return value
        self.wrong(
            "E001",
            f'{where}["TWO_PHASE"] is {value!r}.',
            "It is True, or False where a server may not prepare transactions.",
        )
        return True

    def roles(
        self, options: Mapping[str, Any], name: ClusterName, where: str
    ) -> Mapping[Role, Alias]:
        where = f'{where}["ROLES"]'
        roles = self.mapping(options.get("ROLES", {}), where, None)
        known = {r: a for r, a in roles.items() if self.alias(a, where)}
        if len(known) == len(roles) and roles:
            if list(roles.values()).count(name) != 1:
                self.wrong(
                    "E001",
                    f"{where} must give exactly one role to {name!r} itself.",
                    f'Add the role that a visitor has by default: "public": {name!r}.',
                )
            if len(set(roles.values())) != len(roles):
                self.wrong(
                    "E001",
                    f"{where} gives two roles the same alias.",
                    "Each role is an edition of its own: give each its own alias.",
                )
        return MappingProxyType(known)

    def request_role(self, options: Mapping[str, Any], where: str) -> Any:
        value = options.get("REQUEST_ROLE")
        if value is None:
            return None
        if "ROLES" not in options:
            self.wrong(
                "E001",
                f'{where} has "REQUEST_ROLE" but no "ROLES".',
                'Add "ROLES": {"public": "site", "draft": "site_draft"}.',
            )
        if callable(value) or (isinstance(value, str) and "." in value):
            return value
        self.wrong(
            "E001",
            f'{where}["REQUEST_ROLE"] is {value!r}.',
            'Give the dotted path of a function request -> role: "site.roles.role_of".',
        )
        return None

    def claims(self, conf: Conf) -> None:
        """Refuse an app or a model that two clusters claim."""
        for kind in ("apps", "models"):
            owner: dict[str, ClusterName] = {}
            for cluster in conf.clusters.values():
                for claim in getattr(cluster, kind):
                    first = owner.setdefault(claim, cluster.name)
                    if first != cluster.name:
                        self.wrong(
                            "E006",
                            f"{claim!r} is claimed by the clusters {first!r} "
                            f"and {cluster.name!r}.",
                            f"Keep it in one of the two {kind.upper()}.",
                        )

    def members(self, conf: Conf) -> None:
        """Refuse an alias that two clusters use, or one as two things."""
        used: dict[Alias, str] = {
            name: f"the primary of cluster {name!r}"
            for name, cluster in conf.clusters.items()
            if cluster.apps or cluster.models
        }
        sharding.check(self, conf)
        for cluster in conf.clusters.values():
            for shard in cluster.shards:
                self.member(used, shard, "a shard", cluster)
            for role, alias in cluster.roles.items():
                if alias != cluster.name:
                    self.member(used, alias, f"the edition {role!r}", cluster)
                    self.edition(alias, conf)
            for replica in cluster.replicas:
                if self.member(used, replica.alias, "a replica", cluster):
                    self.replica(replica.alias, cluster, conf)
        replicas = [r.alias for c in conf.clusters.values() for r in c.replicas]
        if conf.control in replicas:
            self.wrong(
                "E007",
                f'SHOAL["CONTROL"] is {conf.control!r}, which is a replica.',
                "Shoal writes there: name the alias of a primary.",
            )

    def member(
        self, used: dict[Alias, str], alias: Alias, what: str, cluster: ClusterConf
    ) -> bool:
        what = f"{what} of cluster {cluster.name!r}"
        if alias == "default":
            used["default"] = "where all models live that no cluster claims"
        first = used.setdefault(alias, what)
        if alias == cluster.name:
            first = "its primary"
        if first == what:
            return True
        self.wrong(
            "E007",
            f"{alias!r} is listed as {what}, but it is {first}.",
            "An alias is one thing: list it once, or add another alias.",
        )
        return False

    def edition(self, alias: Alias, conf: Conf) -> None:
        if alias in conf.clusters and conf.clusters[alias].roles:
            self.wrong(
                "E001",
                f'SHOAL["CLUSTERS"][{alias!r}] has "ROLES", but it is an edition of '
                "another cluster.",
                "Roles belong to the cluster that has the APPS; remove them here.",
            )

    def replica(self, alias: Alias, cluster: ClusterConf, conf: Conf) -> None:
        mine, primary = self.databases[alias], self.databases[cluster.name]
        if mine["ENGINE"] != primary["ENGINE"]:
            self.wrong(
                "E007",
                f"{alias!r} is listed as a replica of {cluster.name!r}, but its "
                f"ENGINE is {mine['ENGINE']!r} and not {primary['ENGINE']!r}.",
                "A replica runs the same engine as its primary.",
            )
        if alias in conf.clusters:
            self.wrong(
                "E007",
                f"{alias!r} is listed as a replica of {cluster.name!r}, but it is "
                "a cluster of its own.",
                f'Remove {alias!r} from SHOAL["CLUSTERS"], or from the REPLICAS.',
            )
