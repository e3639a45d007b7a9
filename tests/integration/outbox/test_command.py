"""`manage.py shoal deliver`, and what `shoal status` shows of messages."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections

from shoal.transactions import outbox
from tests.integration.outbox.conftest import (
    ROOT,
    applied,
    ask,
    left,
    make_due,
    only,
    send,
)
from tests.integration.outbox.post import receivers
from tests.waiting import until

TIMEOUT = 60


@pytest.fixture
def manage(post: str, databases: Any) -> Callable[..., "subprocess.Popen[str]"]:
    """Start a command of a project whose receivers are those of the worker."""
    receivers.register()
    environ = {
        **os.environ,
        "DATABASES": json.dumps(databases),
        "DJANGO_SETTINGS_MODULE": "tests.integration.outbox.settings",
        "PYTHONWARNINGS": "error",
        "COLUMNS": "160",
    }

    def start(*argv: str, **changed: Any) -> "subprocess.Popen[str]":
        environ["DATABASES"] = json.dumps({**databases, **changed})
        return subprocess.Popen(
            [sys.executable, "-m", "django", "shoal", *argv],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def end(process: "subprocess.Popen[str]", code: int = 0) -> tuple[str, str]:
    stdout, stderr = process.communicate(timeout=TIMEOUT)
    assert process.returncode == code, stdout + stderr
    assert "Traceback" not in stdout + stderr
    return stdout, stderr


def test_it_delivers_what_is_due(manage: Any) -> None:
    send("applied", 1, key="a")
    send("called", 2, key="b")
    stdout, _ = end(manage("deliver", "--json"))
    found = json.loads(stdout)
    assert found == {
        "ok": True,
        "dropped": 0,
        "revived": 0,
        "databases": {
            alias: {
                "delivered": 2 if alias == "source" else 0,
                "failed": 0,
                "unheard": {},
                "waiting": 0,
                "oldest_seconds": None,
                "dead": 0,
                "dead_letters": [],
                "error": None,
            }
            for alias in ("source", "target")
        },
    }
    assert sorted(applied()) == [("a", 1), ("b", 2)]


@only("postgresql", "sqlite")
def test_what_is_wrong(manage: Any) -> None:
    @outbox.receiver("poison", retry=outbox.Retry(attempts=1))
    def poison(message: outbox.Message) -> None:
        raise ZeroDivisionError

    begun = time.monotonic()
    dead = send("poison", 1, key="k")
    new = send("new", 1)
    outbox.deliver(["source"])
    send("applied", 1, key="k")
    stdout, stderr = end(manage("deliver", "--database", "source"), code=1)
    rows = [line.split() for line in stdout.splitlines()]
    assert ["source", "0", "0", "2", "1"] in rows
    assert "source: nobody receives 'new' (1 waiting)." in stdout
    assert f"Dead: {dead} 'poison', key 'k' in source, after 1 attempts: " in stdout
    assert stderr.startswith(
        "Error: Messages were not delivered: 1 without a receiver, 1 dead.\nHint: "
    )

    stdout, _ = end(manage("status"))
    assert ["Messages", "in", "Waiting", "Oldest", "Dead"] in [
        line.split() for line in stdout.splitlines()
    ]
    assert f"Dead: {dead} 'poison'" in stdout
    stdout, _ = end(manage("status", "--json"))
    messages = json.loads(stdout)["messages"]
    assert (messages["source"]["waiting"], messages["source"]["dead"]) == (2, 1)
    assert messages["source"]["dead_letters"][0]["id"] == dead
    passed = time.monotonic() - begun
    assert 0 <= messages["source"]["oldest_seconds"] < passed + 1
    assert messages["target"]["waiting"] == 0

    _, stderr = end(manage("deliver", "--drop", "0" * 32), code=1)
    assert f"Error: No message has the id '{'0' * 32}'." in stderr
    end(manage("deliver", "--drop", dead, new))
    assert applied() == [("k", 1)]
    stdout, _ = end(manage("status"))
    assert "Messages in" not in stdout


@only("postgresql")
def test_dead_letters_are_tried_again(manage: Any) -> None:
    for number in (1, 2):
        send("applied", number, key=f"k{number}")
    ask("source", "UPDATE shoal_message SET dead = 1, attempts = 1000, error = 'x'")
    (first, second) = ask("source", "SELECT message FROM shoal_message ORDER BY id")
    end(manage("deliver", "--retry-dead", first[0]), code=1)
    assert applied() == [("k1", 1)]
    end(manage("deliver", "--retry-dead", "--json"))
    assert applied() == [("k1", 1), ("k2", 2)]
    assert second


@only("postgresql")
def test_where_a_database_is_down(manage: Any, databases: Any) -> None:
    down = {"target": {**databases["target"], "PORT": "1"}}
    dead = send("new", 1)
    ask("source", "UPDATE shoal_message SET dead = 1, attempts = 1000, error = 'x'")
    stdout, _ = end(manage("deliver", "--retry-dead", "--json", **down), code=1)
    found = json.loads(stdout)
    assert found["revived"] == 1
    assert found["databases"]["source"]["unheard"] == {"new": 1}
    assert "refused" in found["databases"]["target"]["error"]
    _, stderr = end(manage("deliver", "--drop", "none", **down), code=1)
    said = "Error: No message has the id 'none'. 'target' could not be asked."
    assert said in stderr
    _, stderr = end(manage("deliver", "--retry-dead", dead, **down), code=1)
    assert f"are not dead letters: {dead}. 'target' could not be asked." in stderr
    end(manage("deliver", "--drop", dead, **down), code=1)
    assert left() == 0


@only("postgresql")
def test_usage(manage: Any) -> None:
    end(manage("deliver", "--every", "0"), code=2)
    end(manage("deliver", "--database", "sauce"), code=2)


def test_watch(manage: Any) -> None:
    """It delivers what comes, and ends as it is told to."""
    with manage("deliver", "--watch", "--every", "0.1", "--json") as process:
        for number in range(3):
            send("applied", number, key="a")
            until(lambda: _has_delivered_all(process), TIMEOUT)
        process.send_signal(signal.SIGTERM)
        stdout, _ = end(process)
    assert json.loads(stdout)["databases"]["source"]["delivered"] == 3
    assert applied() == [("a", 0), ("a", 1), ("a", 2)]


def _has_delivered_all(process: "subprocess.Popen[str]") -> bool:
    assert process.poll() is None, process.communicate()
    return not left()


@only("postgresql")
def test_watch_outlives_its_connection(manage: Any) -> None:
    with manage("deliver", "--watch", "--every", "0.05") as process:
        send("applied", 1)
        wait_until_none_is_left()
        connections["source"].close()
        ask(
            "target",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = 'source'",
        )
        send("applied", 2)
        wait_until_none_is_left()
        process.send_signal(signal.SIGINT)
        end(process)
    assert [number for _, number in applied()] == [1, 2]


def wait_until_none_is_left() -> None:
    def is_none_left() -> bool:
        make_due()
        return not left()

    until(is_none_left, TIMEOUT)
