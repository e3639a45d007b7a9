"""Starts the servers of tests/settings.py for the first test that needs a database."""

import signal

import pytest
from django.conf import settings

from shoal.lab import Lab, Postgres, lab_fixture

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts a background job so, and what tests start would be deaf as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)

servers = lab_fixture(
    Postgres("catalog", replicas=("catalog_r1", "catalog_r2")),
    Postgres("feedback"),
    Postgres("pages"),
    scope="session",
)

SERVER_OF = {"accounts": "feedback", "pages_draft": "pages"}
"""Two aliases are a second database on another alias' server."""


@pytest.fixture(scope="session")
def django_db_modify_db_settings(servers: Lab) -> None:
    for alias, database in settings.DATABASES.items():
        if database.get("NAME"):
            address = servers.databases[SERVER_OF.get(alias, alias)]
            for key in ("HOST", "PORT", "USER", "PASSWORD"):
                database[key] = address[key]
