"""Takes SQL, gives the tables that it writes, and whether it may write at all. Pure."""

import functools
import re

from shoal.routing.functions import HARMLESS, HARMLESS_BEGINNINGS

_FLAGS = re.IGNORECASE | re.DOTALL
_SKIP = r"(?:\s|\(|/\*.*?\*/|--[^\n]*(?:\n|$))*"
_NAME = r'(?:"(?:[^"]|"")+"|`[^`]+`|[\w$]+)'
_QUALIFIED = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_LIST = rf"{_QUALIFIED}(?:\s*\*?\s*,\s*(?:ONLY\s+)?{_QUALIFIED})*"
_PRIORITY = r"(?:\s+(?:LOW_PRIORITY|DELAYED|HIGH_PRIORITY|QUICK|IGNORE|OR\s+\w+|ONLY))*"
# MySQL leaves out INTO, and names the tables of a joined DELETE before FROM.
_WRITE = (
    rf"(?:(?:INSERT|REPLACE|MERGE){_PRIORITY}(?:\s+INTO)?(?:\s+ONLY)?"
    rf"|UPDATE{_PRIORITY}"
    rf"|DELETE{_PRIORITY}\s+FROM(?:\s+ONLY)?"
    rf"|DELETE{_PRIORITY}(?=\s+{_LIST}\s+FROM\b)"
    r"|TRUNCATE(?:\s+TABLE)?(?:\s+ONLY)?"
    r"|LOAD\s+(?:DATA|XML)\b.*?\bINTO\s+TABLE)"
    rf"\s+(?P<tables>{_LIST})"
)
_FIRST_WORD = re.compile(rf"{_SKIP}(\w+)", _FLAGS)
_FIRST_WRITE = re.compile(rf"{_SKIP}{_WRITE}", _FLAGS)
_INNER_WRITE = re.compile(rf"(?:^|[()])\s*{_WRITE}", _FLAGS)
_COPY_IN = re.compile(
    rf"{_SKIP}COPY\s+(?P<tables>{_QUALIFIED})\s*(?:\([^)]*\)\s*)?FROM\b", _FLAGS
)
_COPY_OUT = re.compile(rf"{_SKIP}COPY\s*\((?P<query>.*)\)\s*TO\s+STDOUT\b[^;]*", _FLAGS)
_EXPLAIN = re.compile(
    rf"{_SKIP}EXPLAIN\s*(?P<how>\([^)]*\)|(?:\s*\b(?:ANALYZE|VERBOSE)\b)*)", _FLAGS
)
_NOT_CODE = re.compile(
    r"'(?:[^'\\]|''|\\.)*'|/\*.*?\*/|--[^\n]*|(\$\w*\$).*?\1", _FLAGS
)
_ONE_OF_LIST = re.compile(rf"(?:ONLY\s+)?({_QUALIFIED})", _FLAGS)

_READING_WORDS = frozenset(
    {"begin", "close", "commit", "deallocate", "declare", "desc", "describe"}
    | {"discard", "end", "explain", "fetch", "lock", "move", "prepare", "release"}
    | {"reset", "rollback", "savepoint", "select", "set", "show", "start", "table"}
    | {"use", "values", "with"}
)
"""With which a statement begins that writes nothing, unless a function in it does."""
_CALL = re.compile(rf"({_QUALIFIED})\s*\(", _FLAGS)
_QUOTED = re.compile(r'"[^"]*"|`[^`]*`')
_LATER = re.compile(r";\s*\S|\bINTO\b|\bPREPARED\b", re.IGNORECASE)
_TRICKY = re.compile(
    r"""(?<!\\)\\(?:\\\\)*['"]"""
    r"""|/\*(?:(?!\*/).)*/\*|/\*M?!|--\S|\#[^\n]*['"][^\n]*\n"""
    r"""|"[^"']*'[^"]*"|`[^`']*'[^`]*`""",
    _FLAGS,
)
"""What servers read in several ways: a backslash in front of a quote, unless another
backslash takes it; comments inside comments, and those that only some servers take for
one; quotes inside quoted names. Nobody looks for the end of a text in that."""

_WRITING_WORDS = frozenset(
    {"insert", "update", "delete", "merge", "replace", "truncate", "load"}
)
_KEPT_LENGTH = 4096


def written_tables(sql: str) -> tuple[str, ...]:
    """
    Return the tables that a statement writes, as it names them; empty if none.

    Sees `INSERT`, `UPDATE`, `DELETE`, `MERGE`, `REPLACE`, `TRUNCATE`, `LOAD DATA`,
    `COPY ... FROM`, and those of them inside `WITH` or behind `EXPLAIN ANALYZE`. Does
    not see a function that writes, nor a second statement behind a semicolon.
    """
    if sql.startswith("SELECT"):
        return ()
    return _kept(sql) if len(sql) <= _KEPT_LENGTH else _parse(sql)


def may_write(sql: str) -> bool:
    """
    Say whether a statement may change what others read.

    Any statement but a query does, and so does a query that calls a function which is
    not known to be harmless: a function of the project may write whatever it likes.
    """
    return _kept_may(sql) if len(sql) <= _KEPT_LENGTH else _may(sql)


def _may(sql: str) -> bool:
    first = _FIRST_WORD.match(sql)
    if first is not None and first.group(1).lower() == "copy":
        out = _COPY_OUT.fullmatch(sql)
        return out is None or _may(out.group("query"))
    if first is None or first.group(1).lower() not in _READING_WORDS:
        return True
    if written_tables(sql) or _TRICKY.search(sql):
        return True
    code = _NOT_CODE.sub(" ", sql)
    if _LATER.search(_QUOTED.sub(" ", code)):
        return True
    return not all(_is_harmless(call) for call in _CALL.findall(code))


def _is_harmless(call: str) -> bool:
    name = call.lower().removeprefix("pg_catalog.")
    return name in HARMLESS or name.startswith(HARMLESS_BEGINNINGS)


def _parse(sql: str) -> tuple[str, ...]:
    first = _FIRST_WORD.match(sql)
    word = first.group(1).lower() if first else ""
    if word == "explain":
        return _explained(sql)
    if word == "with":
        return _inner(sql)
    if word == "copy":
        return _tables(_COPY_IN.match(sql))
    return _tables(_FIRST_WRITE.match(sql)) if word in _WRITING_WORDS else ()


def _explained(sql: str) -> tuple[str, ...]:
    found = _EXPLAIN.match(sql)
    if found is None or "analyze" not in found.group("how").lower():
        return ()
    return _parse(sql[found.end() :])


def _inner(sql: str) -> tuple[str, ...]:
    """Find writes at the beginning of any part of the statement."""
    code = _NOT_CODE.sub(" ", sql)
    tables = (table for m in _INNER_WRITE.finditer(code) for table in _tables(m))
    return tuple(dict.fromkeys(tables))


def _tables(found: re.Match[str] | None) -> tuple[str, ...]:
    return tuple(_ONE_OF_LIST.findall(found.group("tables"))) if found else ()


_kept = functools.lru_cache(maxsize=1024)(_parse)
_kept_may = functools.lru_cache(maxsize=1024)(_may)
