"""What `shoal migrate` decides, without any server."""

import pytest

from shoal.cli.migrate.choice import (
    Choice,
    Tables,
    candidates,
    choose,
    refuse_problems,
)
from shoal.cli.migrate.report import DatabaseReport, MigrateReport, failure
from shoal.cli.migrate.steps import Step, next_round, ranks, rounds
from shoal.conf import SHARDED_ENGINE, parse
from shoal.errors import CannotPrepare, MigrateError
from shoal.topology import Topology
from shoal.topology.clusters import build
from shoal.topology.probe import ServerFacts, ServerProblem

A1, A2 = Step("a", "0001"), Step("a", "0002")
B1, B2 = Step("b", "0001"), Step("b", "0002")
ORDER = ranks([A1.key, B1.key, A2.key, B2.key], [B2.key, A2.key])


def test_the_earliest_step_runs_on_all_that_wait_for_it() -> None:
    wanted = {"x": A2, "y": B1, "z": B1}
    assert next_round(wanted, ORDER) == (B1, ("y", "z"))


def test_what_is_taken_back_comes_first_and_the_unknown_last() -> None:
    back = Step("b", "0002", backwards=True)
    squashed = Step("a", "0001_squashed")
    assert next_round({"x": A1, "y": back}, ORDER) == (back, ("y",))
    assert next_round({"x": squashed, "y": B2}, ORDER) == (B2, ("y",))
    assert next_round({"x": squashed}, ORDER) == (squashed, ("x",))


def test_breadth_first() -> None:
    plans = {"new": [A1, B1, A2, B2], "half": [A2, B2], "done": []}
    assert list(rounds(plans, ORDER)) == [
        (A1, ("new",)),
        (B1, ("new",)),
        (A2, ("new", "half")),
        (B2, ("new", "half")),
    ]


def test_no_alias_runs_a_step_before_another_one_has_what_it_depends_on() -> None:
    # B2 depends on A2: `behind` has to have it first, though `ahead` waits for B2 only.
    plans = {"ahead": [B2], "behind": [A2]}
    assert [step for step, _ in rounds(plans, ORDER)] == [A2, B2]


def database(name: str) -> dict[str, str]:
    return {"ENGINE": "django.db.backends.postgresql", "NAME": name}


DATABASES = {
    alias: database(alias)
    for alias in ("main", "copy", "site", "draft", "old", "other")
}


def topology() -> Topology:
    clusters = {
        "main": {"APPS": ["a"], "REPLICAS": ["copy"]},
        "site": {"APPS": ["b"], "ROLES": {"public": "site", "draft": "draft"}},
    }
    conf, problems = parse({"CLUSTERS": clusters}, DATABASES)
    assert problems == ()
    return build(conf)


def facts(**identities: str) -> dict[str, ServerFacts]:
    return {
        alias: ServerFacts(alias=alias, identity=identity, is_replica=False)
        for alias, identity in identities.items()
    }


def test_primaries_first_then_what_belongs_to_no_cluster() -> None:
    found = candidates(list(DATABASES), topology())
    assert found == ["main", "site", "draft", "old", "other"]


def test_leaves_out_second_names_and_replicas_that_nobody_listed() -> None:
    known = facts(main="1", site="2", old="1")
    known["other"] = ServerFacts(alias="other", is_replica=True, server_name="north")
    tables = {"main": frozenset({"a.A", "c.C"}), "old": frozenset({"c.C"})}
    choice = choose(
        ["main", "site", "old", "other"],
        known,
        topology(),
        lambda alias: tables.get(alias, frozenset()),
    )
    assert choice.aliases == ("main", "site")
    assert choice.skipped == {
        "old": "the same database as 'main'",
        "other": "its server 'north' is a replica",
    }


def test_a_server_that_does_not_say_who_it_is_counts_as_one_of_its_own() -> None:
    known = {alias: ServerFacts(alias=alias) for alias in ("main", "site")}
    assert choose(["main", "site"], known, topology(), lambda alias: frozenset()) == (
        choose(
            ["main", "site"],
            facts(main="1", site="2"),
            topology(),
            lambda alias: frozenset(),
        )
    )


def test_refuses_a_second_name_with_tables_of_its_own() -> None:
    tables = {"main": frozenset({"a.A"}), "site": frozenset({"b.B"})}
    known = facts(main="1", site="1")
    with pytest.raises(MigrateError) as caught:
        choose(["main", "site"], known, topology(), tables.__getitem__)
    assert "'main' and 'site' are the same database" in caught.value.message
    assert "b.B may have a table on 'site' only" in caught.value.message


def problem(alias: str, level: str, id: str = "shoal.E013") -> ServerProblem:
    return ServerProblem(
        alias=alias,
        id=id,
        level=level,  # type: ignore[arg-type]
        message=f"{alias} is down.",
        hint=f"Start {alias}.",
    )


def test_names_every_server_that_is_not_there() -> None:
    refuse_problems([problem("a", "warning"), problem("b", "info")])
    with pytest.raises(MigrateError) as one:
        refuse_problems([problem("a", "error"), problem("b", "warning")])
    assert str(one.value) == (
        "a is down.\nHint: Start a. Nothing was changed anywhere."
    )
    with pytest.raises(MigrateError) as two:
        refuse_problems([problem("a", "error"), problem("b", "error")])
    assert str(two.value) == (
        "2 databases cannot be migrated:\n- a is down. Start a.\n- b is down. Start b."
        "\nHint: Nothing was changed anywhere."
    )


def sharded_topology() -> Topology:
    lite = {"ENGINE": "django.db.backends.sqlite3"}
    databases = dict.fromkeys(("main", "shop_0", "shop_1", "copy", "ids"), lite)
    clusters = {
        "shop": {"APPS": ["a"], "SHARDS": ["shop_0", "shop_1"]},
        "shop_1": {"REPLICAS": ["copy"]},
        "main": {},
    }
    conf, problems = parse(
        {"CLUSTERS": clusters, "CONTROL": "ids"},
        {**databases, "shop": {"ENGINE": SHARDED_ENGINE}},
    )
    assert problems == ()
    return build(conf)


def test_a_sharded_alias_stands_for_its_shards_and_comes_after_the_control() -> None:
    topology = sharded_topology()
    known = ["main", "shop_0", "shop_1", "copy", "ids", "shop"]
    assert candidates(known, topology) == ["ids", "shop", "main"]
    assert topology.servers_behind("shop") == ("shop_0", "shop_1")
    assert topology.servers_behind("shop_0") == ("shop_0",)
    assert topology.sharded_cluster_of("shop_1") is topology.clusters["shop"]
    assert topology.sharded_cluster_of("shop") is None
    assert topology.sharded_cluster_of("ids") is None


def test_the_database_of_a_shard_is_nobody_elses() -> None:
    def chosen(*wanted: str, **identities: str) -> Choice:
        known = {"main": "1", "ids": "2", "shop_0": "3", "shop_1": "4", **identities}
        nothing: Tables = lambda alias: frozenset()  # noqa: E731
        return choose(wanted, facts(**known), sharded_topology(), nothing)

    assert chosen("ids", "shop", "main").aliases == ("ids", "shop", "main")
    # A second name without tables of its own.
    assert chosen("shop", "main", main="4").skipped == {
        "main": "the same database as 'shop'"
    }
    with pytest.raises(
        MigrateError, match=r"'shop_1' of 'shop' is the same .* another"
    ):
        chosen("shop", shop_1="3")
    with pytest.raises(MigrateError, match=r"'shop_0' of 'shop' is the same .* 'main'"):
        chosen("main", "shop", shop_0="1")


def failed_on(alias: str, error: Exception) -> DatabaseReport:
    return DatabaseReport(
        alias=alias, server=alias, done=(), remaining=(A1,), failed=A1, error=error
    )


def test_one_error_that_kept_several_from_their_commit_is_told_once() -> None:
    """Not as if each of these servers had said it."""
    full = CannotPrepare("The server 'east' is full.")
    alone = MigrateError("No such column.")
    databases = (
        failed_on("west", full),
        failed_on("east", full),
        failed_on("north", alone),
    )
    error = failure(MigrateReport(databases=databases, skipped={}, seconds=0.0))
    assert error is not None
    assert error.args[0] == (
        "3 databases failed:\n"
        "- a.0001 failed on 'west', 'east', which commit together: "
        "The server 'east' is full.\n"
        "- a.0001 failed on 'north': No such column."
    )
