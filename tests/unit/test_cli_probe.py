"""What is wrong with servers, judged from what they said."""

from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError

from shoal.conf import parse
from shoal.topology import Topology
from shoal.topology.clusters import build
from shoal.topology.probe import ServerFacts, problems
from shoal.topology.probe.asking import as_line

DATABASES = {
    alias: {"ENGINE": "django.db.backends.postgresql", "NAME": alias}
    for alias in ("main", "copy", "copy_2", "site", "rest")
}


def topology(**options: Any) -> Topology:
    main = {"APPS": ["a"], "REPLICAS": ["copy", "copy_2"], **options}
    conf, wrong = parse({"CLUSTERS": {"main": main, "site": {}}}, DATABASES)
    assert wrong == ()
    return build(conf)


PRIMARY = ServerFacts(
    alias="main",
    vendor="postgresql",
    server_name="north",
    database="shop",
    is_replica=False,
    system="1",
    identity="north shop",
)
REPLICA = replace(
    PRIMARY,
    alias="copy",
    server_name="north_r1",
    is_replica=True,
    connected=True,
    follows_system="1",
    lag_seconds=0.0,
    identity="north_r1 shop",
)


def found(*facts: ServerFacts, **options: Any) -> dict[str, str]:
    """Return the messages by id."""
    by_alias = {one.alias: one for one in facts}
    return {p.id: p.message for p in problems(by_alias, topology(**options))}


def test_all_is_well() -> None:
    assert found(PRIMARY, REPLICA) == {}


def test_what_a_server_does_not_say_is_not_held_against_it() -> None:
    silent = ServerFacts(alias="copy", vendor="mysql", database="shop")
    assert found(PRIMARY, silent) == {}


@pytest.mark.parametrize(
    ("changes", "id", "said"),
    [
        ({"is_replica": False}, "shoal.E007", "is not a replica: it was promoted, or"),
        (
            {"is_replica": False, "identity": "north shop"},
            "shoal.E007",
            "leads to the primary itself (north_r1).",
        ),
        ({"is_replica": False, "vendor": "sqlite"}, "shoal.E007", "SQLite has no repl"),
        (
            {"follows_system": "2"},
            "shoal.E007",
            "follows another system: 2, and 'main'",
        ),
        ({"database": "other"}, "shoal.E007", "'other' and not 'shop'"),
        ({"connected": False}, "shoal.W010", "is not connected to its primary"),
        (
            {"lag_seconds": 31.0},
            "shoal.W007",
            "is 31 s behind 'main'; MAX_LAG is 30 s.",
        ),
        (
            {"trouble": "unreachable", "error": "refused."},
            "shoal.E013",
            "hed: refused.",
        ),
    ],
)
def test_a_replica_that_is_not_as_listed(
    changes: dict[str, Any], id: str, said: str
) -> None:
    messages = found(PRIMARY, replace(REPLICA, **changes))
    assert list(messages) == [id]
    assert said in messages[id]


def test_a_replica_of_a_replica_is_one_of_the_cluster() -> None:
    between = replace(REPLICA, alias="copy_2", system="3", identity="3")
    below = replace(REPLICA, follows_system="3")
    assert found(PRIMARY, between, below) == {}


def test_max_lag_is_the_cluster_s() -> None:
    late = replace(REPLICA, lag_seconds=2.0)
    assert found(PRIMARY, late) == {}
    assert list(found(PRIMARY, late, MAX_LAG=1)) == ["shoal.W007"]


def unable(alias: str) -> ServerFacts:
    return replace(PRIMARY, alias=alias, identity=alias, max_prepared_transactions=0)


def test_a_server_that_cannot_prepare_is_worse_as_a_shard() -> None:
    assert list(found(unable("main"))) == ["shoal.I001"]
    assert found(unable("main"), TWO_PHASE=False) == {}
    conf, wrong = parse(
        {"CLUSTERS": {"whole": {"SHARDS": ["one", "two"]}}},
        {
            "whole": {"ENGINE": "shoal.backends.sharded"},
            "one": {"ENGINE": "django.db.backends.postgresql"},
            "two": {"ENGINE": "django.db.backends.postgresql"},
        },
    )
    assert wrong == ()
    facts = {alias: unable(alias) for alias in ("one", "two")}
    messages = problems(facts, build(conf))
    assert [(m.id, m.alias) for m in messages] == [
        ("shoal.W015", "one"),
        ("shoal.W015", "two"),
    ]
    assert "on several shards of 'whole' at once is refused" in messages[0].message


def test_two_names_of_one_database() -> None:
    site = replace(PRIMARY, alias="site")
    rest = replace(PRIMARY, alias="rest")
    assert list(found(PRIMARY, site)) == ["shoal.E017"]
    assert list(found(PRIMARY, rest)) == ["shoal.W006"]
    # A replica with the same entry in DATABASES is another mistake.
    assert list(found(PRIMARY, replace(PRIMARY, alias="copy"))) == ["shoal.E007"]


def test_an_error_of_libpq_is_one_line_without_the_place() -> None:
    error = OperationalError(
        'connection failed: connection to server at "10.0.0.1", port 5432 failed: '
        "Connection refused\n\tIs the server running on that host?"
    )
    assert as_line(error, {}) == "Connection refused"


def test_a_password_is_masked() -> None:
    error = OperationalError("no such option: password=tiger\nin dsn")
    assert as_line(error, {"PASSWORD": "tiger", "USER": "scott"}) == (
        "no such option: password=*** in dsn"
    )
