"""A worker in this process, and what comes of a task. One worker at a time."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker
from celery.worker import state

from shoal.routing.health import stop_watching
from tests.integration.tasks.app import app


@contextlib.contextmanager
def working(pool: str, concurrency: int = 1) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_SKIP_CHECKS", "1")
        options = {"pool": pool, "concurrency": concurrency}
        with start_worker(
            # The level of the root logger, which stays.
            app,
            perform_ping_check=False,
            loglevel="WARNING",
            shutdown_timeout=60,
            **options,
        ):
            yield
            # It ends when it has a message, or has waited two seconds for one.
            state.should_terminate = 0
            app.send_task("tests.integration.tasks.app.nothing")
    # Its last task has begun a watch, maybe over databases that are dropped next.
    stop_watching()


def result(sent: Any) -> Any:
    """Return what a task returns, or raise what it raises."""
    return sent.get(timeout=60, interval=0.02)
