"""
Takes the parts of a unit of work, commits all of them or none.

One written server: an ordinary commit. Several: all but one prepare, and the commit of
that one, the home server, decides. It has written the decision before the others
prepare, so that whoever finds what they have prepared finds it, or waits for it.
The protocol of Citus and of Vitess, with the decision's own row as the lease:
https://github.com/citusdata/citus/blob/main/src/backend/distributed/README.md
https://vitess.io/docs/reference/features/distributed-transaction/
"""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

from django.db import Error

from shoal.errors import CannotPrepare, CommitInDoubt, PartialCommit
from shoal.transactions import decisions
from shoal.transactions.engines import is_answer
from shoal.transactions.parts import Part, is_broken
from shoal.transactions.unit import Unit
from shoal.transactions.wires import Work, all_at_once
from shoal.types import Alias

logger = logging.getLogger("shoal.transactions")
SETTLE_WITHIN = 10.0
"""
Seconds to find out what a home server has done whose answer to COMMIT was lost. As long
as a restart of it takes; whoever wants it shorter finds the unit in doubt.
"""


def commit(unit: Unit, parts: Sequence[Part], *, best_effort: bool) -> None:
    """
    Commit on each server, or roll back on each and raise.

    Raises `CannotPrepare` if two of those written cannot prepare and `best_effort` does
    not allow it, `CommitInDoubt` if the home server was lost while it committed, and
    `PartialCommit` where best effort was not enough. Otherwise what a server raises.
    """
    with cut_off(parts):
        with _or_roll_back(parts):
            require_sound(parts)
            written, read = _left_to_commit(unit, parts)
            unable = _unable(written, best_effort=best_effort)
        with _or_roll_back(read):
            if written:
                _commit_several(unit, written, unable)
        _leave_read(read)


@contextlib.contextmanager
def cut_off(parts: Collection[Part]) -> Iterator[None]:
    """
    Close what is still in its block after an error: nobody would end it any more.

    What a signal's handler raises may come between any two calls.
    """
    try:
        yield
    except BaseException:
        close_stuck(parts)
        raise


def close_stuck(parts: Collection[Part]) -> None:
    for part in parts:
        if part.is_stuck:
            part.cut_off()
            _log("cut_off", part, level=logging.ERROR)


def _left_to_commit(
    unit: Unit, parts: Sequence[Part]
) -> tuple[Sequence[Part], Sequence[Part]]:
    """Let go who needs no other; return several that were written, and those read."""
    if len(parts) < 2:
        _leave(parts)
        return (), ()
    inner = [part for part in parts if not part.is_outermost]
    _leave(inner)
    written, read = _divided(unit, [p for p in parts if p not in inner])
    _leave([part for part in read if part.is_serializable])
    if len(written) < 2:
        _leave(written)
        written = []
    return written, [part for part in read if not part.is_serializable]


def _unable(written: Sequence[Part], *, best_effort: bool) -> Sequence[Part]:
    """Return those that cannot prepare; raise if they are too many."""
    unable = [part for part in written if not part.can_prepare]
    if unable:
        # One that was begun to decide cannot, where another has to commit last.
        unable = [part for part in written if not part.can_still_prepare]
    if len(unable) > 1:
        _require_best_effort(unable, allowed=best_effort)
    return unable


@contextlib.contextmanager
def _or_roll_back(parts: Sequence[Part]) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        roll_back(parts, error)
        raise


def require_sound(parts: Sequence[Part]) -> None:
    """Raise if a server would answer the commit with a rollback."""
    for part in parts:
        if is_broken(part.connection):
            part.connection.needs_rollback = True
        part.connection.validate_no_broken_transaction()


def roll_back(parts: Sequence[Part], error: BaseException) -> None:
    """Roll back what has not ended; the first error in that does not keep the rest."""
    for part in reversed(parts):
        try:
            part.roll_back(error)
        except Error:
            _log("rollback_failed", part, level=logging.WARNING)


def _leave(parts: Sequence[Part]) -> None:
    for part in parts:
        part.leave()


def _leave_read(parts: Sequence[Part]) -> None:
    """
    End what was only read, once the rest is committed: it may hold locks for that.

    The unit has succeeded by now, whatever a server says.
    """
    for part in parts:
        try:
            part.leave()
        except Error:
            if part.is_stuck:
                # No server says so: Django has raised this over a signal's exception.
                raise
            _log("end_of_read_failed", part, level=logging.WARNING)


def _divided(unit: Unit, parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """Divide into those that were written and those only read."""
    wrote = {part: True for part in parts if part.was_seen_to_write}
    unseen = [part for part in parts if part not in wrote]
    _raise_first(_at_once(unseen, partial(_asking, wrote)))
    if any(part.was_begun_by_name for part in parts):
        # Their names say who decides.
        wrote |= {part: True for part in parts if part.alias == unit.home}
    written = [part for part in parts if wrote[part]]
    return written, [part for part in parts if not wrote[part]]


def _asking(wrote: dict[Part, bool], part: Part) -> Work[None]:
    wrote[part] = yield from part.has_written()


def _require_best_effort(unable: Sequence[Part], *, allowed: bool) -> None:
    if not allowed:
        names = " and ".join(repr(part.alias) for part in unable)
        raise CannotPrepare(
            f"The unit of work has written on {names}, of which none can promise a "
            "commit before the other has committed. It was rolled back.",
            hint="Write on one of them in a unit of work, send the other a message "
            "(shoal.transactions.outbox), or say atomic(..., best_effort=True) and "
            "bear that a crash between two commits leaves a part.",
        )
    for part in unable:
        if part.connection.vendor == "postgresql":
            part.connection.check_constraints()


def _commit_several(
    unit: Unit, written: Sequence[Part], unable: Sequence[Part]
) -> None:
    home = _home(unit, written, unable)
    others = [part for part in written if part not in (home, *unable)]
    with _or_roll_back(written):
        if others:
            _prepare(unit, home, others)
        before = [part for part in unable if part is not home]
        _commit_unable(before)
    _decide(unit, home, others, after=before)
    is_done = _finish(others)
    if others and is_done:
        _forget(unit, home)


def _home(unit: Unit, written: Sequence[Part], unable: Sequence[Part]) -> Part:
    """Return who decides: what was promised by name, who cannot prepare, the first."""
    for part in written:
        if part.alias == unit.home:
            return part
    return unable[-1] if unable else written[0]


def _prepare(unit: Unit, home: Part, others: Sequence[Part]) -> None:
    identity = decisions.identity_of(home.connection)
    decisions.write(home.connection, unit.id, _identities(others))
    _log("written", home)
    for part in others:
        part.name = part.name or unit.name_of_next(home, identity)
    _raise_first(_at_once(others, _preparing))


def _identities(parts: Sequence[Part]) -> dict[Alias, str]:
    """Each of the driver's connections is asked once."""
    return {part.alias: decisions.identity_of(part.connection) for part in parts}


def _preparing(part: Part) -> Work[None]:
    yield from part.prepare()
    _log("prepared", part)


def _commit_unable(parts: Sequence[Part]) -> None:
    """Commit those that cannot prepare, but the last, one after the other."""
    done: list[Part] = []
    for part in parts:
        try:
            part.leave()
        except Error as error:
            if done:
                raise _partial(done, part, error) from error
            raise
        done.append(part)


def _partial(done: Sequence[Part], part: Part, error: BaseException) -> PartialCommit:
    names = ", ".join(repr(one.alias) for one in done)
    rest = "has not" if is_answer(error) else "has not said that it has"
    return PartialCommit(
        f"The servers {names} have committed, but {part.alias!r} {rest}: {error}",
        hint="Compare the rows of this unit of work on these servers.",
    )


def _decide(
    unit: Unit, home: Part, others: Sequence[Part], *, after: Sequence[Part]
) -> None:
    """Commit on the home server; if its answer is lost, find out what it was."""
    interrupted: BaseException | None = None
    try:
        home.leave()
    except BaseException as error:
        if not (home.connection.autocommit and is_answer(error)):
            # Ctrl-C, or the answer was lost: what is open there shall not stay so.
            home.connection.close()
        verdict = _verdict(unit, home) if others else "rolled back"
        if verdict == "rolled back":
            roll_back(others, error)
            if after:
                raise _partial(after, home, error) from error
            raise
        if verdict != "committed":
            for part in others:
                part.abandon()
            raise _in_doubt(home, others) from error
        interrupted = None if isinstance(error, Error) else error
    _log("decided", home)
    if interrupted is not None:
        _finish(others)
        raise interrupted


def _verdict(unit: Unit, home: Part) -> decisions.Verdict | None:
    return decisions.ask_until_answered(home.alias, unit.id, within=SETTLE_WITHIN)


def _in_doubt(home: Part, others: Sequence[Part]) -> CommitInDoubt:
    names = ", ".join(repr(part.alias) for part in others)
    return CommitInDoubt(
        f"The home server {home.alias!r} of this unit of work was lost while it "
        f"committed, and has not answered for {SETTLE_WITHIN:g} s. What was prepared "
        f"on {names} waits for its decision.",
        hint="Run `manage.py shoal recover` once the server is back; `manage.py shoal "
        "status` shows what is in doubt. Look before you repeat the work.",
    )


def _finish(others: Sequence[Part]) -> bool:
    """Commit what is prepared; say whether all of it is."""
    for part in others:
        if not part.was_begun_by_name:
            part.let_go()
    done: dict[Part, bool] = {}
    try:
        raised = _at_once(others, partial(_concluding, done))
    finally:
        for part in others:
            if part.was_begun_by_name:
                part.let_go()
            if not done.get(part):
                _log("left_prepared", part, level=logging.ERROR)
    _raise_first(raised)
    return all(done.get(part) for part in others)


def _concluding(done: dict[Part, bool], part: Part) -> Work[None]:
    done[part] = yield from part.conclude("commit")
    _log("committed", part)


def _forget(unit: Unit, home: Part) -> None:
    """What cannot be deleted now, `recover` will delete."""
    if home.connection.in_atomic_block or not home.connection.autocommit:
        return
    with contextlib.suppress(Error, AttributeError):
        decisions.forget(home.connection, unit.id)
    _log("forgotten", home)


def _at_once(
    parts: Sequence[Part], work: Callable[[Part], Work[None]]
) -> list[BaseException | None]:
    return all_at_once([(part.connection, work(part)) for part in parts])


def _raise_first(raised: Sequence[BaseException | None]) -> None:
    for error in raised:
        if error is not None:
            raise error


def _log(event: str, part: Part, *, level: int = logging.DEBUG) -> None:
    if not logger.isEnabledFor(level):
        return
    more: dict[str, Any] = {"event": event, "alias": part.alias}
    if part.name is not None:
        more["unit"] = part.name.unit
    logger.log(level, event.replace("_", " "), extra=more)
