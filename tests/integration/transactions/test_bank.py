"""
Eight processes transfer money between servers while all of these are killed.

The accounts are on a sharded cluster of four shards and on two more clusters. Every few
seconds all processes are killed at once: after `recover` the total is what it was, and
nothing is lost of which somebody was told that it has committed.
"""

import collections
import contextlib
import itertools
import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.lab import Lab, MariaDB, Postgres
from shoal.transactions.recovering import recover
from tests.integration.transactions.apart import Site, kill
from tests.integration.transactions.asking import (
    ask,
    decided,
    prepared,
    until_all_have_ended,
)
from tests.waiting import until

SHARDS = ("bank_0", "bank_1", "bank_2", "bank_3")
ALIASES = (*SHARDS, "cash", "abroad")
PLACES = [
    *(("bank", number) for number in range(1, 33)),
    *(("cash", number) for number in range(1, 9)),
    *(("abroad", number) for number in range(1, 9)),
]
PREFIXES = {"cash": "cash", "abroad": "abroad"}
"""Of the tables there."""
BEGINS_WITH = 1000
PROCESSES = 8
ROUND = 10.0
"""Seconds until all processes are killed at once."""
AT_LEAST = 2
"""Transfers of which somebody is told in a round."""
SLOW = 120.0
"""Seconds that a machine may take which is busy with others."""
ROUNDS = 6
MODULE = "tests.integration.transactions.bank"
TABLES = (
    "CREATE TABLE bank_{}account (id bigint PRIMARY KEY, amount integer)",
    "CREATE TABLE bank_{}entry (id varchar(60) PRIMARY KEY, transfer varchar(40), "
    "account_id bigint, amount integer, sides integer)",
)
# A transfer does not wait long for what a killed server has left locked.
OPTIONS = {
    "postgresql": {"options": "-c lock_timeout=2s"},
    "mariadb": {"init_command": "SET innodb_lock_wait_timeout = 2"},
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("postgresql", marks=pytest.mark.crash),
        pytest.param("mariadb", marks=[pytest.mark.mariadb, pytest.mark.crash]),
    ],
)
def bank_kind(request: Any) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def bank(bank_kind: str, django_db_blocker: Any) -> Iterator[Site]:
    servers = {"postgresql": Postgres, "mariadb": MariaDB}[bank_kind]
    with Lab(*map(servers, ALIASES)) as lab, django_db_blocker.unblock():
        databases: dict[str, Any] = {"bank": {"ENGINE": "shoal.backends.sharded"}}
        for alias in ALIASES:
            entry = lab.databases[alias]
            options = {**entry.get("OPTIONS", {}), **OPTIONS[bank_kind]}
            databases[alias] = {**entry, "OPTIONS": options}
        site = Site(
            databases,
            {alias: lab[alias] for alias in ALIASES},
            {
                "bank": {"APPS": ["bank"], "SHARDS": list(SHARDS), "IDS": "plain"},
                "cash": {"MODELS": ["bank.CashAccount", "bank.CashEntry"]},
                "abroad": {"MODELS": ["bank.AbroadAccount", "bank.AbroadEntry"]},
            },
            [MODULE],
        )
        with site.opened():
            for alias, sql in itertools.product(ALIASES, TABLES):
                ask(alias, sql.format(PREFIXES.get(alias, "")))
            migrated = site.command("migrate")
            assert migrated.returncode == 0, migrated
            order = {"places": PLACES, "amount": BEGINS_WITH}
            opening = site.popen("-m", f"{MODULE}.opening", json.dumps(order))
            _, err = opening.communicate(timeout=SLOW)
            assert opening.returncode == 0, err
            assert all(map(accounts, ALIASES))
            yield site


def accounts(alias: str) -> list[Any]:
    table = f"bank_{PREFIXES.get(alias, '')}account"
    return ask(alias, f"SELECT id, amount FROM {table}")


def entries(alias: str) -> list[Any]:
    table = f"bank_{PREFIXES.get(alias, '')}entry"
    return ask(alias, f"SELECT transfer, account_id, amount, sides FROM {table}")


class Crowd:
    """The processes, of which one that is killed is followed by another."""

    def __init__(self, site: Site, told: Path) -> None:
        self._site, self._told = site, told
        self._numbers = itertools.count()
        self._all: list[subprocess.Popen[str]] = []

    def begin(self) -> None:
        """Return once all are at work: their round begins then."""
        before = self._at_work()
        self._all = [self._start() for _ in range(PROCESSES)]
        until(lambda: self._at_work() == before + PROCESSES, SLOW)

    def _at_work(self) -> int:
        """Count the files: who comes to work makes one."""
        return sum(1 for _ in self._told.glob("*.txt"))

    def _start(self) -> "subprocess.Popen[str]":
        told = self._told / f"{next(self._numbers)}.txt"
        order = {"places": PLACES, "told": str(told)}
        return self._site.popen("-m", f"{MODULE}.transferring", json.dumps(order))

    def kill_one(self) -> None:
        place = random.randrange(PROCESSES)
        _killed(self._all[place])
        self._all[place] = self._start()

    def kill_all(self) -> None:
        for process in self._all:
            process.kill()
        for process in self._all:
            _killed(process)
        self._all = []

    def end(self) -> None:
        """Let each finish what it is at."""
        for process in self._all:
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        for process in self._all:
            _, err = process.communicate(timeout=SLOW)
            assert process.returncode == 0, err
        self._all = []

    def acknowledged(self) -> set[str]:
        files = self._told.glob("*.txt")
        return {line for file in files for line in file.read_text().split("\n")[:-1]}


def _killed(process: "subprocess.Popen[str]") -> None:
    process.kill()
    _, err = process.communicate()
    assert "Traceback" not in err, err


def test_the_bank(bank: Site, tmp_path: Path) -> None:
    kills: collections.Counter[str] = collections.Counter()
    with contextlib.ExitStack() as stack:
        crowd = Crowd(bank, tmp_path)
        stack.callback(crowd.kill_all)
        watch = bank.popen(
            "-m", "django", "shoal", "recover", "--watch", "--every", "0.2"
        )
        stack.callback(watch.communicate)
        stack.callback(watch.kill)
        for number in range(1, ROUNDS + 1):
            crowd.begin()
            disturb(bank, crowd, kills)
            if number < ROUNDS:
                crowd.kill_all()
            else:
                crowd.end()
            require_whole(crowd.acknowledged())
        watch.send_signal(signal.SIGINT)
        _, err = watch.communicate(timeout=SLOW)
        assert "Traceback" not in err, err
    told = crowd.acknowledged()
    print(f"{len(told)} transfers were told of, {dict(kills)} were killed")
    assert len(told) > PROCESSES


def disturb(site: Site, crowd: Crowd, kills: collections.Counter[str]) -> None:
    """Kill processes and servers for a round; in the end all servers run."""
    before = len(crowd.acknowledged())
    end = time.monotonic() + ROUND
    while time.monotonic() < end:
        time.sleep(random.uniform(0, 1))
        if random.random() < 0.5:
            crowd.kill_one()
            kills["processes"] += 1
        else:
            server = site.servers[random.choice(ALIASES)]
            kill(server)
            time.sleep(random.uniform(0, 0.5))
            server.start()
            kills["servers"] += 1
    until(lambda: len(crowd.acknowledged()) >= before + AT_LEAST, SLOW)


def require_whole(told: set[str]) -> None:
    """Recover; then money is neither made nor lost, and each transfer is whole."""

    until_all_have_ended(*ALIASES)

    def is_settled() -> bool:
        # The one that watches may be at work on the same.
        recovery = recover()
        assert recovery.down == {}
        return recovery.left == []

    until(is_settled, SLOW)
    assert prepared(*ALIASES) == []
    assert decided(*ALIASES) == []
    amounts = dict.fromkeys(PLACES, BEGINS_WITH)
    found: dict[tuple[str, int], int] = {}
    sides: collections.Counter[str] = collections.Counter()
    has_to_have: dict[str, int] = {}
    for alias in ALIASES:
        cluster = "bank" if alias in SHARDS else alias
        found |= {(cluster, number): amount for number, amount in accounts(alias)}
        for transfer, number, amount, all_sides in entries(alias):
            amounts[cluster, number] += amount
            sides[transfer] += 1
            has_to_have[transfer] = all_sides
    assert sum(found.values()) == BEGINS_WITH * len(PLACES)
    assert sides == has_to_have, "a transfer is not on all of its sides"
    assert found == amounts, "an account has not what its entries say"
    assert told <= set(sides), "a transfer is lost that was told of"
