"""What an entry of `CLUSTERS` says of shards. Takes its options, gives values."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol, get_args

from shoal.conf.values import ClusterConf, Conf
from shoal.errors import did_you_mean
from shoal.types import Alias, ClusterName, Ids, Permission

SHARDED_KEYS = (
    "SHARDS",
    "IDS",
    "KEYS",
    "MAX_GATHER_ROWS",
    "SCATTER",
    "GATHER",
    "TIMEOUT",
)
SHARDED_ENGINE = "shoal.backends.sharded"
MAX_GATHER_ROWS = 100_000
"""Rows that one query may bring together, unless the setting says otherwise."""
REFUSED = ("REPLICAS", "ROLES", "REQUEST_ROLE")
"""What a sharded cluster has no use for."""


class Parser(Protocol):
    """What walks the setting, as far as it is needed here."""

    databases: Mapping[Alias, Mapping[str, Any]]

    def wrong(self, id: str, message: str, hint: str) -> None: ...
    def alias(self, alias: object, where: str) -> bool: ...
    def strings(
        self, options: Mapping[str, Any], key: str, where: str
    ) -> tuple[str, ...]: ...
    def mapping(
        self, value: object, where: str, known: tuple[str, ...] | None
    ) -> Mapping[str, Any]: ...


def read(
    parser: Parser, name: ClusterName, options: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Return the fields of a `ClusterConf` that are about shards."""
    aliases = parser.strings(options, "SHARDS", where)
    shards = [a for a in aliases if parser.alias(a, f'{where}["SHARDS"]')]
    engine = parser.databases[name].get("ENGINE")
    if "SHARDS" not in options and engine != SHARDED_ENGINE:
        _refuse_without_shards(parser, options, where)
        return {}
    if engine != SHARDED_ENGINE:
        parser.wrong(
            "E021",
            f'{where} has "SHARDS", but the ENGINE of {name!r} is {engine!r}.',
            f'Give it an alias of its own: {name!r}: {{"ENGINE": "{SHARDED_ENGINE}"}}.',
        )
    elif not shards:
        parser.wrong(
            "E021",
            f"{name!r} has the ENGINE {SHARDED_ENGINE!r}, but {where} has no shards.",
            'Add "SHARDS": ["...", "..."]; the first is home.',
        )
    for shard in dict.fromkeys(shards):
        if shards.count(shard) > 1:
            parser.wrong(
                "E007",
                f"{shard!r} is listed twice as a shard of cluster {name!r}.",
                "List each shard once.",
            )
    for key in REFUSED:
        if key in options:
            parser.wrong(
                "E001",
                f"{where} has {key!r}, but it is a sharded cluster.",
                "A shard is a cluster: give replicas to each shard, in an entry of its "
                "own. Editions of a sharded cluster are not supported.",
            )
    return {
        "shards": tuple(dict.fromkeys(shards)),
        "ids": _ids(parser, options, where),
        "keys": _keys(parser, options, where),
        "max_gather_rows": _max_gather_rows(parser, options, where),
        "scatter": _permission(parser, options, "SCATTER", where),
        "gather": _permission(parser, options, "GATHER", where),
        "timeout": _timeout(parser, options, where),
    }


def control(
    clusters: Mapping[ClusterName, ClusterConf],
    databases: Mapping[Alias, Mapping[str, Any]],
    configured: list[Alias],
) -> Alias | None:
    """
    Return the alias for Shoal's tables where the setting does not say.

    It is `default`, or the home shard of the first sharded cluster.
    """
    sharded = [cluster for cluster in clusters.values() if cluster.shards]
    if not sharded:
        return None
    if "default" in configured and databases["default"]["ENGINE"] != SHARDED_ENGINE:
        return "default"
    return sharded[0].shards[0]


def check(parser: Parser, conf: Conf) -> None:
    """Refuse shards that are something else as well, or of several engines."""
    for alias, database in parser.databases.items():
        if database.get("ENGINE") == SHARDED_ENGINE and alias not in conf.clusters:
            parser.wrong(
                "E021",
                f"{alias!r} has the ENGINE {SHARDED_ENGINE!r}, but no entry in "
                'SHOAL["CLUSTERS"] says what its shards are.',
                f'Add {alias!r}: {{"SHARDS": ["...", "..."]}}; the first is home.',
            )
    for cluster in conf.clusters.values():
        for shard in cluster.shards:
            _check_shard(parser, cluster, shard, conf)
    if conf.control and conf.clusters.get(conf.control, _NONE).shards:
        parser.wrong(
            "E007",
            f'SHOAL["CONTROL"] is {conf.control!r}, which is a sharded alias.',
            "The bucket map cannot be on what it leads to: name a plain alias. One of "
            "the shards will do.",
        )


_NONE = ClusterConf(name="")


def _check_shard(
    parser: Parser, cluster: ClusterConf, shard: Alias, conf: Conf
) -> None:
    engines = [parser.databases[one]["ENGINE"] for one in (cluster.shards[0], shard)]
    if SHARDED_ENGINE in engines:
        parser.wrong(
            "E022",
            f"{shard!r} is a shard of {cluster.name!r}, and sharded itself.",
            "A shard is one database, with or without replicas.",
        )
    elif engines[0] != engines[1]:
        parser.wrong(
            "E022",
            f"{shard!r}, a shard of {cluster.name!r}, has the ENGINE {engines[1]!r}, "
            f"but the home shard {cluster.shards[0]!r} has {engines[0]!r}.",
            "All shards of a cluster run the same engine.",
        )
    entry = conf.clusters.get(shard, _NONE)
    if entry.roles:
        parser.wrong(
            "E001",
            f'SHOAL["CLUSTERS"][{shard!r}] has "ROLES", but it is a shard.',
            "Editions of a sharded cluster are not supported; remove them.",
        )


def _refuse_without_shards(
    parser: Parser, options: Mapping[str, Any], where: str
) -> None:
    for key in SHARDED_KEYS:
        if key in options:
            parser.wrong(
                "E001",
                f"{where} has {key!r}, but no shards.",
                f'Add "SHARDS": ["...", "..."], or remove {key!r}.',
            )


def _ids(parser: Parser, options: Mapping[str, Any], where: str) -> Ids:
    value = options.get("IDS", "bucketed")
    if value in get_args(Ids):
        return value  # type: ignore[no-any-return]
    parser.wrong(
        "E001", f'{where}["IDS"] is {value!r}.', did_you_mean(str(value), get_args(Ids))
    )
    return "bucketed"


def _keys(
    parser: Parser, options: Mapping[str, Any], where: str
) -> Mapping[str, tuple[str, ...]]:
    where = f'{where}["KEYS"]'
    found: dict[str, tuple[str, ...]] = {}
    for label, key in parser.mapping(options.get("KEYS", {}), where, None).items():
        names = (key,) if isinstance(key, str) else key
        is_list = isinstance(names, list | tuple) and len(names) > 0
        if label.count(".") != 1 or not all(label.split(".")):
            parser.wrong(
                "E001",
                f"{where} names {label!r}, which is not a model label.",
                'Write "app_label.ModelName": "field".',
            )
        elif not is_list or not all(isinstance(name, str) for name in names):
            parser.wrong(
                "E001",
                f"{where}[{label!r}] is {key!r}, not the name of a field.",
                f'Write {{{label!r}: "field"}}.',
            )
        else:
            found[label.lower()] = tuple(names)
    return MappingProxyType(found)


def _max_gather_rows(parser: Parser, options: Mapping[str, Any], where: str) -> int:
    value = options.get("MAX_GATHER_ROWS", MAX_GATHER_ROWS)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    parser.wrong(
        "E001",
        f'{where}["MAX_GATHER_ROWS"] is {value!r}.',
        "It is a number of rows above 0.",
    )
    return MAX_GATHER_ROWS


def _permission(
    parser: Parser, options: Mapping[str, Any], key: str, where: str
) -> Permission:
    value = options.get(key, "allow")
    if value in get_args(Permission):
        return value  # type: ignore[no-any-return]
    known = get_args(Permission)
    parser.wrong(
        "E001", f'{where}["{key}"] is {value!r}.', did_you_mean(str(value), known)
    )
    return "allow"


def _timeout(parser: Parser, options: Mapping[str, Any], where: str) -> float | None:
    value = options.get("TIMEOUT")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or (is_number and value > 0):
        return value
    parser.wrong(
        "E001",
        f'{where}["TIMEOUT"] is {value!r}.',
        "It is a number of seconds above 0, or None.",
    )
    return None
