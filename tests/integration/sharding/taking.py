"""
A process that takes numbers and prints what it gets, a line for each call.

Takes what to do as JSON: the database, how many threads and calls, the block size, and
whether to fork in between.
"""

import json
import os
import sys
import threading
from typing import Any

import django
from django.conf import settings


def main(task: dict[str, Any]) -> None:
    settings.configure(
        DATABASES={"default": {}, "control": task["database"]},
        INSTALLED_APPS=["shoal"],
        SHOAL={"CONTROL": "control"},
        USE_TZ=True,
    )
    django.setup()
    from shoal.placement import sequences

    sequences.BLOCK = task["block"]
    if task["fork"]:
        take(1)
        if os.fork() == 0:
            take(task["calls"])
            os._exit(0)
        take(task["calls"])
        os.wait()
        return
    threads = [
        threading.Thread(target=take, args=(task["calls"],))
        for _ in range(task["threads"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def take(calls: int) -> None:
    from shoal.placement.sequences import next_ids
    from shoal.topology import Cluster

    shop = Cluster(name="shop", shards=(Cluster(name="shop_0"),))
    for call in range(calls):
        ids = next_ids(shop, "reviews", call % 4 + 1, largest=lambda: 100)
        # One write, so that no other line comes in between.
        os.write(1, f"{' '.join(map(str, ids))}\n".encode())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
