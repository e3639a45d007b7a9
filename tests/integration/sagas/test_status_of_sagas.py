"""What `manage.py shoal status` tells of sagas."""

import contextlib
import io
import json
from typing import Any

from django.core.management import CommandError, call_command
from django.db import connections

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


def only_here(settings: Any) -> None:
    """Ask no server but those of the test."""
    settings.SHOAL = {"CLUSTERS": {"ledger": {}, "goods": {}}, "CONTROL": "ledger"}
