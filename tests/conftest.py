"""
Starts the servers of tests/settings.py for the first test that needs a database.

Orders the tests, and says which of them run at one time (see workers.py, alone.py).
Every worker has servers of its own, in memory where there is room (see memory.py).
"""

import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from xdist.workermanage import WorkerController

from shoal.lab import Lab, Postgres, lab_fixture
from tests.alone import Alone, Turnstile
from tests.memory import temporary_folder
from tests.workers import Stretches, side_by_side

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts a background job so, and what tests start would be deaf as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)

servers = lab_fixture(
    Postgres("catalog", replicas=("catalog_r1", "catalog_r2")),
    Postgres("feedback"),
    Postgres("pages"),
    scope="session",
)

TURNSTILE = pytest.StashKey[str]()
"""The folder of the locks that the workers of this run share."""

SERVER_OF = {"accounts": "feedback", "pages_draft": "pages"}
"""Two aliases are a second database on another alias' server."""


@pytest.fixture(scope="session")
def django_db_modify_db_settings(servers: Lab) -> None:
    for alias, database in settings.DATABASES.items():
        if database.get("NAME"):
            address = servers.databases[SERVER_OF.get(alias, alias)]
            for key in ("HOST", "PORT", "USER", "PASSWORD"):
                database[key] = address[key]


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        turnstile = Turnstile(Path(config.workerinput["turnstile"]))
        config.add_cleanup(turnstile.close)
        config.pluginmanager.register(Alone(turnstile))
        return
    stack = ExitStack()
    config.add_cleanup(stack.close)
    stack.enter_context(temporary_folder())
    if config.getoption("dist", "no") != "no":
        folder = tempfile.TemporaryDirectory(prefix="shoal-turnstile-")
        config.stash[TURNSTILE] = stack.enter_context(folder)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    node.workerinput["turnstile"] = node.config.stash[TURNSTILE]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Stretches | None:
    """Leave every way but that of plain `-n` to xdist."""
    return Stretches(config, log) if config.getoption("dist") == "load" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    side_by_side(items)
