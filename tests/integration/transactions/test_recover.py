"""`manage.py shoal recover`, and what `shoal status` says of the same, as commands."""

import contextlib
import json
import signal
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from shoal.topology.probe.asking import close, open_apart
from shoal.transactions.recovering import recover
from tests.integration.transactions.apart import WITHIN, Site, number_of
from tests.integration.transactions.asking import TRIO, ask, decided, prepared
from tests.waiting import until


@pytest.mark.parametrize("is_decided", [True, False])
def test_text(site: Site, is_decided: bool) -> None:
    site.leave_in_doubt(2, is_decided=is_decided)
    done = site.command("recover")
    fates = "committed 4, rolled back 0" if is_decided else "committed 0, rolled back 4"
    assert done.stdout == f"Finished what was in doubt: {fates}.\n"
    assert (done.returncode, done.stderr) == (0, "")
    assert prepared() == decided() == []


def test_json(site: Site) -> None:
    (unit,) = site.leave_in_doubt(is_decided=True)
    done = site.command("recover", "--json")
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert found["unreachable"] == {}
    assert [
        (one["alias"], one["unit"], one["fate"]) for one in found["transactions"]
    ] == [(alias, unit, "committed") for alias in TRIO[1:]]
    again = json.loads(site.command("recover", "--json").stdout)
    assert again["ok"] is True
    assert again["transactions"] == []
    assert again["unreachable"] == {}


def test_what_stays_in_doubt_is_named(site: Site) -> None:
    (unit,) = site.leave_in_doubt(is_decided=True)
    site.servers["left"].stop()
    done = site.command("recover", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert found["ok"] is False
    assert list(found["unreachable"]) == ["left"]
    assert {one["fate"] for one in found["transactions"]} == {"unreachable"}
    done = site.command("recover")
    assert done.returncode == 1
    assert f"shoal|{unit}|1|" in done.stdout
    assert "'left' decides it, and 'left' cannot be reached." in done.stdout
    assert "COMMIT PREPARED or ROLLBACK PREPARED" in " ".join(done.stderr.split())
    site.servers["left"].start()
    assert recover().left == []


def test_of_a_database_that_is_down_nothing_is_said(site: Site) -> None:
    site.servers["left"].stop()
    done = site.command("recover")
    site.servers["left"].start()
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first == "Nothing is in doubt on the databases that could be asked."
    assert second.startswith("'left' could not be asked: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--watch", "--json"), "--json writes one document"),
        (("--wait", "0"), "--wait takes whole seconds, from 1 to 3600"),
        (("--wait", "3000000"), "--wait takes whole seconds, from 1 to 3600"),
        (("--every", "0"), "--every takes seconds, from 0.05 to 3600"),
        (("--every", "nan", "--watch"), "--every takes seconds, from 0.05 to 3600"),
        (("--every", "inf", "--watch"), "--every takes seconds, from 0.05 to 3600"),
        (("--every", "soon"), "invalid float value"),
    ],
)
def test_usage(site: Site, arguments: tuple[str, ...], said: str) -> None:
    done = site.command("recover", *arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_watch_ends_by_ctrl_c(site: Site) -> None:
    with contextlib.ExitStack() as stack:
        process = site.popen(
            "-m", "django", "shoal", "recover", "--watch", "--every", "0.1"
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        assert "Stop with Ctrl-C" in process.stdout.readline()
        units = site.leave_in_doubt(is_decided=True)
        until(lambda: prepared() == [] and decided() == [])
        units += site.leave_in_doubt(is_decided=False)
        until(lambda: prepared() == [])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WITHIN)
    assert (process.returncode, err) == (0, "")
    assert "committed" in out
    for alias in TRIO[1:]:
        found = ask(alias, "SELECT id FROM note WHERE id > 0")
        assert found == [(number_of(units[0]),)]


def test_a_database_of_sagas_that_is_down_keeps_nobody_waiting(site: Site) -> None:
    """It is no cluster, so what is in doubt is never looked for there."""
    down = {**site.databases["left"], "PORT": "1", "PASSWORD": "sesame"}
    with contextlib.ExitStack() as stack:
        process = site.popen(
            "-m", "django", "shoal", "recover", "--watch", default=down
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        assert "Stop with Ctrl-C" in process.stdout.readline()
        said = "Nothing is in doubt.\n"
        while "'default' could not be asked" not in said:
            said = process.stdout.readline()
            assert said, process.communicate()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WITHIN)
    assert (process.returncode, err) == (0, "")
    assert "sesame" not in said + out


def test_tables_are_made_where_they_can_be(site: Site) -> None:
    down = {**site.databases["left"], "PORT": "1", "PASSWORD": "sesame"}
    ask("right", "DROP TABLE IF EXISTS shoal_saga")
    process = site.popen(
        "-m", "django", "shoal", "recover", "--create-tables", left=down
    )
    _, err = process.communicate(timeout=WITHIN)
    assert process.returncode == 1
    assert "could not be made everywhere. 'left': " in err
    assert "sesame" not in err
    assert ask("right", "SELECT count(*) FROM shoal_saga") == [(0,)]


def test_status_shows_what_is_in_doubt(site: Site) -> None:
    (unit,) = site.leave_in_doubt(is_decided=True)
    row = ask("right", "SELECT count(*) FROM pg_prepared_xacts")
    assert row == [(1,)]
    blocked = threading.Thread(target=_wait_for_a_row, args=[unit])
    blocked.start()
    try:
        sql = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        until(lambda: ask("right", sql) == [(1,)])
        text = site.command("status")
        found = json.loads(site.command("status", "--json").stdout)["in_doubt"]
    finally:
        recover()
        blocked.join(30)
    assert "In doubt" in text.stdout
    assert unit in "".join(text.stdout.split())
    assert [one["alias"] for one in found] == ["right", "third"]
    assert {one["home"] for one in found} == {"left"}
    assert {one["unit"] for one in found} == {unit}
    assert [one["tables"] for one in found] == [["note"], ["note"]]
    assert [one["waiting"] for one in found] == [1, 0]
    for since in (datetime.fromisoformat(one["since"]) for one in found):
        assert f"{since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" in text.stdout
    assert json.loads(site.command("status", "--json").stdout)["in_doubt"] == []


def _wait_for_a_row(unit: str) -> None:
    connection: Any = open_apart("right")
    with connection.cursor() as cursor, contextlib.suppress(Exception):
        cursor.execute(f"INSERT INTO note VALUES ({int(unit[:7], 16) + 1}, '')")
    close(connection)
