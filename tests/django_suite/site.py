"""Takes a vendor, gives where Django's tests run: the databases of each worker."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from shoal.lab import Lab, Postgres

Vendor = Literal["sqlite", "postgresql"]
VARIABLE = "SHOAL_DJANGO_SUITE"
SHARDED = {"ENGINE": "shoal.backends.sharded"}
SHARDS = ("s0", "s1", "s2", "s3")
FAST = {
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "max_connections": "200",
}
"""Nothing of these servers has to survive a crash."""
STAND_INS = """
    create function digest(value text, kind text) returns bytea language sql immutable
    return case lower(kind)
        when 'sha224' then sha224(value::bytea) when 'sha256' then sha256(value::bytea)
        when 'sha384' then sha384(value::bytea) when 'sha512' then sha512(value::bytea)
    end;
    insert into pg_extension values (
        65000, 'pgcrypto', 10, 'public'::regnamespace, false, '1.3', null, null);
    create collation "sv-x-icu" (provider = libc, locale = 'C');
"""
"""What tables and migrations of the tests ask for, and the lab's PostgreSQL has not:
an extension and ICU. Good for all but SHA1 and the order of Swedish names."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """The databases of one worker, as settings.py takes them."""

    databases: Mapping[str, Mapping[str, Any]]
    plain: bool
    """Whether `default` is one ordinary database."""
    gather: Literal["allow", "error"] = "allow"
    """What the sharded alias does with a query that no cheaper way answers."""

    def variable(self) -> dict[str, str]:
        """Return the environment variable that carries this to runtests.py."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def of_environment(cls) -> Self:
        return cls(**json.loads(os.environ[VARIABLE]))


def site(aliases: Mapping[str, Mapping[str, Any]], *, plain: bool) -> Site:
    """Return the site whose single databases are `aliases`."""
    own = {} if plain else {"default": SHARDED}
    return Site(databases={**own, **aliases}, plain=plain)


def aliases_of(*, plain: bool) -> tuple[str, ...]:
    """Return the aliases that are a database: not the sharded one."""
    return ("default", "other") if plain else (*SHARDS, "other")


@contextlib.contextmanager
def sites(vendor: Vendor, *, plain: bool, workers: int) -> Iterator[list[Site]]:
    """Give each worker databases of its own; their servers run as long as the block."""
    wanted = aliases_of(plain=plain)
    if vendor == "sqlite":
        # Without a name: the test databases are in memory.
        in_memory = {
            alias: {"ENGINE": "django.db.backends.sqlite3"} for alias in wanted
        }
        yield [site(in_memory, plain=plain)] * workers
        return
    with Lab(Postgres("suite", settings=FAST)) as lab:
        lab["suite"].sql(STAND_INS)
        yield [
            site(_databases(lab, wanted, worker), plain=plain)
            for worker in range(workers)
        ]


def _databases(
    lab: Lab, wanted: tuple[str, ...], worker: int
) -> dict[str, dict[str, Any]]:
    """Make empty databases on the one server; Django makes its own beside them."""
    names = {alias: f"w{worker}_{alias}" for alias in wanted}
    for name in names.values():
        lab["suite"].ask(f'create database "{name}" strategy file_copy')
    there = {**lab["suite"].alias, "TEST": {"TEMPLATE": lab["suite"].database}}
    return {alias: {**there, "NAME": name} for alias, name in names.items()}
