"""What `shoal top` and `shoal status` make of positions, amounts and counts."""

import io

import pytest
from rich.console import Console

from shoal.cli import amounts
from shoal.cli.top.seen import Seen, as_json, table
from shoal.cli.top.shares import Sample, rates, share
from shoal.conf import parse
from shoal.routing.health import Health
from shoal.topology import Position
from shoal.topology.clusters import build
from shoal.topology.positions.notation import read, unit_of, written

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0/3000148", "bytes"),
        ("1A/B0", "bytes"),
        ("0-1-205", "transactions"),
        ("0-1-205,1-2-7", "transactions"),
        (f"{UUID}:1-5", "transactions"),
        (f"{UUID}:1-5:7", "transactions"),
        (f"{UUID}:tag:1-5:7", "transactions"),
    ],
)
def test_a_position_is_written_as_its_server_writes_it(text: str, unit: str) -> None:
    position = read(text)
    assert position is not None
    assert written(position) == text
    assert unit_of(position) == unit


@pytest.mark.parametrize("text", ["", "0/", "nonsense", "a-b-c", ":", "0/3000148 "])
def test_what_is_no_position_is_none(text: str) -> None:
    assert read(text) is None


def test_behind_is_counted_between_what_two_servers_have_written() -> None:
    def between(primary: str, replica: str) -> int | None:
        latest, shown = read(primary), read(replica)
        assert latest is not None
        assert shown is not None
        return latest.beyond(shown)

    assert between("1/0", "0/FFFFFF00") == 256
    assert between("0/3000000", "0/3000148") == 0
    assert between("0-1-205", "0-1-200") == 5
    assert between("0-2-205", "0-1-200") is None
    assert between(f"{UUID}:1-9", f"{UUID}:1-4:6") == 4


def test_an_idle_replica_is_not_behind_by_the_header_of_a_page() -> None:
    assert read("0/2000028") == read("0/2000018") == read("0/2000000")


@pytest.mark.parametrize(
    ("count", "unit", "said"),
    [
        (None, "bytes", "unknown"),
        (0, "bytes", "0 B"),
        (1023, "bytes", "1023 B"),
        (1024, "bytes", "1.0 KiB"),
        (5 * 1024**3 // 2, "bytes", "2.5 GiB"),
        (5 * 1024**5, "bytes", "5120.0 TiB"),
        (1, "transactions", "1 transaction"),
        (2, "transactions", "2 transactions"),
    ],
)
def test_what_a_replica_lacks(count: int | None, unit: amounts.Unit, said: str) -> None:
    assert amounts.behind(count, unit) == said
    as_json = amounts.behind_as_json(count, unit)
    assert as_json.pop(f"lag_{unit}") == count
    assert list(as_json.values()) == [None]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (59, "59 s"), (90, "2 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_a_duration_is_one_number(seconds: float, said: str) -> None:
    assert amounts.duration(seconds) == said


def test_a_share_says_of_how_much() -> None:
    assert amounts.share(None, None) == "-"
    assert amounts.share(0.25, 7.4) == "25% (7/s)"
    assert amounts.share(1.0, 1234.0) == "100% (1.2k/s)"


def test_shares_are_of_what_was_read_in_between() -> None:
    before = {"one": Sample(0.0, 1000), "two": Sample(0.0, 0), "new": Sample(1.0, 5)}
    after = {
        "one": Sample(2.0, 1020),
        "two": Sample(1.0, 30),
        "new": Sample(1.0, 5),
        "late": Sample(2.0, 7),
    }
    found = rates(before, after)
    assert found == {"one": 10.0, "two": 30.0}
    assert share("two", ("one", "two", "new"), found) == 0.75
    assert share("one", ("one",), {"one": 0.0}) == 0.0


def test_a_server_that_was_started_anew_tells_nothing_once() -> None:
    assert rates({"one": Sample(0.0, 9)}, {"one": Sample(1.0, 1)}) == {}


def test_a_position_of_several_logs() -> None:
    position = Position("", {"0-1": ((0, 5),), "1-2": ((0, 7),)})
    assert written(position) == "0-1-5,1-2-7"


DATABASES = {
    alias: {"ENGINE": "django.db.backends.postgresql", "NAME": alias}
    for alias in ("main", "copy")
}


def seen(**replica: object) -> Seen:
    conf, wrong = parse({"CLUSTERS": {"main": {"REPLICAS": ["copy"]}}}, DATABASES)
    assert wrong == ()
    at = Position("", {"wal": ((0, 0x3000148),)})
    copy = {"state": "up", "lag": 1.25, "behind": 2048, "position": at, **replica}
    return Seen(
        topology=build(conf),
        health={
            "main": Health(alias="main", state="up", since=90.0, position=at),
            "copy": Health(alias="copy", since=40.0, **copy),  # type: ignore[arg-type]
        },
        names={"main": "north", "copy": "north_r1"},
        rates={"main": 10.0, "copy": 30.0},
        at=100.0,
    )


def shown(seen: Seen) -> list[str]:
    console = Console(file=io.StringIO(), width=160)
    console.print(table(seen))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_table_has_a_row_for_each_server() -> None:
    _, primary, replica = shown(seen())
    assert primary == "main main primary north up 10 s 0/3000148 - - 25% (10/s)"
    assert replica == (
        "copy replica north_r1 up 1 min 0/3000148 1.2 s 2.0 KiB 75% (30/s)"
    )


def test_a_server_that_is_down_has_no_lag() -> None:
    wrong = seen(state="down", error="Connection refused")
    *_, replica, hint = shown(wrong)
    assert replica == (
        "copy replica north_r1 down: Connection refused 1 min 0/3000148 unknown "
        "unknown 75% (30/s)"
    )
    assert hint == "`manage.py shoal status` says what to do."
    (cluster,) = as_json(wrong)["clusters"]
    found = cluster["editions"][0]["servers"][1]
    assert (found["lag_seconds"], found["lag_bytes"]) == (None, None)
    assert found["since"] == "1970-01-01T00:00:40+00:00"


def test_a_replica_that_was_just_met_may_be_behind_already() -> None:
    (cluster,) = as_json(seen(state="unknown", lag=None))["clusters"]
    found = cluster["editions"][0]["servers"][1]
    assert (found["lag_seconds"], found["lag_bytes"]) == (None, 2048)
