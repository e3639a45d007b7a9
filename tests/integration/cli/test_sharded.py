"""The commands on a project with a sharded cluster, on each kind of server."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.lab import Lab, MariaDB, Postgres
from tests.integration.cli.conftest import TIMEOUT, Done, Project, states_of
from tests.waiting import until

SHARDS = ("stock_0", "stock_1", "stock_2", "stock_3")
VENDORS = {
    "postgresql": pytest.param("postgresql"),
    "sqlite": pytest.param("sqlite"),
    "mariadb": pytest.param("mariadb", marks=pytest.mark.mariadb),
}
ENDS = "stock.0004_text"


def only(*names: str) -> Any:
    some = [VENDORS[name] for name in names]
    return pytest.mark.parametrize("vendor", some, indirect=True)


@pytest.fixture(params=VENDORS.values())
def vendor(request: Any) -> Any:
    return request.param


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Lab]:
    with Lab(Postgres("here")) as servers:
        yield servers


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Lab]:
    with Lab(MariaDB("here")) as servers:
        yield servers


class Stock(Project):
    """A sharded cluster of several databases, and the control database beside it."""

    server: Any = None
    known: Any = None

    def have(self, *shards: str) -> None:
        """Let the cluster have these shards, and DATABASES these aliases."""
        for alias in SHARDS:
            self.databases.pop(alias, None)
        self.databases |= {alias: self.known[alias] for alias in shards}
        stock = {"APPS": ["stock"], "SHARDS": list(shards)}
        self.shoal["CLUSTERS"]["stock"] = stock

    def environ(self, **more: str) -> dict[str, str]:
        return super().environ(TEST_APPS="stock", **more)

    def ask(self, alias: str, sql: str) -> list[tuple[Any, ...]]:
        database = self.known[alias]
        if self.server is not None:
            return list(
                self.server._ask(sql, database=database["NAME"], timeout=30),
            )
        opened = contextlib.closing(sqlite3.connect(database["NAME"]))
        with opened as connection, connection:
            return connection.execute(sql).fetchall()

    def wait_until_left(self) -> None:
        """Return when the server has noticed that whoever was killed is gone."""
        ask = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = 'control' OR datname LIKE 'stock%'"
        )
        if self.server is not None:
            until(lambda: self.server.ask(ask) == [(0,)])

    def columns(self, alias: str, table: str = "stock_review") -> list[str]:
        sql = f"SELECT name FROM pragma_table_info('{table}')"
        if self.server is not None:
            sql = (
                "SELECT column_name FROM information_schema.columns WHERE table_name "
                f"= '{table}' AND table_schema IN ('public', '{alias}')"
            )
        return sorted(name for (name,) in self.ask(alias, sql))

    def applied(self, alias: str, app: str = "stock") -> list[str]:
        if not self.columns(alias, "django_migrations"):
            return []
        sql = f"SELECT name FROM django_migrations WHERE app = '{app}' ORDER BY name"
        return [name for (name,) in self.ask(alias, sql)]

    def count(self, alias: str, what: str) -> int:
        return int(self.ask(alias, f"SELECT count(*) FROM {what}")[0][0])

    def problems(self, *, code: int = 1) -> list[tuple[str, str, str]]:
        found = self.shoal_command("status", "--json", code=code).data["problems"]
        return [(one["id"], one["alias"], one["message"]) for one in found]


@pytest.fixture
def stock(request: Any, vendor: str, tmp_path: Path) -> Stock:
    """Empty databases; three of the four are shards."""
    server = None
    if vendor != "sqlite":
        server = request.getfixturevalue(vendor)["here"]
    databases = {a: made(a, server, tmp_path) for a in ("default", *SHARDS)}
    databases["stock"] = {"ENGINE": "shoal.backends.sharded"}
    project = Stock(server, databases, shoal={"CLUSTERS": {"default": {}}})
    project.server, project.known = server, dict(databases)
    project.have(*SHARDS[:3])
    return project


def made(alias: str, server: Any, path: Path) -> dict[str, Any]:
    if server is None:
        file = str(path / f"{alias}.sqlite3")
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": file}
    name = {"default": "control"}.get(alias, alias)
    is_postgresql = "postgresql" in server.alias["ENGINE"]
    force = " WITH (FORCE)" if is_postgresql else ""
    server.ask(f"DROP DATABASE IF EXISTS {name}{force}")
    server.ask(f"CREATE DATABASE {name}")
    return {**server.alias, "NAME": name}


def rows(stock: Stock, what: str, shards: Any = SHARDS[:3]) -> list[int]:
    return [stock.count(alias, what) for alias in shards]


def test_the_shards_are_migrated_as_one(stock: Stock, tmp_path: Path) -> None:
    aliases = tmp_path / "aliases"
    before = stock.shoal_command("status")
    assert "none yet" in before.stdout
    done, again, status, check, django = stock.each(
        ["migrate"],
        ["migrate"],
        ["status", "--json"],
        ["check"],
        ["migrate", "--plan", "--json"],
        ALIASES=str(aliases),
    )
    assert f"Applied {ENDS} on default, stock (" in done.stdout
    assert (done.code, again.stdout) == (0, "Nothing to migrate on default, stock.\n")
    assert (check.code, "Checked 4 databases" in check.stdout) == (0, True)
    assert django.data["plan"] == []
    # A migration of data sees the sharded alias.
    assert aliases.read_text().split() == ["stock"]
    assert rows(stock, "stock_product") == [1, 1, 1]
    assert sum(rows(stock, "stock_reader")) == sum(rows(stock, "stock_review")) == 16
    assert max(rows(stock, "stock_review")) < 16
    assert sum(rows(stock, "stock_review WHERE text = '3 stars'")) == 16
    assert stock.columns("default", "stock_review") == []
    cluster = status.data["clusters"][1]
    assert cluster["shards"] == {
        "control": "default",
        "ids": "bucketed",
        "home": "stock_0",
        "map_version": 1,
        "buckets": {"stock_0": 1366, "stock_1": 1365, "stock_2": 1365},
    }
    servers = [edition["servers"][0] for edition in cluster["editions"]]
    assert [server["alias"] for server in servers] == list(SHARDS[:3])
    assert [server["unapplied"] for server in servers] == [[]] * 3


def test_djangos_own_migrate_does_the_same(stock: Stock) -> None:
    stock.manage("migrate", "--database", "stock", "--verbosity", "0")
    assert [stock.applied(alias)[-1] for alias in SHARDS[:3]] == ["0004_text"] * 3
    stock.manage("migrate", "stock", "0002", "--database", "stock")
    assert [stock.applied(alias)[-1] for alias in SHARDS[:3]] == ["0002_rows"] * 3
    assert "text" not in stock.columns("stock_2")


@pytest.mark.parametrize("place", ["last", "home"])
def test_a_new_shard_gets_what_the_others_have(stock: Stock, place: str) -> None:
    stock.shoal_command("migrate")
    ((count,),) = stock.ask("stock_0", "SELECT count(*) FROM django_migrations")
    shards = [*SHARDS] if place == "last" else ["stock_3", *SHARDS[:3]]
    stock.have(*shards)
    found = stock.problems()
    assert [one[:2] for one in found] == [("shoal.E034", "stock_3")]
    lacks = f"'stock_3' lacks {count} migrations that"
    assert f"{lacks} other shards of 'stock'" in found[0][2]
    plan = stock.shoal_command("migrate", "--plan")
    assert plan.stdout == "Nothing to migrate on default, stock.\n"
    assert stock.columns("stock_3", "django_migrations") == []

    done = stock.shoal_command("migrate")
    assert done.stdout.startswith(f"The shard {lacks} 'stock")
    assert f"Finished {ENDS} on stock_3." in done.stdout
    assert "Copied 1 row of stock.Product to stock_3." in done.stdout
    assert stock.problems(code=0) == []
    assert stock.columns("stock_3") == stock.columns("stock_1")
    assert constraints(stock, "stock_3") == constraints(stock, "stock_1")
    ask = "SELECT id, name FROM stock_product"
    assert stock.ask("stock_3", ask) == stock.ask("stock_1", ask)
    # It has no buckets, so a migration of data has no rows there.
    assert rows(stock, "stock_reader", ["stock_3"]) == [0]
    assert sum(rows(stock, "stock_reader")) == 16
    assert "Nothing to migrate" in stock.shoal_command("migrate").stdout


def constraints(stock: Stock, alias: str) -> Any:
    """Return the foreign keys that the database checks, and of which tables."""
    if stock.server is None:
        sql = "SELECT sql FROM sqlite_master WHERE name LIKE 'stock%'"
        return sorted(stock.ask(alias, sql), key=str)
    sql = (
        "SELECT table_name, count(*) FROM information_schema.table_constraints "
        "WHERE constraint_type = 'FOREIGN KEY' AND table_schema IN "
        f"('public', '{alias}') GROUP BY table_name ORDER BY table_name"
    )
    return stock.ask(alias, sql)


DIE = """
import os, signal, sys
import django
django.setup()
from django.core.management import call_command
from django.db import connections, transaction
from django.db.migrations.recorder import MigrationRecorder

*first, last = sys.argv[1:]
target = last if last != "0000" else "0001"
if last != "0000":
    MigrationRecorder(connections["stock"]).ensure_schema()
for name in first:
    call_command("migrate", "stock", name, database="stock", verbosity=0)
leave, done = transaction.Atomic.__exit__, set()

def die(self, kind, *rest):
    if self.using == "stock_1" and "stock_0" in done and kind is None:
        os.kill(os.getpid(), signal.SIGKILL)
    leave(self, kind, *rest)
    if kind is None and not transaction.get_connection(self.using).in_atomic_block:
        done.add(self.using)

transaction.Atomic.__exit__ = die
call_command("migrate", "stock", target, database="stock", verbosity=0)
"""


def die_between_commits(stock: Stock, *names: str) -> None:
    """
    Migrate up to the last of these, and die when one shard has committed it.

    Shards that do not prepare commit one after the other.
    """
    stock.shoal["CLUSTERS"]["stock"]["TWO_PHASE"] = False
    with stock.python(DIE, *names) as process:
        _, stderr = process.communicate(timeout=TIMEOUT)
    assert process.returncode == -9, stderr
    stock.wait_until_left()
    last = names[-1]
    have = [any(n.startswith(last) for n in stock.applied(a)) for a in SHARDS[:3]]
    assert have == [True, False, False]


@only("postgresql", "sqlite")
@pytest.mark.parametrize(
    "last",
    [
        pytest.param("0001", marks=pytest.mark.crash),
        "0003",
        pytest.param("0004", marks=pytest.mark.crash),
    ],
)
def test_a_run_that_died_between_two_commits_is_finished(
    stock: Stock, last: str
) -> None:
    before = [f"000{number}" for number in range(2, int(last))]
    die_between_commits(stock, *before, last)
    found = stock.problems()
    assert [one[:2] for one in found] == [
        ("shoal.E034", "stock_1"),
        ("shoal.E034", "stock_2"),
    ]
    assert "'stock_1' lacks 1 migration that other shards of 'stock'" in found[0][2]
    done = stock.manage("migrate", "--database", "stock")
    assert "The shard 'stock_1' lacks 1 migration that 'stock' has." in done.stdout
    assert done.stdout.count("Finished stock." + last) == 2
    assert constraints(stock, "stock_1") == constraints(stock, "stock_0")
    # What a migration of data does, it has done once for each row.
    assert sum(rows(stock, "stock_review WHERE text = '3 stars'")) == 16
    stock.shoal_command("migrate", "--verbosity", "0")
    assert stock.problems(code=0) == []


DIE_DECIDED = """
import logging, os, signal, sys
import django
django.setup()
from django.core.management import call_command

call_command("migrate", "stock", "0002", database="stock", verbosity=0)

class Die(logging.Handler):
    def emit(self, record):
        if record.event == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGKILL)

logger = logging.getLogger("shoal.transactions")
logger.setLevel("DEBUG")
logger.addHandler(Die())
call_command("migrate", "stock", "0003", database="stock", verbosity=0)
"""


@only("postgresql")
@pytest.mark.parametrize(
    ("step", "by", "applied"),
    [
        pytest.param("prepared", "migrate", False, marks=pytest.mark.crash),
        pytest.param("decided", "migrate", True, marks=pytest.mark.crash),
        ("prepared", "shoal", False),
        ("decided", "shoal", True),
    ],
)
def test_a_run_that_was_killed_while_it_committed_is_on_all_shards_or_none(
    stock: Stock, step: str, by: str, applied: bool
) -> None:
    with stock.python(DIE_DECIDED, step) as process:
        _, stderr = process.communicate(timeout=TIMEOUT)
    assert process.returncode == -9, stderr
    stock.wait_until_left()
    fate = "committed" if applied else "rolled back"
    if by == "shoal":
        done = stock.shoal_command("migrate", "stock", "0003")
        assert f"A migration that was killed on 'stock_1' is {fate} now" in done.stdout
    else:
        words = ["migrate", "stock", "0003", "--database", "stock"]
        done = stock.manage(*words, code=int(applied))
        if applied:
            assert "A migration that was killed on 'stock_1' is comm" in done.stderr
            assert "Run the same again." in done.stderr
            stock.manage(*words)
    assert [stock.applied(alias)[-1] for alias in SHARDS[:3]] == ["0003_stars"] * 3
    assert stock.problems(code=0) == []
    # A migration of data does it once for each row.
    stock.shoal_command("migrate", "--verbosity", "0")
    assert sum(rows(stock, "stock_review WHERE text = '3 stars'")) == 16


@only("postgresql", "sqlite")
def test_a_run_that_died_before_its_first_migration(stock: Stock) -> None:
    stock.shoal["CLUSTERS"]["stock"]["TWO_PHASE"] = False
    with stock.python(DIE, "0000") as process:
        process.communicate(timeout=TIMEOUT)
    stock.wait_until_left()
    have = [bool(stock.columns(a, "django_migrations")) for a in SHARDS[:3]]
    assert have == [True, False, False]
    said = "'stock_1' lacks the table of migrations that other shards of 'stock' have."
    assert stock.problems()[0] == ("shoal.E034", "stock_1", said)
    done = stock.shoal_command("migrate")
    assert "The shard 'stock_1' of 'stock' has no table of migrations." in done.stdout
    assert stock.problems(code=0) == []


@only("postgresql", "sqlite")
def test_rows_are_not_added_a_second_time(stock: Stock) -> None:
    die_between_commits(stock, "0001", "0002")
    for done in (
        stock.manage("migrate", "--database", "stock", code=1),
        stock.shoal_command("migrate", code=1),
    ):
        assert (
            "stock.0002_rows, which other shards of 'stock' have, could not be "
            "finished on 'stock_1': it writes \"stock_product\" on 'stock_0', a second "
            "time."
        ) in done.stderr
        way = "manage.py shoal migrate stock 0002_rows --fake --database stock_1"
        assert way in done.stderr
    assert rows(stock, "stock_product") == [1, 0, 0]
    for alias in ("stock_1", "stock_2"):
        words = ["migrate", "stock", "0002", "--fake", "--database", alias]
        stock.shoal_command(*words)
        # Nothing that the others lack.
        done = stock.shoal_command(*words[:2], "0003", *words[3:], code=1)
        assert f"stock.0003_stars on '{alias}' alone would leave it" in done.stderr
    stock.shoal_command("migrate")
    assert stock.problems(code=0) == []


@only("sqlite", "postgresql")
def test_a_failure_on_the_third_shard_leaves_none_changed(stock: Stock) -> None:
    stock.have(*SHARDS)
    stock.manage("migrate", "stock", "0002", "--database", "stock")
    before = [(stock.columns(a), stock.applied(a)) for a in SHARDS]
    stock.ask("stock_2", "ALTER TABLE stock_review RENAME TO hidden")
    failed = stock.shoal_command("migrate", "stock", "--database", "stock", code=1)
    assert "stock.0003_stars failed on 'stock'" in failed.stderr
    assert "Nothing to migrate" not in failed.stdout
    stock.ask("stock_2", "ALTER TABLE hidden RENAME TO stock_review")
    assert [(stock.columns(a), stock.applied(a)) for a in SHARDS] == before
    stock.shoal_command("migrate")
    assert stock.problems(code=0) == []


@only("mariadb")
def test_a_shard_that_has_its_tables_but_no_record_of_it(stock: Stock) -> None:
    stock.shoal_command("migrate")
    ask = "DELETE FROM django_migrations WHERE name IN ('0003_stars', '0004_text')"
    stock.ask("stock_2", ask)
    assert [one[:2] for one in stock.problems()] == [("shoal.E034", "stock_2")]
    done = stock.shoal_command("migrate")
    assert f"Finished {ENDS} on stock_2." in done.stdout
    assert stock.problems(code=0) == []
    assert constraints(stock, "stock_2") == constraints(stock, "stock_1")


@only("mariadb")
def test_a_migration_that_died_half_way_is_named(stock: Stock) -> None:
    stock.manage("migrate", "stock", "0002", "--database", "stock")
    stock.ask("stock_2", "ALTER TABLE stock_review RENAME TO hidden")
    stock.shoal_command("migrate", "stock", "--database", "stock", code=1)
    stock.ask("stock_2", "ALTER TABLE hidden RENAME TO stock_review")
    found = stock.problems()
    assert [one[:2] for one in found] == [("shoal.E035", "stock_2")]
    assert (
        "'stock_2' lacks what other shards of 'stock' have: stock_review.stars."
        in (found[0][2])
    )


def test_a_shard_is_not_migrated_alone(stock: Stock) -> None:
    fact = "Error: 'stock_1' is a shard of 'stock': all of its shards are migrated tog"
    done = stock.shoal_command("migrate", "--database", "stock_1", code=1)
    assert done.stderr.startswith(fact)
    done = stock.manage("migrate", "--database", "stock_1", code=1)
    assert fact.removeprefix("Error: ") in done.stderr
    assert stock.columns("stock_1") == []


def test_two_shards_in_one_database(stock: Stock) -> None:
    stock.databases["stock_2"] = stock.databases["stock_1"]
    done = stock.shoal_command("migrate", code=1)
    assert done.stderr.startswith(
        "Error: The shard 'stock_2' of 'stock' is the same database as another shard"
    )
    ((id, alias, message),) = stock.problems()
    assert (id, alias) == ("shoal.E017", "stock_2")
    assert "'stock_1' and 'stock_2' lead to the same database" in message


@only("sqlite")
def test_a_map_that_is_gone(stock: Stock) -> None:
    stock.shoal_command("migrate")
    stock.ask("default", "DELETE FROM shoal_range")
    ((id, alias, message),) = stock.problems()
    assert (id, alias) == ("shoal.E032", "stock")
    assert "has no bucket map for the cluster 'stock'" in message
    check = stock.shoal_command("check", "--json", code=1).data["messages"]
    assert "shoal.E032" in [one["id"] for one in check]


def are_known(*found: Done) -> bool:
    """Say whether `top` has met all servers in its short time."""
    return not {"silent", "unknown"} & set(states_of(found[-1]).values())


@only("postgresql")
def test_a_shard_that_is_down(stock: Stock) -> None:
    stock.shoal_command("migrate")
    stock.databases["stock_1"]["PORT"] = "1"
    found = stock.each_until(
        are_known, ["status"], ["check"], ["migrate"], ["top", "--json"]
    )
    assert [done.code for done in found] == [1, 1, 1, 0]
    for done in found[:3]:
        where = "The server of 'stock_1' (127.0.0.1:1) cannot be reached"
        assert where in done.stdout + done.stderr
    (_, cluster) = found[3].data["clusters"]
    states = [edition["servers"][0]["state"] for edition in cluster["editions"]]
    assert states == ["up", "down", "up"]
    django = stock.manage("check", "--database", "stock", code=1)
    assert "The server of 'stock_1' (127.0.0.1:1) cannot be reached" in django.stderr


def test_json_of_a_run(stock: Stock) -> None:
    data = json.loads(stock.shoal_command("migrate", "--json").stdout)
    assert data["databases"]["stock"]["server"] == "3 shards"
    assert list(data["databases"]) == ["default", "stock"]
