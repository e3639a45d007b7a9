"""What can go wrong with a commit over several servers, one thing at a time."""

import contextlib
import os
import random
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import (
    DatabaseError,
    Error,
    IntegrityError,
    InternalError,
    NotSupportedError,
    OperationalError,
    connections,
    transaction,
)
from django.db.transaction import TransactionManagementError

from shoal.errors import CannotPrepare, TablesMissing
from shoal.topology.probe.asking import close, open_apart
from shoal.transactions import atomic, committing, decisions, tables, wires
from shoal.transactions.engines import ENGINES
from shoal.transactions.levels import Level
from shoal.transactions.naming import BranchName
from shoal.transactions.parts import Part
from shoal.transactions.reaching import Reach, primaries
from shoal.transactions.recovering import Recovery, look, recover
from shoal.transactions.wires import send
from tests.integration.transactions.apart import Site, kill, number_of
from tests.integration.transactions.asking import (
    TRIO,
    ask,
    decided,
    prepared,
    until_all_have_ended,
)
from tests.integration.transactions.conftest import clusters, read, write

on_both = pytest.mark.parametrize(
    "site_kind",
    ["postgresql", pytest.param("mariadb", marks=pytest.mark.mariadb)],
    indirect=True,
    scope="module",
)


@pytest.fixture(autouse=True)
def nothing_is_left(site: Site) -> Iterator[None]:
    yield
    assert prepared() == []
    assert decided() == []
    for name in TRIO:
        connection = connections[name]
        assert not connection.in_atomic_block
        assert connection.get_autocommit()


def commit(site: Site, number: int = 1) -> None:
    with atomic(*site.names):
        site.write(number)


def stored(site: Site, number: int = 1) -> list[bool]:
    return list(site.stored(number).values())


# Servers that cannot.


@contextlib.contextmanager
def setting(site: Site, alias: str, name: str, value: str) -> Iterator[None]:
    """Give a server another setting, and a restart, for a block."""
    server = site.servers[alias]
    for change in (f"SET {name} = {value}", f"RESET {name}"):
        server.ask(f"ALTER SYSTEM {change}")
        server.stop(clean=True)
        server.start()
        if change.startswith("SET"):
            yield
    site.reset()


@pytest.mark.parametrize("alias", TRIO[1:])
def test_a_server_that_may_prepare_nothing(site: Site, alias: str) -> None:
    with setting(site, alias, "max_prepared_transactions", "0"):
        reconnect()
        with pytest.raises(CannotPrepare) as caught:
            commit(site)
        assert f"The server '{alias}' cannot prepare" in str(caught.value)
        assert "rolled back: prepared transactions are disabled" in str(caught.value)
        assert "Set max_prepared_transactions there" in str(caught.value.hint)
        assert stored(site) == [False] * 3
        with atomic(*TRIO):
            # The connection is as good as ever.
            site.write(2, alias)
        assert site.stored(2)[alias]


def test_a_server_that_has_prepared_as_many_as_it_may(site: Site) -> None:
    with setting(site, "right", "max_prepared_transactions", "1"):
        ask("right", "BEGIN; INSERT INTO note VALUES (9, ''); PREPARE TRANSACTION 'm'")
        with pytest.raises(CannotPrepare, match="maximum number of prepared"):
            commit(site)
        assert stored(site) == [False] * 3
        ask("right", "ROLLBACK PREPARED 'm'")
        commit(site)
        assert stored(site) == [True] * 3


@pytest.fixture
def room(site: Site) -> Iterator[Path]:
    """A disk of 40 MB, the home server's."""
    room = Path(tempfile.mkdtemp(prefix="shoal-room-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m,mode=755", "tmpfs", room]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        room.rmdir()
        pytest.skip("no file system may be mounted here")
    owner = site.servers["left"].data_directory.stat()
    os.chown(room, owner.st_uid, owner.st_gid)
    yield room
    subprocess.run(["umount", "-l", room], check=True)
    room.rmdir()


def fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def commit_until_it_fails(site: Site) -> tuple[int, Error]:
    """Return the last number that was committed, and what the next one has raised."""
    for number in range(1, 5000):
        try:
            with atomic(*TRIO):
                site.write(number)
                with connections["left"].cursor() as cursor:
                    for _ in range(10):
                        cursor.execute("UPDATE note SET text = repeat('x', 90)")
        except Error as error:
            return number - 1, error
    raise AssertionError("The disk is not full yet.")


def has(number: int) -> list[bool]:
    return [bool(ask(name, f"SELECT 1 FROM note WHERE id = {number}")) for name in TRIO]


def test_a_home_server_whose_disk_is_full(site: Site, room: Path) -> None:
    """The decision cannot be written, so there is none."""
    home = site.servers["left"]
    home.ask(f"CREATE TABLESPACE narrow LOCATION '{room}'")
    ask("left", "ALTER TABLE shoal_decision SET TABLESPACE narrow")
    fill(room / "full")
    try:
        done, error = commit_until_it_fails(site)
        assert "No space left on device" in str(error)
        assert has(done) in ([True] * 3, [False] * 3)
        assert has(done + 1) == [False] * 3
        (room / "full").unlink()
        commit(site, done + 1)
        assert has(done + 1) == [True] * 3
    finally:
        ask("left", "ALTER TABLE shoal_decision SET TABLESPACE pg_default")
        home.ask("CHECKPOINT")
        home.ask("DROP TABLESPACE narrow")


def connect(name: str) -> Any:
    connections[name].ensure_connection()
    return connections[name]


def reconnect() -> None:
    for name in TRIO:
        connections[name].close()


def test_a_server_whose_commits_are_on_the_disk_later(site: Site) -> None:
    """The decision is there at once: the others have committed for good."""
    home = site.servers["left"]
    home.ask("ALTER SYSTEM SET synchronous_commit = off")
    home.ask("ALTER SYSTEM SET wal_writer_delay = '10s'")
    home.ask("SELECT pg_reload_conf()")
    try:
        for number in range(1, 4):
            with contextlib.closing(site.start(halt="decided")) as work:
                work.reached("decided")
                kill(home)
                work.go_on()
                told = work.end()
            assert told == "told of success"
            assert site.require_finished(work.number, told), number
    finally:
        home.start()
        home.ask("ALTER SYSTEM RESET ALL")
        home.ask("SELECT pg_reload_conf()")


@contextlib.contextmanager
def as_clerk() -> Iterator[None]:
    """Connect to `left` as a user who owns nothing."""
    connections["left"].close()
    del connections["left"]
    known = connections.settings["left"]
    was = {key: known[key] for key in ("USER", "PASSWORD")}
    known.update({"USER": "clerk", "PASSWORD": "clerk"})
    try:
        yield
    finally:
        connections["left"].close()
        known.update(was)
        del connections["left"]


def test_a_user_who_may_create_no_tables(site: Site) -> None:
    ask("left", "DROP TABLE shoal_identity, shoal_decision")
    ask("left", "CREATE ROLE clerk LOGIN PASSWORD 'clerk'")
    ask("left", "GRANT ALL ON note TO clerk")
    try:
        with (
            as_clerk(),
            pytest.raises(TablesMissing, match="has no table 'shoal_identity'"),
        ):
            commit(site)
        assert stored(site) == [False] * 3
        tables.create("left")
        ask("left", "GRANT SELECT ON shoal_identity TO clerk")
        rights = "SELECT, INSERT, UPDATE, DELETE"
        ask("left", f"GRANT {rights} ON shoal_decision TO clerk")
        with as_clerk():
            commit(site)
            site.leave_in_doubt(is_decided=True)
            assert recover().left == []
        assert (prepared(), decided()) == ([], [])
    finally:
        tables.create("left")
        ask("left", "DROP OWNED BY clerk; DROP ROLE clerk")
    assert stored(site) == [True] * 3
    commit(site, 2)
    assert stored(site, 2) == [True] * 3


@pytest.mark.mariadb
@pytest.mark.parametrize("site_kind", ["mariadb"], indirect=True, scope="module")
@pytest.mark.parametrize("is_decided", [True, False])
def test_a_server_that_has_only_read(site: Site, is_decided: bool) -> None:
    """MariaDB lists it, and says of it that it was rolled back."""
    units = site.leave_in_doubt(is_decided=is_decided)
    identity = tables.create("left")
    name = BranchName(unit=units[0], number=9, identity=identity, home="left")
    engine = ENGINES["mysql"]
    assert engine.start is not None
    send_all("third", engine.start(name), "SELECT 1", *engine.prepare(name))
    assert len(prepared()) == 3
    recovery = recover()
    assert {one.fate for one in recovery.found} == {
        "committed" if is_decided else "rolled back"
    }


# Transactions that cannot.


REFUSED = {
    "temporary": "CREATE TEMPORARY TABLE passing (id integer)",
    "notify": "NOTIFY somebody",
    "listen": "LISTEN somebody",
    "with hold": "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_prepared(site: Site, what: str) -> None:
    with (
        pytest.raises(NotSupportedError, match="PREPARE"),
        atomic(*TRIO),
    ):
        site.write(1)
        with connections["third"].cursor() as cursor:
            cursor.execute(REFUSED[what])
    assert stored(site) == [False] * 3
    commit(site)
    assert stored(site) == [True] * 3


def test_a_failed_transaction_is_not_prepared(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To `PREPARE` the server answers success then, with the tag of a rollback."""

    def fail() -> None:
        with contextlib.suppress(psycopg.Error):
            connections["third"].connection.execute("SELECT 1/0")

    with pytest.raises(TransactionManagementError), atomic(*TRIO):
        site.write(1)
        fail()
    for name in TRIO:
        decisions.identity_of(connect(name))
    monkeypatch.setattr(committing, "require_sound", lambda parts: None)
    monkeypatch.setattr("shoal.transactions.parts.Part.was_seen_to_write", True)
    with (
        pytest.raises(InternalError, match="'third' has answered ROLLBACK to PREPARE"),
        atomic(*TRIO),
    ):
        site.write(1)
        fail()
    assert stored(site) == [False] * 3


@pytest.mark.parametrize("alias", TRIO)
def test_a_deferred_constraint(site: Site, alias: str) -> None:
    """Checked at the end: by those who prepare then, and by home in its commit."""
    ask(
        alias,
        "CREATE TABLE child (id integer REFERENCES note (id) DEFERRABLE "
        "INITIALLY DEFERRED)",
    )
    try:
        with pytest.raises(IntegrityError), atomic(*TRIO):
            site.write(1)
            with connections[alias].cursor() as cursor:
                cursor.execute("INSERT INTO child VALUES (77)")
        assert stored(site) == [False] * 3
        commit(site)
        assert stored(site) == [True] * 3
    finally:
        ask(alias, "DROP TABLE child")


@pytest.mark.parametrize("alias", TRIO)
def test_a_serialization_failure(site: Site, alias: str) -> None:
    ask(alias, "INSERT INTO note VALUES (50, ''), (51, '')")
    with pytest.raises(OperationalError, match="could not serialize"), atomic(*TRIO):
        with connections[alias].cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            cursor.execute("SELECT * FROM note")
            other: Any = open_apart(alias)
            with other.cursor() as apart:
                apart.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
                apart.execute("SELECT * FROM note")
                apart.execute("UPDATE note SET text = 'x' WHERE id = 50")
                cursor.execute("UPDATE note SET text = 'y' WHERE id = 51")
                apart.execute("COMMIT")
            close(other)
        for name in TRIO:
            with connections[name].cursor() as cursor:
                cursor.execute("INSERT INTO note VALUES (1, '')")
    assert [ask(name, "SELECT 1 FROM note WHERE id = 1") for name in TRIO] == [[]] * 3


@pytest.mark.parametrize("written", [TRIO[1:2], TRIO[1:]])
def test_a_server_that_was_only_locked_is_locked_until_the_others_have_committed(
    site: Site, written: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    leave = Part.leave

    def watched(part: Part) -> None:
        if part.alias == "left":
            held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            seen.append(ask("left", held))
            seen.extend(ask(name, "SELECT max(id) FROM note") for name in written)
        leave(part)

    monkeypatch.setattr(Part, "leave", watched)
    with atomic(*TRIO):
        with connections["left"].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(1)")
        site.write(1, *written)
    assert seen == [[(1,)]] * (1 + len(written))
    assert prepared() == []


def test_a_server_that_was_only_read_and_is_lost_fails_no_unit_that_has_committed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = Part.leave

    def lost(part: Part) -> None:
        if part.alias == "left":
            asked = "SELECT pg_terminate_backend({}, 30000)"
            ask("left", asked.format(part.connection.connection.info.backend_pid))
        leave(part)

    monkeypatch.setattr(Part, "leave", lost)
    with atomic(*TRIO):
        with connections["left"].cursor() as cursor:
            cursor.execute("SELECT 1")
        site.write(1, *TRIO[1:])
    assert stored(site) == [False, True, True]


def test_a_cursor_on_the_server_is_open(site: Site) -> None:
    with atomic(*TRIO):
        site.write(1)
        with connections["third"].chunked_cursor() as cursor:
            cursor.execute("SELECT * FROM note")
            cursor.fetchone()
            with atomic(*TRIO):
                site.write(2)
    assert ask("third", "SELECT count(*) FROM note") == [(3,)]
    with connections["third"].cursor() as kept, atomic(*TRIO):
        site.write(3)
        kept.execute("DECLARE open_cursor CURSOR FOR SELECT * FROM note")
    assert stored(site, 3) == [True] * 3


@on_both
@pytest.mark.parametrize("alias", TRIO)
def test_a_connection_that_is_closed_within(site: Site, alias: str) -> None:
    """As in Django's own block, all is rolled back."""
    with contextlib.suppress(Error), atomic(*TRIO):
        site.write(1)
        connections[alias].close()
    assert stored(site) == [False] * 3
    commit(site)
    assert stored(site) == [True] * 3


@on_both
def test_a_hook_that_raises(site: Site) -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop), atomic(*TRIO):
        site.write(1)
        transaction.on_commit(stop, using="third")
    assert stored(site) == [True] * 3


# Names.


@on_both
def test_a_name_that_somebody_has(
    site: Site, site_kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = uuid.uuid4()
    gtrid, bqual = f"shoal|{fixed.hex}", f"1|{tables.create('left')}|left"
    if site_kind == "mariadb":
        xid = f"'{gtrid}','{bqual}'"
        send_all("right", *xa(xid))
        undo = f"XA ROLLBACK {xid}"
    else:
        gid = f"{gtrid}|{bqual}"
        send_all("right", "BEGIN", f"PREPARE TRANSACTION '{gid}'")
        undo = f"ROLLBACK PREPARED '{gid}'"
    monkeypatch.setattr(uuid, "uuid4", lambda: fixed)
    with pytest.raises(DatabaseError):
        commit(site)
    assert stored(site) == [False] * 3
    assert len(prepared()) == 1
    monkeypatch.undo()
    send_all("right", undo)
    commit(site)
    assert stored(site) == [True] * 3


def xa(xid: str) -> tuple[str, ...]:
    row = "INSERT INTO note VALUES (999, '')"
    return f"XA START {xid}", row, f"XA END {xid}", f"XA PREPARE {xid}"


def send_all(alias: str, *statements: str) -> None:
    connection: Any = open_apart(alias)
    connection.settings_dict["AUTOCOMMIT"] = True
    connection.connect()
    for sql in statements:
        until_gone(lambda sql=sql: send(connection, sql))
    close(connection)


def until_gone(run: Callable[[], None]) -> None:
    """Of MariaDB's, others may finish it once its own session has ended."""
    end = time.monotonic() + 30
    while True:
        try:
            return run()
        except Error as error:
            if "XAER_NOTA" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)


@on_both
@pytest.mark.parametrize("gid", ["mine", "shoal", "shoal|", "shoal|mine|1|2|3"])
def test_an_operator_s_own_is_left_alone(site: Site, site_kind: str, gid: str) -> None:
    if site_kind == "mariadb":
        send_all("right", *xa(f"'{gid}'"))
        undo = f"XA ROLLBACK '{gid}'"
    else:
        send_all("right", "BEGIN", f"PREPARE TRANSACTION '{gid}'")
        undo = f"ROLLBACK PREPARED '{gid}'"
    site.leave_in_doubt(is_decided=True)
    recovery = recover()
    assert [one.fate for one in recovery.found] == ["committed"] * 2
    assert prepared() == [gid]
    with Reach() as reach:
        assert look(reach, primaries()) == []
    send_all("right", undo)


# Clocks, and many at once.


def test_clocks_that_jump(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """No clock has a say; the rows of `leave_in_doubt` are from 1970, and 2262."""
    for is_decided in (True, False):
        for name in ("time", "time_ns"):
            monkeypatch.setattr(time, name, lambda: random.randrange(0, 10**10))
        units = site.leave_in_doubt(4, is_decided=is_decided)
        number = 1 if is_decided else 2
        commit(site, number)
        recovery = recover()
        monkeypatch.undo()
        fates = {one.fate for one in recovery.found}
        assert fates == {"committed" if is_decided else "rolled back"}
        assert stored(site, number) == [True] * 3
        for unit in units:
            sql = f"SELECT count(*) FROM note WHERE id = {number_of(unit)}"
            assert {ask(name, sql)[0][0] for name in TRIO[1:]} == {int(is_decided)}


@on_both
@pytest.mark.parametrize("is_decided", [True, False])
@pytest.mark.parametrize("count", [2, 8])
def test_several_recover_at_once(site: Site, count: int, is_decided: bool) -> None:
    units = site.leave_in_doubt(6, is_decided=is_decided)
    found: list[Recovery] = []
    in_threads(count, lambda _: found.append(recover(wait=30)))
    for one in found:
        assert one.left == []
        assert one.down == {}
    for unit in units:
        sql = f"SELECT count(*) FROM note WHERE id = {number_of(unit)}"
        assert {ask(name, sql)[0][0] for name in TRIO[1:]} == {int(is_decided)}


def in_threads(count: int, work: Callable[[int], Any]) -> None:
    """Run it in so many threads at once; raise what any of them raises."""
    raised: list[BaseException] = []
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            barrier.wait(30)
            work(number)
        except BaseException as error:
            raised.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if raised:
        raise raised[0]


@on_both
def test_recover_beside_commits_in_flight(site: Site) -> None:
    """None of them fails for it, and none is undone."""
    ended = threading.Event()

    def work(number: int) -> None:
        if number < 2:
            while not ended.is_set():
                recovery = recover(wait=2)
                assert recovery.down == {}
            return
        try:
            for row in range(number * 100, number * 100 + 15):
                with atomic(*TRIO):
                    for name in TRIO:
                        with connections[name].cursor() as cursor:
                            cursor.execute("INSERT INTO note VALUES (%s, '')", [row])
        finally:
            running.remove(number)
            if not running:
                ended.set()

    running = list(range(2, 6))
    in_threads(6, work)
    recovery = recover()
    assert recovery.left == []
    assert {ask(name, "SELECT count(*) FROM note")[0][0] for name in TRIO} == {61}


@on_both
def test_sixteen_threads(site: Site) -> None:
    def work(number: int) -> None:
        for row in range(number * 100 + 1, number * 100 + 4):
            with atomic(*TRIO):
                for name in TRIO:
                    with connections[name].cursor() as cursor:
                        cursor.execute("INSERT INTO note VALUES (%s, '')", [row])

    in_threads(16, work)
    assert {ask(name, "SELECT count(*) FROM note")[0][0] for name in TRIO} == {49}


# Interrupted.


class Interrupted:
    """Raises Ctrl-C in the place of a call, before it or after it."""

    def __init__(self, real: Callable[..., Any], *, when: str, matches: str) -> None:
        self._real, self._when, self._matches = real, when, matches
        self.is_over = False

    def __call__(self, *args: Any) -> Any:
        mine = self._matches in repr(args) and not self.is_over
        self.is_over |= mine
        if mine and self._when == "before":
            raise KeyboardInterrupt
        result = self._real(*args)
        if mine:
            raise KeyboardInterrupt
        return result


@contextlib.contextmanager
def nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail if what may take a minute to settle has taken its time."""
    monkeypatch.setattr(committing, "SETTLE_WITHIN", 60.0)
    began = time.monotonic()
    try:
        yield
    finally:
        assert time.monotonic() - began < 30


@on_both
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("matches", ["PREPARE", "COMMIT", "commit"])
def test_ctrl_c(
    site: Site,
    site_kind: str,
    monkeypatch: pytest.MonkeyPatch,
    matches: str,
    when: str,
) -> None:
    """Whenever it comes, in this thread or another: all or nothing."""
    if matches == "commit":
        connections["left"].ensure_connection()
        place: Any = connections["left"]
        interrupted = Interrupted(place._commit, when=when, matches="")
        monkeypatch.setattr(place, "_commit", interrupted)
    else:
        driver = "mysqlclient" if site_kind == "mariadb" else "psycopg"
        real = wires._POSTS[driver]
        # Before a statement is sent, and before its answer is read.
        interrupted = Interrupted(real, when=when, matches=matches)
        monkeypatch.setitem(wires._POSTS, driver, interrupted)
    with pytest.raises((KeyboardInterrupt, Error)), nobody_is_waited_for(monkeypatch):
        commit(site)
    assert interrupted.is_over
    monkeypatch.undo()
    for name in TRIO:
        assert not connections[name].in_atomic_block
    until_all_have_ended()
    recover()
    assert len(set(stored(site))) == 1
    if matches == "COMMIT":
        assert stored(site) == [True] * 3
    if matches == "PREPARE":
        assert stored(site) == [False] * 3
    commit(site, 2)
    assert stored(site, 2) == [True] * 3


class TimeIsOver(Exception):
    """What a handler of SIGALRM raises, such as that of a worker of Celery's."""


@on_both
@pytest.mark.parametrize(
    ("place", "commits"),
    [
        ("_left_to_commit", False),
        ("_prepare", False),
        ("_decide", False),
        ("_finish", True),
        ("_leave_read", True),
    ],
)
def test_what_a_signal_raises_between_two_steps(
    site: Site, monkeypatch: pytest.MonkeyPatch, place: str, commits: bool
) -> None:
    """Nothing is open any more, in which later writes would be lost."""

    def stop(*args: Any, **kwargs: Any) -> None:
        raise TimeIsOver

    monkeypatch.setattr(committing, place, stop)
    with pytest.raises(TimeIsOver):
        commit(site)
    monkeypatch.undo()
    for name in TRIO:
        assert not connections[name].in_atomic_block
        assert connections[name].connection is None or connections[name].autocommit
    recovery = recover()
    assert recovery.left == []
    assert stored(site) == [commits] * 3
    commit(site, 2)
    assert stored(site, 2) == [True] * 3


def test_what_a_signal_raises_at_the_end_of_what_was_only_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django raises another error over it, of the transaction that is still open."""

    def stop() -> None:
        raise TimeIsOver

    def work() -> None:
        with atomic(*TRIO):
            read("third")
            site.write(1, "left", "right")
            monkeypatch.setattr(connections["third"], "commit", stop)

    with pytest.raises(Error) as raised:
        work()
    monkeypatch.undo()
    seen = raised.value.__cause__
    assert seen is not None
    assert isinstance(seen.__context__, TimeIsOver)
    assert stored(site) == [True, True, False]
    assert not connections["third"].in_atomic_block
    site.write(1, "third")
    assert stored(site) == [True] * 3


@on_both
@pytest.mark.parametrize("alias", TRIO)
def test_what_a_signal_raises_just_before_a_rollback(
    site: Site, monkeypatch: pytest.MonkeyPatch, alias: str
) -> None:
    """MariaDB and MySQL commit what is open where autocommit is turned on again."""

    def stop() -> None:
        raise TimeIsOver

    def work() -> None:
        with atomic(*TRIO):
            site.write(1)
            monkeypatch.setattr(connections[alias], "rollback", stop)
            raise RuntimeError

    with pytest.raises((RuntimeError, TimeIsOver)):
        work()
    monkeypatch.undo()
    assert stored(site) == [False] * 3
    commit(site, 2)
    assert stored(site, 2) == [True] * 3


def test_what_a_signal_raises_over_a_database_in_memory(
    monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any
) -> None:
    def stop(*args: Any) -> None:
        raise TimeIsOver

    memory = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    with django_db_blocker.unblock(), clusters({"memory": memory}):
        write("memory", 1)
        monkeypatch.setattr(committing, "_left_to_commit", stop)
        monkeypatch.setattr(committing, "roll_back", stop)
        with pytest.raises(TimeIsOver), atomic("memory"):
            write("memory", 2)
        monkeypatch.undo()
        assert connections["memory"].get_autocommit()
        assert read("memory") == [1]
        with atomic("memory"):
            write("memory", 3)
        assert read("memory") == [1, 3]


@pytest.mark.parametrize("is_entered", [True, False])
def test_what_a_signal_raises_at_the_end_of_an_inner_block(
    site: Site, monkeypatch: pytest.MonkeyPatch, is_entered: bool
) -> None:
    def stop(*args: Any) -> None:
        raise TimeIsOver

    def work() -> None:
        with atomic(*TRIO):
            site.write(1)
            with atomic(*TRIO):
                site.write(2)
                if is_entered:
                    last = connections[TRIO[-1]]
                    monkeypatch.setattr(last, "savepoint_commit", stop)
                else:
                    monkeypatch.setattr(Level, "leave", stop)

    with pytest.raises(TimeIsOver):
        work()
    monkeypatch.undo()
    for name in TRIO:
        assert not connections[name].in_atomic_block
    assert stored(site) == [False] * 3
    commit(site)
    assert stored(site) == [True] * 3


def test_ctrl_c_just_before_the_decision(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then Django raises another error, of the transaction that is still open."""

    def stop() -> None:
        raise KeyboardInterrupt

    connections["left"].ensure_connection()
    monkeypatch.setattr(connections["left"], "commit", stop)
    with pytest.raises((KeyboardInterrupt, Error)), nobody_is_waited_for(monkeypatch):
        commit(site)
    assert stored(site) == [False] * 3


# Settings that change.


def test_a_home_server_that_cannot_be_reached(site: Site) -> None:
    site.leave_in_doubt(is_decided=True)
    kill(site.servers["left"])
    before = prepared(*TRIO[1:])
    recovery = recover()
    assert [one.fate for one in recovery.found] == ["unreachable"] * 2
    assert "'left' decides it, and 'left' cannot be reached" in recovery.left[0].why
    assert list(recovery.down) == ["left"]
    done = site.command("recover")
    assert done.returncode == 1
    assert "2 prepared transactions left in doubt; 'left' could not be asked" in (
        " ".join(done.stderr.split())
    )
    assert prepared(*TRIO[1:]) == before
    site.servers["left"].start()
    assert [one.fate for one in recover().found] == ["committed"] * 2


@contextlib.contextmanager
def project(site: Site, **databases: str) -> Iterator[None]:
    """Let this process be of another project for a block: aliases of the site's."""
    entries = {alias: site.databases[name] for alias, name in databases.items()}
    from django.test import override_settings

    from tests.integration.publishing.conftest import aliases

    known = connections.settings
    for alias in TRIO:
        connections[alias].close()
        del connections[alias]
    kept = {alias: known.pop(alias) for alias in TRIO}
    try:
        with (
            override_settings(SHOAL={"CLUSTERS": {name: {} for name in entries}}),
            aliases(entries),
        ):
            yield
    finally:
        known.update(kept)
        connections.configure_settings(known)


def test_a_server_that_is_no_more_in_the_settings(site: Site) -> None:
    """Its decision is kept until it is back."""
    units = site.leave_in_doubt(is_decided=True)
    with project(site, left="left", right="right"):
        for _ in range(2):
            assert {one.fate for one in recover().found} <= {"committed"}
    assert len(prepared()) == len(decided()) == 1
    assert [one.fate for one in recover().found] == ["committed"]
    sql = f"SELECT count(*) FROM note WHERE id = {number_of(units[0])}"
    assert ask("third", sql)[0][0] == 1


def test_two_projects_that_share_a_home(site: Site) -> None:
    """What one calls `right` is another database in the other."""
    site.leave_in_doubt(is_decided=True)
    with project(site, left="left", third="third"):
        assert [one.fate for one in recover().found] == ["committed"]
    with project(site, left="left", right="third", third="third"):
        for _ in range(2):
            recovery = recover()
            assert recovery.found == ()
            assert recovery.down == {}
    assert [one.fate for one in recover().found] == ["committed"]


def test_two_projects_that_share_another(site: Site) -> None:
    """One's `left` is not the other's, and does not decide for it."""
    site.leave_in_doubt(is_decided=True)
    before = prepared()
    with project(site, left="right", third="third"):
        recovery = recover()
        assert [one.fate for one in recovery.found] == ["unknown"] * 2
        assert "no database of this project is the 'left' that decides it" in (
            recovery.left[0].why
        )
    assert prepared() == before
    assert [one.fate for one in recover().found] == ["committed"] * 2


def test_a_home_database_under_another_alias(site: Site) -> None:
    site.leave_in_doubt(is_decided=True)
    with project(site, west="left", east="right", north="third"):
        recovery = recover()
        assert [one.fate for one in recovery.found] == ["committed"] * 2
        assert recovery.left == []
    assert recover() == Recovery()


def test_aliases_that_were_exchanged(site: Site) -> None:
    site.leave_in_doubt(is_decided=True)
    with project(site, left="right", right="third", third="left"):
        assert [one.fate for one in recover().found] == ["committed"] * 2
    assert recover() == Recovery()
