"""The position that a replica reaches is known without writing on its primary."""

import pytest

from shoal.lab.ports import free_port
from shoal.lab.postgres import reachable_position


@pytest.mark.parametrize(
    ("insert", "reached"),
    [
        ("0/1B032A0", "0/1B032A0"),
        # Right behind the header of a page, or of the first page of a segment.
        ("0/1B04018", "0/1B04000"),
        ("0/4000028", "0/4000000"),
        ("0/4000000", "0/4000000"),
        ("0/4000030", "0/4000030"),
        ("1F/FF000028", "1F/FF000000"),
    ],
)
def test_headers_of_pages_are_nothing_to_replay(insert: str, reached: str) -> None:
    assert reachable_position(insert) == reached


def test_ports_are_not_the_ones_taken() -> None:
    taken: set[int] = set()
    for _ in range(50):
        port = free_port(taken)
        assert port not in taken
        assert 1024 < port < 65536
        taken.add(port)
