"""Takes a vendor, gives its columns, and what values Hypothesis draws for each."""

import datetime
import ipaddress
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.backends.postgresql.psycopg_any import (
    DateRange,
    DateTimeTZRange,
    NumericRange,
)
from hypothesis import strategies as st

D = Decimal
UTC = datetime.UTC
MICROSECOND = datetime.timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Column:
    name: str
    values: st.SearchStrategy[Any]
    """Of what there is: NULLs are added where rows are drawn."""
    kind: str
    """Says what can be asked of it beside what all columns can be asked."""


def _some(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def _decimals(whole: int, places: int) -> st.SearchStrategy[Decimal]:
    most = D(f"{'9' * whole}.{'9' * places}")
    edges = ("0", "-0.00", "1", "1.0", "1.50", "-1.50", "2.50", "0.10", "0.3", "-7")
    return st.one_of(
        _some(*map(D, edges), most, most.copy_negate(), D(1).scaleb(-places)),
        st.decimals(most.copy_negate(), most, places=places),
    )


def _eighths() -> st.SearchStrategy[float]:
    """Floats whose sums are the same in every order."""
    return st.integers(-9999, 9999).map(lambda n: n / 8)


def _floats(vendor: str) -> st.SearchStrategy[float]:
    edges = [0.0, -0.0, 0.5, -0.25, 3.0, 1e16, 2.0**53 + 2, 5e-300]
    if vendor == "postgresql":
        edges += [float("nan"), float("inf"), float("-inf")]
    return st.one_of(_some(*edges), _eighths())


TEXTS = ("", " ", "a", "A", "a ", "a  ", "ab", "á", "À", "ä", "z", "Z", "ß", "ss", "_x")
TEXTS += ("%", "\\", "'", '"', "10", "9", "é", "e\u0301", "\U0001f600", "\U0001f642")
TEXTS += ("\u0131", "I", "i", "\u0130", "漢", "א", "\u200d", "a-b", "a b", "ab c", "\n")
LONG = ("x" * 99_999 + "y", "x" * 99_999 + "z", "ü" * 50_000)


def _texts(most: int = 20) -> st.SearchStrategy[str]:
    letters = st.characters(exclude_characters="\x00", exclude_categories=("Cs", "Cn"))
    return st.one_of(_some(*TEXTS), _some(*TEXTS), st.text(letters, max_size=most))


def _days(last: int = 9999) -> st.SearchStrategy[datetime.date]:
    edges = ((2023, 12, 31), (2024, 2, 29), (2024, 3, 31), (1970, 1, 1), (1000, 1, 1))
    more = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 12, 31))
    return st.one_of(
        _some(*(datetime.date(*one) for one in (*edges, (last, 12, 31)))), more
    )


def _moments() -> st.SearchStrategy[datetime.datetime]:
    """Around the hours that clocks in Berlin show twice, or not at all, and others."""
    edges = [
        datetime.datetime(2024, month, day, hour, minute, 0, micro)
        for month, day in ((3, 31), (10, 27))
        for hour in (0, 1, 2, 3)
        for minute, micro in ((0, 0), (30, 1), (59, 999_999))
    ]
    edges += [datetime.datetime(*one) for one in ((2023, 12, 31, 23, 30), (1970, 1, 1))]
    most = datetime.datetime(2100, 12, 31)
    drawn = st.one_of(_some(*edges), st.datetimes(datetime.datetime(1971, 1, 1), most))
    return drawn.map(_in_zone)


def _in_zone(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(tzinfo=UTC) if settings.USE_TZ else moment


def _times() -> st.SearchStrategy[datetime.time]:
    edges = ((0,), (23, 59, 59, 999_999), (12, 30), (12, 30, 0, 1))
    return st.one_of(_some(*(datetime.time(*one) for one in edges)), st.times())


def _spans() -> st.SearchStrategy[datetime.timedelta]:
    year = datetime.timedelta(days=365)
    edges = (0 * MICROSECOND, MICROSECOND, -MICROSECOND, year / 365, -year / 365)
    edges += (datetime.timedelta(hours=25), 100 * year, -100 * year)
    return st.one_of(_some(*edges), st.timedeltas(-year, year))


def _uuids() -> st.SearchStrategy[uuid.UUID]:
    # MariaDB refuses some that have no version.
    edges = (uuid.UUID(int=0), uuid.UUID(int=2**128 - 1))
    return st.one_of(_some(*edges), *(st.uuids(version=n) for n in (1, 4)))


def _addresses() -> st.SearchStrategy[str]:
    edges = ("10.0.0.1", "9.0.0.1", "10.0.0.10", "::1", "fe80::1", "2001:db8::ff00")
    four = st.ip_addresses(v=4).map(str)
    six = st.integers(2**64, 2**128 - 1).map(lambda n: str(ipaddress.IPv6Address(n)))
    return st.one_of(_some(*edges), four, six)


def _jsons(vendor: str) -> st.SearchStrategy[Any]:
    edges = [{}, [], "", "a", 0, 1, True, False, {"a": None}, {"a": 1}, {"a": "1"}]
    edges += [{"a": [1, {"b": None}]}, {"a": {"b": 2}, "c": "ü"}, [None], [1, "a"], 10]
    edges += [
        {"a": True},
        {"a": 2},
        {"a": 10},
        {"a": "x"},
        {"a": 1.5},
        {"b": 1, "a": 0},
    ]
    leaves = st.one_of(st.none(), st.booleans(), st.integers(-99, 99), _texts(5))
    keys = _some("a", "b", "c", "A", "ü", "0")
    made = st.recursive(
        leaves,
        lambda of: st.lists(of, max_size=3) | st.dictionaries(keys, of, max_size=3),
        max_leaves=5,
    )
    # A null of JSON has to be said in another way than NULL.
    return st.one_of(_some(*edges), _some(*edges), made.filter(lambda v: v is not None))


def _bytes() -> st.SearchStrategy[bytes]:
    edges = (b"", b"\0", b"\0\0", b"a\0b", b"a", b"A", b"\xff\xfe", b"\x80", bytes(300))
    return st.one_of(_some(*edges), st.binary(max_size=12))


def _ranges(kind: Any, bounds: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    ends = st.one_of(st.none(), bounds)

    def made(pair: Any, sides: str) -> Any:
        low, high = pair
        if low is not None and high is not None and high < low:
            low, high = high, low
        return kind(low, high, sides)

    drawn = st.builds(made, st.tuples(ends, ends), _some("[)", "[]", "(]", "()"))
    return st.one_of(drawn, st.just(kind(empty=True)))


def columns_of(vendor: str) -> list[Column]:
    """Return the columns of the vendor's table that values are drawn for."""
    integers = st.one_of(_some(0, 1, -1, 2, 10, 9), st.integers(-(2**15), 2**15 - 1))
    # Sums have to stay within the largest number of SQLite.
    large = st.one_of(_some(0, 1, -1, 2**53 + 1, -(2**53) - 1, 2**58), integers)
    # SQLite keeps decimals as floats: 15 digits are kept by all.
    digits = 5 if vendor == "sqlite" else 20
    found = [
        Column(name="small", kind="number", values=integers),
        Column(name="whole", kind="number", values=large),
        Column(name="amount", kind="number", values=_decimals(digits, 10)),
        Column(name="price", kind="number", values=_decimals(6, 2)),
        Column(name="weight", kind="number", values=_eighths()),
        Column(name="extreme", kind="float", values=_floats(vendor)),
        Column(name="flag", kind="bool", values=st.booleans()),
        Column(name="text", kind="text", values=st.one_of(_texts(), _some(*LONG))),
        Column(name="name", kind="text", values=_texts()),
        Column(name="binary", kind="text", values=_texts()),
        Column(name="folded", kind="text", values=_texts()),
        Column(name="day", kind="day", values=_days()),
        Column(name="moment", kind="moment", values=_moments()),
        Column(name="clock", kind="clock", values=_times()),
        Column(name="span", kind="span", values=_spans()),
        Column(name="token", kind="uuid", values=_uuids()),
        Column(name="address", kind="address", values=_addresses()),
        Column(name="data", kind="json", values=_jsons(vendor)),
        Column(name="blob", kind="bytes", values=_bytes()),
    ]
    if vendor == "mysql":
        found.append(Column(name="unpadded", kind="text", values=_texts()))
    if vendor == "postgresql":
        found += _of_postgresql(integers)
    return found


def _of_postgresql(integers: st.SearchStrategy[int]) -> list[Column]:
    # The end of a range of days is the day after the last.
    days, moments = _days(2200), _moments().map(_with_zone)
    small = st.integers(-9, 9)
    prices = st.integers(-99, 99).map(lambda n: D(n) / 4)

    def lists(of: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[Any]:
        return st.lists(st.one_of(st.none(), of), max_size=most)

    nested = st.integers(0, 2).flatmap(
        lambda n: st.lists(st.lists(small, min_size=n, max_size=n), max_size=2 * n)
    )
    return [
        Column(name="numbers", kind="array", values=lists(integers)),
        Column(name="words", kind="array", values=lists(_some(*TEXTS))),
        Column(name="nested", kind="array", values=nested),
        Column(name="amounts", kind="array", values=lists(prices)),
        Column(name="range", kind="range", values=_ranges(NumericRange, small)),
        Column(name="wide_range", kind="range", values=_ranges(NumericRange, small)),
        Column(name="price_range", kind="range", values=_ranges(NumericRange, prices)),
        Column(name="day_range", kind="range", values=_ranges(DateRange, days)),
        Column(
            name="moment_range", kind="range", values=_ranges(DateTimeTZRange, moments)
        ),
    ]


def _with_zone(moment: datetime.datetime) -> datetime.datetime:
    return moment.replace(tzinfo=UTC)
