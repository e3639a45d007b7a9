"""What `manage.py shoal status` and `shoal recover` tell of sagas, and do."""

import contextlib
import io
import json
import os
import signal
from datetime import timedelta
from typing import Any

from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from shoal.transactions import saga
from shoal.transactions.saga import Fail, Retry, Run
from tests.integration.sagas.conftest import ask


def status(*options: str) -> str:
    out = io.StringIO()
    # The other servers of the tests may not be started.
    with contextlib.suppress(CommandError):
        call_command("shoal", "status", *options, stdout=out, no_color=True)
    return out.getvalue()


def sagas() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(status("--json"))["sagas"]
    return found


def test_nothing_is_shown_or_made_where_there_are_none(
    ledger: str, settings: Any
) -> None:
    only_here(settings)
    assert sagas() == []
    assert "Sagas" not in status()
    tables = connections["ledger"].introspection.table_names()
    assert not [name for name in tables if name.startswith("shoal_saga")]


def test_runs_that_wait_and_that_are_stuck(ledger: str, settings: Any) -> None:
    only_here(settings)
    trip = saga("trip", using="ledger")

    @trip.step
    def one(run: Run) -> None:
        if run.data == "wait":
            raise Retry(1000)
        if run.data == "fail":
            raise Fail

    @one.compensate
    def two(run: Run) -> None:
        raise Fail("[bold]by hand")

    trip.start("a")
    trip.start("b", "wait")
    trip.start("c", "fail")
    (found,) = sagas()
    due = trip.state("b")
    assert due is not None
    assert due.due is not None
    assert found["counts"] == {"finished": 1, "stuck": 1, "waiting": 1}
    assert found["oldest_waiting"]["name"] == "trip/b"
    assert found["oldest_waiting"]["due"] == due.due.isoformat()
    assert [one["name"] for one in found["stuck"]] == ["trip/c"]
    text = status()
    assert "ledger    1 finished, 1 stuck, 1 waiting  trip/b, since 20" in text
    fact = "The compensation of 'one' failed. Fail: [bold]by hand"
    assert f"trip/c is stuck: {fact}\n" in text
    assert ask("SELECT count(*) FROM shoal_saga") == [(3,)]


def test_who_settles_some_and_retries_the_others(ledger: str, settings: Any) -> None:
    only_here(settings)
    trip = saga("trip", using="ledger")
    is_mended = []

    @trip.step(retries=0)
    def one(run: Run) -> None:
        raise Fail

    @one.compensate
    def two(run: Run) -> None:
        if not is_mended:
            raise Fail

    assert [trip.start(key).state for key in ("a", "b")] == ["stuck", "stuck"]
    is_mended.append(True)
    assert "trip/b is compensated" in recover("--retry", "--settle", "trip/a")
    assert states(trip, "a", "b") == ["settled", "compensated"]


def test_a_signal_ends_the_watch_after_the_run_at_hand(
    ledger: str, settings: Any
) -> None:
    only_here(settings)
    ran = []
    an_hour_ago = timezone.now() - timedelta(hours=1)
    trip = saga("trip", using="ledger", clock=lambda: an_hour_ago)

    @trip.step
    def one(run: Run) -> None:
        if run.attempt == 1:
            raise Retry(60)

    @trip.step
    def two(run: Run) -> None:
        ran.append(run.saga_key)
        if len(ran) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    for key in ("a", "b", "c"):
        trip.start(key)
    said = recover("--watch")
    assert ran == ["a"]
    assert "trip/a is finished." in said
    assert "trip/b" not in said
    assert states(trip, "a", "b", "c") == ["finished", "running", "running"]


def recover(*options: str) -> str:
    out = io.StringIO()
    call_command("shoal", "recover", *options, stdout=out, no_color=True)
    return out.getvalue()


def states(trip: saga, *keys: str) -> list[str | None]:
    found = [trip.state(key) for key in keys]
    return [standing and standing.state for standing in found]


def only_here(settings: Any) -> None:
    """Ask no server but those of the test."""
    settings.SHOAL = {"CLUSTERS": {"ledger": {}, "goods": {}}, "CONTROL": "ledger"}
