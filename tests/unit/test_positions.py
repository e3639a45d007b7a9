"""What positions contain, by the rules of each server."""

import pytest

from shoal.topology import Position
from shoal.topology.positions.mysql import mariadb_position, mysql_position
from shoal.topology.positions.postgresql import PAGE, last_record, position

SEGMENT = 16 * 1024 * 1024


def wal(place: int, timeline: int = 1, system: int = 7) -> Position:
    return position(place, timeline, system)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (PAGE * 5 + 24, PAGE * 5),
        (SEGMENT + 40, SEGMENT),
        (PAGE * 5 + 23, PAGE * 5 + 23),
        (PAGE * 5 + 25, PAGE * 5 + 25),
        (PAGE * 5, PAGE * 5),
        (PAGE * 5 + 4000, PAGE * 5 + 4000),
    ],
)
def test_a_place_behind_a_page_header_is_the_end_of_the_record_before(
    place: int, expected: int
) -> None:
    assert last_record(place) == expected


def test_a_log_contains_what_is_before() -> None:
    assert wal(900).reaches(wal(900))
    assert wal(901).reaches(wal(900))
    assert not wal(899).reaches(wal(900))
    assert wal(1000).beyond(wal(900)) == 100
    assert wal(900).beyond(wal(1000)) == 0


@pytest.mark.parametrize("other", [wal(10, timeline=2), wal(10, system=8)])
def test_nothing_is_compared_across_systems_and_timelines(other: Position) -> None:
    assert not wal(900).reaches(other)
    assert not other.reaches(wal(900))
    assert not wal(900).comparable(other)
    assert wal(900).beyond(other) is None
    assert wal(900).merge(other) == other, "the later history counts"


def test_the_history_does_not_tell_the_identifier_of_the_system() -> None:
    assert "7310612345678901234" not in wal(1, system=7310612345678901234).history


def test_mariadb_compares_by_domain_and_server() -> None:
    written = mariadb_position("0-1-205,1-2-7")
    assert written is not None
    reached = {
        "0-1-205,1-2-7": True,
        "0-1-300,1-2-9,5-5-5": True,
        "0-1-204,1-2-7": False,
        "0-1-205": False,
        "0-3-999,1-2-7": False,
    }
    for text, expected in reached.items():
        replayed = mariadb_position(text)
        assert replayed is not None
        assert replayed.reaches(written) is expected, text
    assert mariadb_position("") is None


def test_mariadb_drops_what_another_server_wrote_before_it_took_over() -> None:
    before, after = mariadb_position("0-1-205"), mariadb_position("0-2-206")
    assert before is not None
    assert after is not None
    assert not after.comparable(before)
    assert before.merge(after) == after


def test_mysql_compares_sets_with_gaps() -> None:
    a, b = (
        "3e11fa47-71ca-11e1-9e33-c80aa9429562",
        "4e11fa47-71ca-11e1-9e33-c80aa9429562",
    )
    written = mysql_position(f"{a}:1-5:7,\n{b}:1-3")
    assert written is not None
    reached = {
        f"{a}:1-7,{b}:1-3": True,
        f"{a.upper()}:1-5:7:9,{b}:1-4": True,
        f"{a}:1-6,{b}:1-3": False,
        f"{a}:1-7,{b}:2-3": False,
        f"{a}:1-7": False,
    }
    for text, expected in reached.items():
        replayed = mysql_position(text)
        assert replayed is not None
        assert replayed.reaches(written) is expected, text
    assert mysql_position("") is None


def test_mysql_keeps_transactions_of_a_tag_apart() -> None:
    tagged = mysql_position("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:backup:1-2")
    plain = mysql_position("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5")
    assert tagged is not None
    assert plain is not None
    assert tagged.reaches(plain)
    assert not plain.reaches(tagged)


def test_a_merge_contains_both() -> None:
    one, other = mysql_position("a:1-5"), mysql_position("a:3-9:11,b:1")
    assert one is not None
    assert other is not None
    assert one.merge(other) == mysql_position("a:1-9:11,b:1")


def test_goes_through_json_unchanged() -> None:
    for one in (wal(900), mysql_position("a:1-5:7,b:1"), Position.of_clock(12.5)):
        assert one is not None
        assert Position.from_json(one.as_json()) == one
        assert hash(Position.from_json(one.as_json())) == hash(one)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        ["x"],
        ["x", []],
        ["x", {"wal": 3}],
        ["x", {"wal": [[1]]}],
        ["x", {"wal": [[0, -1]]}],
        ["x", {"wal": [[0, True]]}],
        ["x", {"wal": [[0, 1.5]]}],
        [7, {"wal": [[0, 1]]}],
    ],
)
def test_takes_nothing_else_for_a_position(data: object) -> None:
    with pytest.raises(ValueError, match="Not a p"):
        Position.from_json(data)


def test_a_moment_stands_for_a_position_where_servers_know_none() -> None:
    assert Position.of_clock(12.5).moment == 12.5
    assert wal(900).moment is None
