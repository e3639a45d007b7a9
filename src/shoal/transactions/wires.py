"""
Takes work for several servers, lets each ask its own before any answer is waited for.

A piece of work is a generator, which pauses where a statement is on its way. psycopg 3
and mysqlclient can send without waiting: then no thread takes part, of which the
hand-over alone takes as long as a short statement. Other drivers are waited for in
threads.
"""

import contextlib
from collections.abc import Callable, Generator, Sequence
from functools import cache, partial
from typing import Any, TypeVar

from django.db import Error, InternalError

from shoal.sharding.side_by_side import at_once

T = TypeVar("T")
Work = Generator[None, None, T]


def sent(connection: Any, sql: str) -> Work[Any]:
    """
    Run a statement past Django's cursor; return the first value of its answer, if any.

    PostgreSQL answers `PREPARE TRANSACTION` in a broken transaction with success and
    the tag `ROLLBACK`, so the tag is looked at.
    """
    post = _POSTS.get(_driver(connection), _run)
    try:
        with connection.wrap_database_errors:
            take = post(connection.connection, sql)
        if post is not _run:
            yield
        with connection.wrap_database_errors:
            tag, value = take()
    except (Error, AttributeError):
        raise
    except BaseException:
        # Ctrl-C, or what else a signal raises. The answer would be taken for that to
        # the next statement.
        connection.close()
        raise
    last = sql.rpartition(";")[2].lstrip()
    if tag is not None and not last.startswith(tag.rstrip("0123456789 ")):
        raise InternalError(
            f"The server {connection.alias!r} has answered {tag} to {sql}."
        )
    return value


def sent_in_turn(connection: Any, sqls: Sequence[str]) -> Work[None]:
    """Run statements that answer nothing, in one round trip if the driver can."""
    options = connection.settings_dict["OPTIONS"]
    if _driver(connection) == "mysqlclient" and options.get("multi_statements", True):
        sqls = ["; ".join(sqls)]
    for sql in sqls:
        yield from sent(connection, sql)


def send(connection: Any, sql: str) -> Any:
    """Run a statement, and wait for its answer. In any thread."""
    return done(sent(connection, sql))


def done(work: Work[T]) -> T:
    """Do the work without a pause."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: T = end.value
            return found


def all_at_once(
    works: Sequence[tuple[Any, Work[None]]],
) -> list[BaseException | None]:
    """
    Do each to its end, by its connection; return what each has raised.

    Nobody is told to stop: not by an error of another, nor by Ctrl-C, which is among
    what is returned.
    """
    raised: list[BaseException | None] = [None] * len(works)

    def goes_on(index: int) -> bool:
        try:
            next(works[index][1])
        except StopIteration:
            return False
        except BaseException as error:
            raised[index] = error
            return False
        return True

    others = [n for n, (one, _) in enumerate(works) if _needs_thread(one)]
    waiting = [n for n in range(len(works)) if n not in others and goes_on(n)]
    if others:
        found = at_once([_ending(works[n][1]) for n in others])
        for n, error in zip(others, found, strict=True):
            raised[n] = error
    while waiting:
        waiting = [*filter(goes_on, waiting)]
    return raised


def _ending(work: Work[None]) -> Callable[[], None]:
    return lambda: done(work)


def _driver(connection: Any) -> str:
    wire = connection.connection
    if hasattr(wire, "pgconn"):
        return "psycopg"
    return "mysqlclient" if hasattr(wire, "read_query_result") else ""


def _needs_thread(connection: Any) -> bool:
    return connection.vendor != "sqlite" and not _driver(connection)


Answer = tuple[str | None, Any]
"""What PostgreSQL calls the last statement, and the first value of its first row."""


def _post_psycopg(wire: Any, sql: str) -> Callable[[], Answer]:
    wire.pgconn.send_query(sql.encode())
    return partial(_take_from_psycopg, wire)


def _take_from_psycopg(wire: Any) -> Answer:
    psycopg = _psycopg()
    # As psycopg's own cursors wait, so that Ctrl-C is heard.
    result = wire.wait(psycopg.generators.execute(wire.pgconn))[-1]
    if result.status == psycopg.pq.ExecStatus.TUPLES_OK:
        return None, result.get_value(0, 0)
    if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
        # After a failed one, no further statement is answered.
        raise psycopg.errors.error_from_result(result)
    return result.command_status.decode(), None


@cache
def _psycopg() -> Any:
    import psycopg
    import psycopg.generators

    return psycopg


def _post_mysqlclient(wire: Any, sql: str) -> Callable[[], Answer]:
    wire.send_query(sql.encode())
    return partial(_take_from_mysqlclient, wire)


def _take_from_mysqlclient(wire: Any) -> Answer:
    wire.read_query_result()
    rows = wire.store_result()
    while wire.next_result() == 0:
        # Of several statements; raises what a later one has met.
        wire.store_result()
    return None, rows.fetch_row()[0][0] if rows is not None else None


def _run(wire: Any, sql: str) -> Callable[[], Answer]:
    with contextlib.closing(wire.cursor()) as cursor:
        cursor.execute(sql)
        if cursor.description:
            answer = None, cursor.fetchone()[0]
        else:
            answer = getattr(cursor, "statusmessage", None), None
    return lambda: answer


_POSTS: dict[str, Callable[[Any, str], Callable[[], Answer]]] = {
    "psycopg": _post_psycopg,
    "mysqlclient": _post_mysqlclient,
}
