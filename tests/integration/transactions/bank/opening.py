"""A process that opens the accounts: `places` are pairs of a cluster and a number."""

import json
import sys
from typing import Any

import django

django.setup()

from tests.integration.transactions.bank.models import MODELS  # noqa: E402


def main(order: dict[str, Any]) -> None:
    for cluster, number in order["places"]:
        Account, _ = MODELS[cluster]
        Account.objects.create(pk=number, amount=order["amount"])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
