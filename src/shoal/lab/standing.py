"""
Takes the labs that the command line left running, gives what is known about them.

Each is a file in a directory that only its user may enter. The file is removed by
the lab's keeper, together with the lab.
"""

import contextlib
import json
import os
import shutil
import signal
import stat
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from shoal.errors import LabError
from shoal.lab import keeper
from shoal.lab.clients import Refused, Row, Unanswered, ask_mariadb, ask_postgres
from shoal.lab.lab import Lab
from shoal.lab.mariadb import ADMIN
from shoal.lab.server import USER, LabServer
from shoal.lab.tether import Tether

DOWN_WITHIN = 30.0
ASKED_WITHIN = 5.0
POSTGRES_READING = """
    select pg_is_in_recovery(), case when pg_is_in_recovery()
    then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end
"""
MARIADB_READING = """
    SELECT @@read_only, IF(@@read_only, @@gtid_slave_pos, @@gtid_binlog_pos)
"""


@dataclass(frozen=True, kw_only=True)
class StandingServer:
    """A server of a lab whose starter has gone."""

    name: str
    vendor: str
    version: str
    primary: str | None
    """The primary that it was started to follow."""
    pid: int
    client: str
    socket: str
    alias: dict[str, str] = field(repr=False)

    def reading(self) -> tuple[str, str] | None:
        """Return the server's role now and its position, None if it is down."""
        try:
            ((replica, position),) = self._ask()
        except (Refused, Unanswered):
            return None
        return ("replica" if replica else "primary"), str(position)

    def _ask(self) -> list[Row]:
        path = Path(self.socket)
        if self.vendor == "postgresql":
            return ask_postgres(
                path,
                user=USER,
                database="postgres",
                sql=POSTGRES_READING,
                timeout=ASKED_WITHIN,
            )
        return ask_mariadb(
            path,
            user=ADMIN,
            password=self.alias["PASSWORD"],
            database="mysql",
            sql=MARIADB_READING,
            timeout=ASKED_WITHIN,
        )


@dataclass(frozen=True, kw_only=True)
class StandingLab:
    """A lab that runs in the background."""

    name: str
    directory: str
    keeper: int
    servers: tuple[StandingServer, ...] = ()
    """None of them before all have started."""

    @property
    def alive(self) -> bool:
        return keeper.alive(Path(self.directory))

    @property
    def databases(self) -> dict[str, dict[str, str]]:
        return {server.name: server.alias for server in self.servers}


def stand(lab: Lab, name: str, tether: Tether) -> StandingLab:
    """Start `lab` under a name, so that others can see it and take it down."""
    path = _path(name)
    standing = StandingLab(
        name=name, directory=str(tether.directory), keeper=tether.keeper_pid
    )
    if not tether.claim(path, _text(standing)):
        raise LabError(
            f"A lab named {name!r} is up already.",
            hint="Take it down, or give this one another name with --name.",
        )
    lab.start(tether)
    standing = replace(standing, servers=tuple(map(_describe, lab)))
    tether.publish(path, _text(standing))
    return standing


def find(name: str) -> StandingLab | None:
    """Return the lab of this name, None if there is none."""
    try:
        return _read(_path(name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def find_all() -> list[StandingLab]:
    """Return all labs of this user, by name."""
    found = (find(path.stem) for path in sorted(_directory().glob("*.json")))
    return [lab for lab in found if lab]


def no_lab(name: str) -> LabError:
    """Return the error for a name that no lab has; it names those that are up."""
    others = ", ".join(lab.name for lab in find_all()) or "none"
    return LabError(
        f"No lab named {name!r} is up.",
        hint=f"Labs that are up: {others}. Start one with `python -m shoal.lab up`.",
    )


def take_down(name: str) -> StandingLab:
    """Stop the lab of this name and return when nothing of it is left."""
    lab = find(name)
    if lab is None:
        raise no_lab(name)
    if lab.alive:
        os.kill(lab.keeper, signal.SIGTERM)
        _await_end(lab)
    _clear(lab)
    return lab


def _await_end(lab: StandingLab) -> None:
    deadline = time.monotonic() + DOWN_WITHIN
    while lab.alive or Path(lab.directory).exists():
        if time.monotonic() > deadline:
            raise LabError(
                f"The lab {lab.name!r} is still up after {DOWN_WITHIN:g} s.",
                hint=f"See what holds process {lab.keeper} up.",
            )
        time.sleep(0.02)


def _clear(lab: StandingLab) -> None:
    """Remove what a lab has left whose keeper was killed."""
    shutil.rmtree(lab.directory, ignore_errors=True)
    path = _path(lab.name)
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def _describe(server: LabServer) -> StandingServer:
    return StandingServer(
        name=server.name,
        vendor=server.vendor,
        version=server.version,
        primary=server.primary,
        pid=server.pid,
        client=server.client,
        socket=str(server.socket_path),
        alias=server.alias,
    )


def _text(lab: StandingLab) -> str:
    return json.dumps(asdict(lab))


def _read(text: str) -> StandingLab:
    fields = json.loads(text)
    servers = tuple(StandingServer(**server) for server in fields.pop("servers"))
    return StandingLab(**fields, servers=servers)


def _path(name: str) -> Path:
    return _directory() / f"{name}.json"


def _directory() -> Path:
    """Return this user's directory, unless somebody else could have made it."""
    path = Path(tempfile.gettempdir()) / f"shoal-labs-{os.geteuid()}"
    try:
        found = path.lstat()
    except FileNotFoundError:
        return path
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    if not private or found.st_uid != os.geteuid():
        raise LabError(
            f"{str(path)!r} is not a directory of yours alone.",
            hint="Remove it, or set TMPDIR to a directory of your own.",
        )
    return path
