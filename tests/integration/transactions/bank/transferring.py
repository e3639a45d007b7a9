"""
A process that transfers money at random until it is killed, or its input ends.

Each transfer is one unit of work over the clusters of the accounts. What was committed
is written down before the next begins.
"""

import json
import os
import random
import select
import sys
import time
from pathlib import Path
from typing import Any

import django

django.setup()

from django.db import Error, connections  # noqa: E402

from shoal.errors import ShoalError  # noqa: E402
from shoal.transactions import atomic, committing  # noqa: E402
from tests.integration.transactions.bank.models import MODELS  # noqa: E402


def transfer(places: list[tuple[str, int]], name: str) -> None:
    ends = random.sample(places, random.choice((2, 2, 3)))
    amounts = [random.randint(1, 50) for _ in ends[1:]]
    amounts = [-sum(amounts), *amounts]
    with atomic(*{cluster for cluster, _ in places}):
        # In one order, so that no two wait for each other.
        for (cluster, number), amount in sorted(zip(ends, amounts, strict=True)):
            Account, Entry = MODELS[cluster]
            account = Account.objects.select_for_update().get(pk=number)
            account.amount += amount
            account.save(update_fields=["amount"])
            Entry.objects.create(
                id=f"{name}-{cluster}-{number}",
                transfer=name,
                account=account,
                amount=amount,
                sides=len(ends),
            )


def main(order: dict[str, Any]) -> None:
    committing.SETTLE_WITHIN = 2.0
    random.seed()
    places = [(cluster, number) for cluster, number in order["places"]]
    number = 0
    with Path(order["told"]).open("a") as told:
        while not select.select([sys.stdin], [], [], 0)[0]:
            number += 1
            name = f"{os.getpid()}-{number}"
            try:
                transfer(places, name)
            except (Error, ShoalError):
                connections.close_all()
                time.sleep(0.02)
                continue
            told.write(f"{name}\n")
            told.flush()
            os.fsync(told.fileno())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
