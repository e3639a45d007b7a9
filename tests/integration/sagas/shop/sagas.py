"""
What the tests run in processes of their own. Each effect is a line of a file.

The data of a run says where that file is, which steps fail, and how.
"""

import logging
import os
from typing import Any

from django.db import connections

from shoal.transactions import saga
from shoal.transactions.saga import Fail, Run

LOGGER = logging.getLogger("shoal.transactions.saga")
booking = saga("booking", using="ledger")
counting = saga("counting", using="ledger")


def effect(run: Run, what: str) -> None:
    """Do something that no transaction takes back, and let the test kill us there."""
    LOGGER.debug("inside", extra={"event": "before_effect"})
    file = os.open(run.data["effects"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{what} {run.key} {run.attempt}\n".encode())
    os.close(file)
    LOGGER.debug("inside", extra={"event": "after_effect"})


def may_fail(run: Run) -> None:
    if run.data.get("fails") == run.step:
        raise Fail("as the test wants it")


@booking.step
def hotel(run: Run) -> dict[str, Any]:
    effect(run, "hotel")
    may_fail(run)
    return {"room": 7}


@hotel.compensate
def no_hotel(run: Run) -> None:
    effect(run, "no_hotel")


@booking.step
def note(run: Run) -> None:
    """It has no compensation."""
    effect(run, "note")
    may_fail(run)


@booking.step
def charge(run: Run) -> str:
    assert run.results["hotel"] == {"room": 7}
    effect(run, "charge")
    may_fail(run)
    return "paid"


@charge.compensate
def refund(run: Run) -> None:
    assert run.key_of("charge") == f"booking/{run.saga_key}/charge"
    effect(run, "refund")


@booking.step
def ticket(run: Run) -> None:
    effect(run, "ticket")
    may_fail(run)


@ticket.compensate
def no_ticket(run: Run) -> None:
    effect(run, "no_ticket")


def add(alias: str, number: int) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute("INSERT INTO counted (number) VALUES (%s)", [number])


@counting.step(cluster="goods")
def one(run: Run) -> int:
    add("goods", 1)
    effect(run, "one")
    add("goods", 1)
    if run.attempt > 1:
        may_fail(run)
    return 1


@one.compensate
def minus_one(run: Run) -> None:
    add("goods", -1)
    effect(run, "minus_one")
    add("goods", -1)


@counting.step(cluster="ledger")
def two(run: Run) -> int:
    add("ledger", 2)
    effect(run, "two")
    return run.results["one"] + 1


@two.compensate
def minus_two(run: Run) -> None:
    add("ledger", -2)
    effect(run, "minus_two")


@counting.step
def three(run: Run) -> None:
    may_fail(run)
