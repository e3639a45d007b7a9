"""
Takes nothing but the databases, finishes what a crash has left in doubt.

From the names of what is prepared and the decisions alone: so anybody may do it, any
number of times, from any machine, and beside others and beside commits in flight.
"""

import contextlib
import logging
import time
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from django.db import Error, connections

from shoal.topology.probe.asking import as_line
from shoal.transactions import decisions
from shoal.transactions.engines import ENGINES, is_busy, is_gone
from shoal.transactions.in_doubt import Branch, branches
from shoal.transactions.reaching import Reach, primaries
from shoal.types import Alias

logger = logging.getLogger("shoal.transactions")
WAIT = 5
"""Seconds for a coordinator at work to decide, or for its session to be gone."""
ASK_EVERY = 0.05
"""Seconds."""
AT_ONCE = 500
"""How many decisions one statement deletes."""

Decided: TypeAlias = Mapping[str, frozenset[str]]
"""Units that commit, and the identities of the databases that have prepared."""
Fate = Literal["committed", "rolled back", "undecided", "unreachable", "unknown"]
"""`undecided`: somebody is at work on it. `unknown`: no database here decides it."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What became of a branch."""

    branch: Branch
    fate: Fate
    why: str = ""

    @property
    def is_left(self) -> bool:
        return self.fate not in ("committed", "rolled back")


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What one pass has done."""

    found: tuple[Found, ...] = ()
    down: Mapping[Alias, str] = field(default_factory=dict)
    """The databases that could not be reached, and why."""

    @property
    def left(self) -> list[Found]:
        return [one for one in self.found if one.is_left]


def recover(*, wait: int = WAIT) -> Recovery:
    """
    Finish what is decided, roll back what nobody will decide, leave the rest.

    Waits so many seconds for what somebody is at work on. Never raises for a database.
    """
    with Reach() as reach:
        aliases = [*primaries()]
        # Before what is prepared: a decision without any is then one that is done with.
        decided = {alias: _decisions(reach, alias) for alias in aliases}
        listed = look(reach, aliases)
        looked_at = {reach.identity(a) for a in aliases if a not in reach.down}
        found = tuple(_recovered(reach, listed, decided, wait))
        _forget(reach, decided, found, looked_at)
        down = {alias: _said(alias, error) for alias, error in reach.down.items()}
        return Recovery(found=found, down=down)


def look(reach: Reach, aliases: Iterable[Alias]) -> list[Branch]:
    """Return what is in doubt, each once: two databases may share a server."""
    listed: dict[str, Branch] = {}
    for alias in aliases:
        for branch in reach.ask(alias, branches) or ():
            listed.setdefault(branch.name.gid, branch)
    return [*listed.values()]


def _decisions(reach: Reach, alias: Alias) -> Decided:
    """Return the units that a database has decided to commit, with their databases."""
    if reach.identity(alias) is None:
        return {}
    return reach.ask(alias, decisions.every) or {}


def _recovered(
    reach: Reach,
    listed: Iterable[Branch],
    decided: Mapping[Alias, Decided],
    wait: int,
) -> Iterable[Found]:
    fates: dict[str, tuple[Fate, str]] = {}
    for branch in listed:
        unit = branch.name.unit
        if unit not in fates:
            fates[unit] = _fate(reach, branch, decided, wait)
        fate, why = fates[unit]
        found = Found(branch=branch, fate=fate, why=why)
        yield found if found.is_left else _finished(reach, found, wait)


def _fate(
    reach: Reach,
    branch: Branch,
    decided: Mapping[Alias, Decided],
    wait: int,
) -> tuple[Fate, str]:
    """Return what its home database has decided."""
    home = reach.home_of(branch.name)
    control = reach.control(home) if home is not None else None
    if home is None or control is None:
        return _fate_of_lost(reach, branch)
    if branch.name.unit in decided.get(home, ()):
        return "committed", ""
    try:
        verdict = decisions.verdict(control, branch.name.unit, within=wait)
    except Error as error:
        reach.lost(home, error)
        return "unreachable", f"{home!r} decides it, but: {_said(home, error)}"
    if verdict == "undecided":
        return verdict, f"somebody is committing it on {home!r} at this moment"
    return verdict, ""


def _fate_of_lost(reach: Reach, branch: Branch) -> tuple[Fate, str]:
    name = branch.name
    if reach.down:
        down = ", ".join(map(repr, reach.down))
        return "unreachable", (
            f"{name.home!r} decides it, and {down} cannot be reached"
        )
    return "unknown", (
        f"no database of this project is the {name.home!r} that decides it "
        f"(identity {name.identity})"
    )


def _finished(reach: Reach, found: Found, wait: int) -> Found:
    """Tell the server; one of MariaDB's refuses while the owner's session lasts."""
    branch = found.branch
    control = reach.control(branch.alias)
    if control is None:
        return replace(found, fate="unreachable", why="the server is down")
    engine = ENGINES[control.vendor]
    how = engine.commit if found.fate == "committed" else engine.roll_back
    end = time.monotonic() + wait
    while True:
        try:
            control.run(how(branch.name))
        except Error as error:
            if not _is_listed(reach, branch):
                # Somebody else was faster. Or MariaDB says that it had only read.
                break
            if not (is_gone(error) or is_busy(error)):
                return replace(
                    found, fate="unreachable", why=_said(branch.alias, error)
                )
            if time.monotonic() > end:
                why = "the session that has prepared it is still connected"
                return replace(found, fate="undecided", why=why)
            time.sleep(ASK_EVERY)
        else:
            break
    more = {"event": "recovered", "alias": branch.alias, "unit": branch.name.unit}
    logger.info("%s what was in doubt", found.fate, extra=more)
    return found


def _is_listed(reach: Reach, branch: Branch) -> bool:
    listed = reach.ask(branch.alias, branches)
    return listed is None or any(one.name == branch.name for one in listed)


def _forget(
    reach: Reach,
    decided: Mapping[Alias, Decided],
    found: Iterable[Found],
    looked_at: Set[str | None],
) -> None:
    """
    Delete the decisions that no server needs any more, if all could be asked.

    By what the databases are, not by their aliases: another project may have the same
    home, and mean others by these, and an alias may be gone from the settings.
    """
    needed = {one.branch.name.unit for one in found if one.is_left}
    for home, units in decided.items():
        control = reach.control(home)
        done = [
            unit
            for unit, servers in units.items()
            if unit not in needed and looked_at >= servers
        ]
        for index in range(0, len(done) if control else 0, AT_ONCE):
            assert control is not None
            with contextlib.suppress(Error):
                decisions.forget_all(control, done[index : index + AT_ONCE])


def _said(alias: Alias, error: Exception) -> str:
    """Return what an error says in one line, without the password."""
    return as_line(error, connections.settings[alias])
