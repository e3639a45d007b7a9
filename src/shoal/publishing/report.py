"""What a publishing did, as a frozen value."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from shoal.types import ClusterName, Role

COUNTS = ("created", "updated", "removed", "unchanged")


def _nothing() -> Mapping[str, int]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class PublishReport:
    """Rows of the edition `to`, counted by model label, as in `"pages.Page"`."""

    action: Literal["publish", "unpublish"] = "publish"
    cluster: ClusterName | None
    """`None` where no objects were given, so that none could be told."""
    source: Role
    to: Role
    created: Mapping[str, int] = field(default_factory=_nothing)
    updated: Mapping[str, int] = field(default_factory=_nothing)
    """Rows that were there and differed. Those that did not differ are not written."""
    removed: Mapping[str, int] = field(default_factory=_nothing)
    """Includes what Django's deletion rules removed along with them."""
    unchanged: Mapping[str, int] = field(default_factory=_nothing)

    def as_dict(self) -> dict[str, Any]:
        """Return plain dicts, strings and numbers, ready for JSON."""
        named = {
            name: getattr(self, name) for name in ("action", "cluster", "source", "to")
        }
        return named | {name: dict(getattr(self, name)) for name in COUNTS}

    def __str__(self) -> str:
        labels = sorted({*self.created, *self.updated, *self.removed})
        counted = "; ".join(self._line(label) for label in labels) or "nothing changed"
        if self.action == "unpublish":
            return f"Unpublished from {self.to!r}: {counted}."
        return f"Published from {self.source!r} to {self.to!r}: {counted}."

    def _line(self, label: str) -> str:
        counts = (
            f"{getattr(self, name)[label]} {name}"
            for name in COUNTS[:3]
            if getattr(self, name).get(label)
        )
        return f"{label} {', '.join(counts)}"


class Tally:
    """Counts while a publishing runs."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in COUNTS}

    def add(self, name: str, label: str, number: int) -> None:
        if number:
            self._counts[name][label] += number

    def counts(self) -> dict[str, Any]:
        return {
            name: MappingProxyType(dict(sorted(counter.items())))
            for name, counter in self._counts.items()
        }
