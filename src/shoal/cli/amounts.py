"""Takes seconds, bytes and shares, gives words for people and keys for JSON. Pure."""

from shoal.cli.findings import counted
from shoal.topology.positions.notation import Unit

UNKNOWN = "unknown"
_BINARY = ("KiB", "MiB", "GiB", "TiB")
_TIMES = ((86400, "d"), (3600, "h"), (60, "min"))


def lag(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else f"{seconds:.1f} s"


def behind(count: int | None, unit: Unit) -> str:
    """Return what a replica has yet to replay."""
    if count is None:
        return UNKNOWN
    return _bytes(count) if unit == "bytes" else counted(count, "transaction")


def behind_as_json(count: int | None, unit: Unit) -> dict[str, int | None]:
    return {
        "lag_bytes": count if unit == "bytes" else None,
        "lag_transactions": count if unit == "transactions" else None,
    }


def duration(seconds: float) -> str:
    """Return one number, as long as it says enough."""
    for size, word in _TIMES:
        if seconds >= size:
            return f"{seconds / size:.0f} {word}"
    return f"{max(seconds, 0):.0f} s"


def share(part: float | None, per_second: float | None) -> str:
    if part is None or per_second is None:
        return "-"
    return f"{part:.0%} ({_short(per_second)}/s)"


def _bytes(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    steps = min((count.bit_length() - 1) // 10, len(_BINARY))
    return f"{count / 1024**steps:.1f} {_BINARY[steps - 1]}"


def _short(number: float) -> str:
    for size, word in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{word}"
    return f"{number:.0f}"
