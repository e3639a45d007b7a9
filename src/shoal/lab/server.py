"""
Takes one server of a lab, gives what can be done with it whatever its vendor is.
"""

import contextlib
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from shoal.errors import LabError
from shoal.lab.clients import Refused, Row, Unanswered
from shoal.lab.log import essence
from shoal.lab.plan import Cluster
from shoal.lab.ports import HOST, check_socket, free_port
from shoal.lab.privileges import Account, give
from shoal.lab.processes import runs
from shoal.lab.tether import Tether

USER = "shoal"
READY_WITHIN = 60.0
GONE_WITHIN = 30.0
SQL_WITHIN = 60.0
STATEMENT_SHOWN = 200
PORT_ATTEMPTS = 8
PORT_TAKEN = "Address already in use"
DISK_FULL = re.compile(r"No space left on device|out of disk space|error 28\b")


class PortTaken(LabError):
    """Somebody took the port between choosing it and listening there."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the servers of one lab live."""

    tether: Tether
    password: str = field(repr=False)
    ports: set[int] = field(default_factory=set, repr=False)

    @property
    def user(self) -> Account | None:
        return self.tether.user

    @property
    def directory(self) -> Path:
        return self.tether.directory

    def new_port(self, instead_of: int = 0) -> int:
        port = free_port(self.ports)
        self.ports.discard(instead_of)
        self.ports.add(port)
        return port


class LabServer(ABC):
    """
    A real server that the lab runs.

    Start, stop, pause and promote it, and ask it with SQL. What it is asked to do
    has happened when the call returns.
    """

    vendor: ClassVar[str]
    maintenance: ClassVar[str]
    """The database that every server of this vendor has."""
    host = HOST

    def __init__(
        self,
        name: str,
        *,
        cluster: Cluster,
        site: Site,
        upstream: "LabServer | None" = None,
    ) -> None:
        self.name = name
        self.port = site.new_port()
        self.pid = 0
        self._cluster, self._site, self._upstream = cluster, site, upstream
        self._home = site.directory / name
        self.data_directory = self._home / "data"
        self.log_path = self._home / "server.log"
        self._prepare_log = self._home / "prepare.log"
        check_socket(self.socket_path)
        self._home.mkdir(mode=0o700)
        give(self._home, site.user)

    def __repr__(self) -> str:
        up = "up" if self.running else "down"
        return f"<LabServer {self.name!r}: {self.vendor} {self.role}, {up}>"

    @property
    def role(self) -> str:
        """Whether this is a "primary" or a "replica" now."""
        return "replica" if self._upstream else "primary"

    @property
    def primary(self) -> str | None:
        """The name of the primary that this replica follows."""
        return self._upstream.name if self._upstream else None

    @property
    def database(self) -> str:
        """The name of the database, which a replica shares with its primary."""
        return self._cluster.name

    @property
    def running(self) -> bool:
        return self.pid > 0 and runs(self.pid)

    @property
    def alias(self) -> dict[str, str]:
        """The entry of `DATABASES` that leads here."""
        return {
            "ENGINE": self._cluster.engine,
            "NAME": self.database,
            "USER": USER,
            "PASSWORD": self._site.password,
            "HOST": self.host,
            "PORT": str(self.port),
        }

    def sql(self, statement: str, *, timeout: float = SQL_WITHIN) -> list[Row]:
        """
        Run SQL as the superuser on a connection of its own, committed at once.

        Several statements give the rows of the last one that has any, as the
        driver's Python values.
        """
        return self._ask(statement, database=self.database, timeout=timeout)

    def ask(self, statement: str, *, timeout: float = SQL_WITHIN) -> list[Row]:
        """Run SQL as `sql` does, on a database that is there from the beginning."""
        return self._ask(statement, database=self.maintenance, timeout=timeout)

    def _ask(self, statement: str, *, database: str, timeout: float) -> list[Row]:
        try:
            return self._query(statement, database, timeout)
        except Refused as error:
            asked = f"It was asked: {statement[:STATEMENT_SHOWN]}"
            raise LabError(
                self._masked(f"Server {self.name!r} refused: {error}."),
                hint=self._more_space
                if DISK_FULL.search(str(error))
                else self._masked(asked),
            ) from error
        except Unanswered as error:
            up = "runs" if self.running else "is down"
            raise LabError(
                f"Server {self.name!r} {up} and did not answer: {error}.",
                hint=f"Start it with start(), or look into {str(self.log_path)!r}.",
            ) from error

    def start(self) -> None:
        """Start again, on the same port with the same data; do nothing if it runs."""
        if self.running:
            return
        log = self.log_path
        mark = log.stat().st_size if log.exists() else 0
        self.pid = self._spawn()
        deadline = time.monotonic() + READY_WITHIN
        while not self._answers():
            if (code := self._site.tether.exit_code(self.pid)) is not None:
                raise self.failure(f"ended with exit code {code}", log, mark)
            if time.monotonic() > deadline:
                slow = f"doesn't answer after {READY_WITHIN:g} s"
                raise self.failure(slow, log, mark)
            time.sleep(0.01)

    def stop(self, *, clean: bool = False) -> None:
        """Stop as if the power failed, or in an orderly way; do nothing if down."""
        if not self.running:
            return
        tether = self._site.tether
        tether.signal(self.pid, self._stop_signal(clean=clean))
        if tether.wait(self.pid, within=GONE_WITHIN) is None:
            raise LabError(
                f"Server {self.name!r} still runs {GONE_WITHIN:g} s after stop().",
                hint=f"Its log is {str(self.log_path)!r}; stop() without clean=True "
                "waits for nobody.",
            )

    def pause_replay(self) -> None:
        """Stop applying what the primary sends, so that reads here grow stale."""
        self._must_be_replica("pause_replay")
        self._pause()

    def resume_replay(self) -> None:
        """Apply again what the primary sends."""
        self._must_be_replica("resume_replay")
        self._resume()

    @contextlib.contextmanager
    def replay_paused(self) -> Iterator[None]:
        """Pause the replay for the length of a block."""
        self.pause_replay()
        try:
            yield
        finally:
            if self.running and self._upstream:
                self.resume_replay()

    def promote(self) -> None:
        """Make a primary of this replica; it takes writes when the call returns."""
        self._must_be_replica("promote")
        self._promote()
        self._upstream = None

    def wait_until_replayed(self, timeout: float = 60) -> None:
        """Return when this replica has applied all that its primary has by now."""
        upstream = self._must_be_replica("wait_until_replayed")
        position = upstream.position()
        if not self._reaches(position, timeout):
            raise LabError(
                f"Replica {self.name!r} has not replayed {position} of "
                f"{upstream.name!r} within {timeout:g} s; it is at {self.position()}.",
                hint="Is its replay paused, or its primary down?",
            )

    @abstractmethod
    def position(self) -> str:
        """Return how far the log has come: written here, or replayed here."""

    @property
    @abstractmethod
    def version(self) -> str: ...

    @property
    @abstractmethod
    def client(self) -> str:
        """The program with which a person asks this server."""

    @property
    @abstractmethod
    def socket_path(self) -> Path:
        """The socket at which the server listens beside its port."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make the first data directory of a primary."""

    @abstractmethod
    def _configure(self) -> None:
        """Write down what the server reads when it starts."""

    @abstractmethod
    def _begin(self) -> None:
        """Do what remains after the very first start."""

    @abstractmethod
    def _spawn(self) -> int: ...

    @abstractmethod
    def _stop_signal(self, *, clean: bool) -> int: ...

    @abstractmethod
    def _query(self, statement: str, database: str, timeout: float) -> list[Row]: ...

    def _answers(self) -> bool:
        try:
            self._query("select 1", self.maintenance, READY_WITHIN)
        except Unanswered:
            return False
        return True

    @abstractmethod
    def _pause(self) -> None: ...

    @abstractmethod
    def _resume(self) -> None: ...

    @abstractmethod
    def _promote(self) -> None: ...

    @abstractmethod
    def _reaches(self, position: str, timeout: float) -> bool: ...

    @abstractmethod
    def follows(self) -> bool:
        """Say whether this replica is connected and has replayed everything."""

    def prepare(self, replicas: "Sequence[LabServer]") -> None:
        """Make the data directories of a whole cluster, none of it started yet."""
        self._prepare()
        for replica in replicas:
            copy = ["cp", "-Rp", str(self.data_directory), str(replica.data_directory)]
            self._run(copy, "copy its data directory")

    def begin(self) -> None:
        """Start for the first time, on another port when the first one is taken."""
        for _ in range(PORT_ATTEMPTS):
            self._configure()
            try:
                self.start()
            except PortTaken:
                self.port = self._site.new_port(instead_of=self.port)
            else:
                break
        else:
            raise LabError(
                f"{PORT_ATTEMPTS} ports in a row were taken from {self.name!r}.",
                hint="Something on this machine listens on every port it finds.",
            )
        self._begin()

    def _must_be_replica(self, what: str) -> "LabServer":
        if self._upstream is None:
            raise LabError(
                f"{what}() is for replicas, and {self.name!r} is a primary.",
                hint=f"Replicas of a cluster: {', '.join(self._cluster.replicas)}."
                if self._cluster.replicas
                else f"Give {self._cluster.name!r} replicas=(...).",
            )
        return self._upstream

    def _run(self, argv: Sequence[str | Path], what: str) -> None:
        """Run a program to its end in the lab's care."""
        tether = self._site.tether
        pid = tether.spawn(argv, log=self._prepare_log)
        code = tether.wait(pid, within=READY_WITHIN)
        if code != 0:
            ended = f"could not {what}: "
            ended += "took too long" if code is None else f"exit code {code}"
            raise self.failure(ended, self._prepare_log)

    def failure(self, what: str, log: Path | None = None, mark: int = 0) -> LabError:
        """Return the error that shows the end of a log, written since `mark`."""
        written = b""
        with contextlib.suppress(OSError):
            written = (log or self.log_path).read_bytes()[mark:]
        text = self._masked(written.decode(errors="replace"))
        kind: type[LabError] = LabError
        hint = "Mend what the log complains about."
        if log == self.log_path and self._cluster.settings:
            hint = "The settings given for it reach the server as they are: check them."
        if PORT_TAKEN in text:
            kind, hint = PortTaken, f"Free port {self.port}, or start a new lab."
        elif DISK_FULL.search(text):
            hint = self._more_space
        return kind(
            f"Server {self.name!r} ({self.vendor} {self.version}) {what}. "
            f"From its log:\n{essence(text)}",
            hint=hint,
        )

    def _masked(self, text: str) -> str:
        return text.replace(self._site.password, "***")

    @property
    def _more_space(self) -> str:
        return f"Free some space in {self._site.directory.parent}, or set TMPDIR."
