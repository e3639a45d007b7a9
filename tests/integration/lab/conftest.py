"""Labs to look at, and a directory to look into for what they may leave behind."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.lab import Lab, MariaDB, Postgres, mariadb_available
from tests.integration.lab.traces import Traces

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")


def leave_out(reason: str) -> None:
    """Skip a test; under CI nothing may be left out."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session", params=["18", "15"])
def pg_bin(request: pytest.FixtureRequest) -> Path | None:
    """The programs of PostgreSQL: the wheel's, and the machine's own 15."""
    if request.param == "18":
        return None
    if not (DEBIAN_15 / "postgres").exists():
        leave_out(f"{DEBIAN_15} has no PostgreSQL")
    return DEBIAN_15


@pytest.fixture(scope="session")
def postgres(pg_bin: Path | None) -> Iterator[Lab]:
    """Two primaries, one of them with two replicas."""
    with Lab(
        Postgres("films", replicas=("films_r1", "films_r2")),
        Postgres("people", settings={"work_mem": "8MB", "log_line_prefix": "it's \\ "}),
        pg_bin=pg_bin,
    ) as lab:
        yield lab


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Lab]:
    """A primary with a replica."""
    if not mariadb_available():
        leave_out("mariadbd is not installed")
    analytics = MariaDB(
        "analytics", replicas=("analytics_r1",), settings={"max-connections": "77"}
    )
    with Lab(analytics) as lab:
        yield lab


@pytest.fixture
def traces(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Traces]:
    """A temporary directory of the test's own, that servers may enter."""
    tmp_path_factory.getbasetemp()  # Which pytest would otherwise make in there.
    path = Path(tempfile.mkdtemp(prefix="t-"))
    path.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    yield Traces(path)
    shutil.rmtree(path)
