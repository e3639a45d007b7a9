"""Takes SQL, gives the tables that it writes. Pure; reads the statement's head only."""

import functools
import re

_SKIP = r"(?:\s|\(|/\*.*?\*/|--[^\n]*(?:\n|$))*"
_NAME = r'(?:"(?:[^"]|"")+"|`[^`]+`|[\w$]+)'
_TABLE = rf"(?P<table>{_NAME}(?:\s*\.\s*{_NAME})*)"
_VERB = (
    r"(?:INSERT(?:\s+(?:LOW_PRIORITY|DELAYED|HIGH_PRIORITY|IGNORE|OR\s+\w+))*\s+INTO"
    r"|REPLACE(?:\s+(?:LOW_PRIORITY|DELAYED))?\s+INTO"
    r"|MERGE\s+INTO(?:\s+ONLY)?"
    r"|UPDATE(?:\s+(?:LOW_PRIORITY|IGNORE|ONLY|OR\s+\w+))*"
    r"|DELETE(?:\s+(?:LOW_PRIORITY|QUICK|IGNORE))*\s+FROM(?:\s+ONLY)?"
    r"|TRUNCATE(?:\s+TABLE)?(?:\s+ONLY)?)"
)
_FLAGS = re.IGNORECASE | re.DOTALL
_FIRST_WORD = re.compile(rf"{_SKIP}(\w+)", _FLAGS)
_WRITE = re.compile(rf"{_SKIP}{_VERB}\s+{_TABLE}", _FLAGS)
_COPY_IN = re.compile(rf"{_SKIP}COPY\s+{_TABLE}\s*(?:\([^)]*\)\s*)?FROM\b", _FLAGS)
_INNER_WRITE = re.compile(rf"\b{_VERB}\s+{_TABLE}", _FLAGS)
_ONE_TABLE = re.compile(rf",\s*(?:ONLY\s+)?{_TABLE}", _FLAGS)
_NEXT_TABLES = re.compile(
    rf"(?:\s*\*?\s*,\s*(?:ONLY\s+)?{_NAME}(?:\s*\.\s*{_NAME})*)+", _FLAGS
)
_LITERALS = re.compile(r"'(?:[^']|'')*'", re.DOTALL)

_WRITING_WORDS = frozenset(
    {"insert", "update", "delete", "merge", "replace", "truncate", "copy", "with"}
)
_KEPT_LENGTH = 4096


def written_tables(sql: str) -> tuple[str, ...]:
    """
    Return the tables that a statement writes, as it names them; empty if none.

    Sees `INSERT`, `UPDATE`, `DELETE`, `MERGE`, `REPLACE`, `TRUNCATE`, `COPY ... FROM`
    and those of them inside `WITH` or behind `EXPLAIN ANALYZE`. Does not see a
    function that writes.
    """
    if sql.startswith("SELECT"):
        return ()
    return _kept(sql) if len(sql) <= _KEPT_LENGTH else _parse(sql)


def _parse(sql: str) -> tuple[str, ...]:
    first = _FIRST_WORD.match(sql)
    word = first.group(1).lower() if first else ""
    if word == "explain":
        analyze = re.search(r"\banalyze\b", sql, re.IGNORECASE)
        return _inner(sql) if analyze else ()
    if word not in _WRITING_WORDS:
        return ()
    if word == "with":
        return _inner(sql)
    if word == "truncate":
        return _truncated(sql)
    found = (_COPY_IN if word == "copy" else _WRITE).match(sql)
    return (found.group("table"),) if found else ()


def _truncated(sql: str) -> tuple[str, ...]:
    found = _WRITE.match(sql)
    if not found:
        return ()
    others = _NEXT_TABLES.match(sql, found.end())
    more = _ONE_TABLE.finditer(others.group()) if others else ()
    return (found.group("table"), *(table.group("table") for table in more))


def _inner(sql: str) -> tuple[str, ...]:
    """Find writes anywhere, but for `FOR UPDATE` and `ON CONFLICT DO UPDATE SET`."""
    bare = _LITERALS.sub("''", sql)
    tables = (
        found.group("table")
        for found in _INNER_WRITE.finditer(bare)
        if not re.search(r"\b(?:FOR|DO|NO\s+KEY)\s+$", bare[: found.start()], re.I)
    )
    return tuple(dict.fromkeys(tables))


_kept = functools.lru_cache(maxsize=1024)(_parse)
