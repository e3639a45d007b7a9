"""How servers are judged by what they answered, and looked at again: no server."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from django.db import Error, OperationalError
from tests.waiting import quickest, until

from shoal.routing.context import Unit, current, set_current
from shoal.routing.health import Health, State, Watch, judging
from shoal.routing.health.lag import KEPT, PrimaryLog
from shoal.routing.health.values import Look
from shoal.routing.health.watch import EVERY, RETRY_AT_MOST, RETRY_PRIMARY_AT_MOST
from shoal.routing.losses import conflicted, lost
from shoal.routing.tokens import welcome
from shoal.testing.observer import MirrorObserver
from shoal.topology import Cluster, Position, Replica


def at(place: int, history: str = "one.1") -> Position:
    return Position(history, {"wal": ((0, place),)})


def answer(position: Position | None, asked_at: float = 0.0, **more: Any) -> Look:
    return Look(
        **{
            "asked_at": asked_at,
            "answered_at": asked_at + 0.01,
            "position": position,
            "is_replica": True,
            "age": None,
            **more,
        }
    )


def log_of(*seen: tuple[float, Position]) -> PrimaryLog:
    log = PrimaryLog()
    for moment, position in seen:
        log.add(moment, position)
    return log


def state_of(look: Look, log: PrimaryLog, before: Health | None = None) -> str:
    before = before or Health(alias="replica")
    return judging.of_replica(before, look, log, max_lag=5, now=0.0).state


def test_a_lag_is_counted_by_the_primarys_moments() -> None:
    log = log_of((0, at(10)), (4, at(20)), (9, at(30)))
    assert log.lag(at(30)) == 0
    assert log.lag(at(25)) == 5
    assert log.lag(at(10)) == 9
    assert log.lag(at(9)) is None
    assert log.lag(at(30, "one.2")) is None


def test_an_idle_primary_makes_nobody_lag() -> None:
    log = log_of(*((moment, at(10)) for moment in range(100)))
    assert log.lag(at(10)) == 0
    assert log.span() == 99


def test_a_log_of_another_system_begins_anew() -> None:
    log = log_of((0, at(10)), (1, at(5, "two.1")))
    assert log.lag(at(10)) is None
    assert log.span() == 0


def test_a_log_is_bounded() -> None:
    log = log_of(*((moment, at(moment)) for moment in range(5 * KEPT)))
    assert len(log._seen) <= KEPT
    assert log.lag(at(0)) == 5 * KEPT - 1


def test_a_replica_is_judged() -> None:
    log = log_of((0, at(10)), (9, at(30)))
    assert state_of(answer(at(30)), log) == "up"
    assert state_of(answer(at(10)), log) == "lagging"
    assert state_of(answer(at(9)), log) == "lagging"
    assert state_of(answer(at(30), is_replica=False), log) == "promoted"
    assert state_of(answer(None), log) == "up", "a server that knows no positions"
    assert state_of(answer(at(9)), log_of((0, at(10)))) == "unknown", "just met"
    assert state_of(answer(at(9), age=6.0), log_of((0, at(10)))) == "lagging"


def test_a_replica_that_was_set_back_is_known_by_where_it_is_now() -> None:
    before = Health(alias="replica", position=at(30))
    for place in (at(10), None):
        seen = judging.of_replica(
            before, answer(place), log_of((0, at(30))), max_lag=5, now=0.0
        )
        assert seen.position == place
    assert judging.forgotten(before, now=0.0).position is None


def test_a_primary_that_became_a_replica() -> None:
    before = Health(alias="primary", state="up", since=1.0)
    demoted = judging.of_primary(before, answer(at(1)), now=2.0)
    assert (demoted.state, demoted.since) == ("demoted", 2.0)
    up = judging.of_primary(before, answer(at(1), is_replica=False), now=2.0)
    assert (up.state, up.since) == ("up", 1.0)


class Unanswering:
    """Stands for a server: what it does is what `ask` is set to."""

    made: ClassVar[list[Any]] = []

    def __init__(self, alias: str, of_replica: bool) -> None:
        self.alias, self.of_replica = alias, of_replica
        self.is_closed = False
        self.given_up = threading.Event()
        self.renewed = 0
        type(self).made.append(self)

    behave: "Callable[[Unanswering], Look]"

    def ask(self) -> Look:
        return type(self).behave(self)

    def line(self, error: BaseException) -> str:
        return str(error)

    def renew(self) -> None:
        self.renewed += 1

    def give_up(self) -> None:
        self.given_up.set()

    def close(self) -> None:
        self.is_closed = True


def well(asker: Unanswering) -> Look:
    return answer(at(1), time.monotonic(), is_replica=asker.of_replica)


SITE = Cluster(name="primary", replicas=(Replica(alias="replica", weight=1),))


@pytest.fixture
def watch() -> Iterator[Watch]:
    asker: Any = Unanswering
    Unanswering.made = []
    Unanswering.behave = well
    watch = Watch([SITE], asker=asker)
    yield watch
    watch.stop()
    # Its threads may need longer than it waits for them.
    until(lambda: all(o.is_closed or o.given_up.is_set() for o in Unanswering.made))


def met(watch: Watch) -> None:
    """Return when both servers have been looked at, and are well."""
    watch.meet(SITE, within=30)
    until(lambda: states(watch) == ["up", "up"])


def states(watch: Watch) -> list[str]:
    return [watch.health[alias].state for alias in ("primary", "replica")]


def test_nothing_begins_before_it_is_woken(watch: Watch) -> None:
    assert watch.is_usable("replica")
    assert not watch.has_reached("replica", at(1))
    assert Unanswering.made == []
    met(watch)
    assert watch.has_reached("replica", at(1))


@pytest.mark.alone
def test_a_server_that_does_not_answer_is_left_out(watch: Watch) -> None:
    def left_out_after() -> float:
        answers = threading.Event()

        def deaf(asker: Unanswering) -> Look:
            if asker.of_replica:
                answers.wait(30)
            return well(asker)

        met(watch)
        Unanswering.behave = deaf
        took = until(lambda: not watch.is_usable("replica"))
        assert states(watch) == ["up", "silent"]
        Unanswering.behave = well
        answers.set()
        return took

    assert quickest(left_out_after, enough=1) < 1


def test_a_suspected_primary_still_takes_writes(watch: Watch) -> None:
    met(watch)
    watch.suspect("primary", "one connection was lost")
    assert watch.health["primary"].state == "up"
    watch.suspect("replica", "one connection was lost")
    until(lambda: watch.is_usable("replica"))
    assert all(one.renewed for one in Unanswering.made)
    watch.suspect("nobody", "not ours")


def test_a_parked_watch_forgets(watch: Watch) -> None:
    met(watch)
    watch.failed("primary", "gone")
    watch.park()
    watch.park()
    assert states(watch) == ["unknown", "unknown"]
    assert not watch.has_reached("replica", at(1))
    under_way = answer(at(1), time.monotonic() - 1, is_replica=True)
    watch.saw(SITE, "replica", under_way)
    assert not watch.has_reached("replica", at(1))
    met(watch)


def test_pauses_grow_and_are_bounded(watch: Watch) -> None:
    for failures in range(1, 2000):
        pause = watch.pause(SITE, "replica", failures)
        assert 0.8 * EVERY <= pause <= 1.2 * RETRY_AT_MOST
        assert watch.pause(SITE, "primary", failures) <= 1.2 * RETRY_PRIMARY_AT_MOST
    assert watch.pause(SITE, "replica", 0) == EVERY


def test_a_moment_counts_from_when_the_primary_was_heard_of(watch: Watch) -> None:
    met(watch)
    Unanswering.behave = lambda asker: (_ for _ in ()).throw(OperationalError("gone"))
    until(lambda: states(watch) == ["down", "down"])
    heard = watch.health["primary"].asked_at
    moment = time.time() - (time.monotonic() - heard)
    assert watch.has_reached("replica", Position.of_clock(moment - 31))
    assert not watch.has_reached("replica", Position.of_clock(moment - 29))
    watch._clock = lambda: heard + 3600
    assert not watch.has_reached("replica", Position.of_clock(time.time() - 3600))


def test_a_thread_that_cannot_begin(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    watch.wake()
    watch.suspect("replica", "failed")
    assert watch.is_usable("replica"), "or nobody would ever find it well again"
    assert [record.message for record in caplog.records] == ["servers not watched"]


class AfterAFailover(MirrorObserver):
    """No replica has reached the token, and the primary answers from another log."""

    def __init__(self, state: State) -> None:
        super().__init__()
        primary = Health(alias="catalog", state=state, position=Position("old", {}))
        self.health = {"catalog": primary}

    def has_reached(self, alias: str, position: Position) -> bool:
        return False

    def look_again(self, alias: str, *, within: float) -> bool:
        return True


@pytest.mark.parametrize(
    ("state", "dropped"), [("up", {"catalog"}), ("demoted", set())]
)
def test_only_a_primary_makes_a_token_one_of_the_past(
    state: State, dropped: set[str]
) -> None:
    unit = Unit(tokens={"catalog": at(1)})
    before = current()
    set_current(replace(before, observer=AfterAFailover(state)))
    try:
        welcome(unit)
    finally:
        set_current(before)
    assert unit.dropped == dropped


class Cause(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        self.sqlstate = sqlstate


def caused(sqlstate: str | None, kind: type[Error] = OperationalError) -> Error:
    error = kind("what the server says in its own language")
    error.__cause__ = Cause(sqlstate)
    return error


@pytest.mark.parametrize(
    ("sqlstate", "is_lost", "is_conflict"),
    [
        (None, True, False),
        ("08006", True, False),
        ("57P01", True, False),
        ("57P03", True, False),
        ("57014", False, False),
        ("40001", False, True),
        ("40P01", False, True),
        ("53300", False, False),
        ("23505", False, False),
    ],
)
def test_what_an_error_says(
    sqlstate: str | None, is_lost: bool, is_conflict: bool
) -> None:
    assert lost(caused(sqlstate)) is is_lost
    assert conflicted(caused(sqlstate)) is is_conflict


def test_other_drivers_and_other_errors() -> None:
    assert lost(OperationalError(2006, "Server has gone away"))
    assert not lost(OperationalError(1205, "Lock wait timeout exceeded"))
    assert not lost(ValueError())
    assert not conflicted(ValueError())
