"""Behind PgBouncer, which gives a session for the length of a transaction only."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.transactions.recovering import recover
from tests.integration.transactions.apart import Site
from tests.waiting import until

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
SETTINGS = """
[databases]
{databases}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
ignore_startup_parameters = extra_float_digits
"""


@pytest.fixture
def pooled(site: Site) -> Iterator[dict[str, Any]]:
    """The entries of `DATABASES` that lead through a pooler."""
    if PROGRAM is None:
        pytest.skip("PgBouncer is not installed (apt-get install pgbouncer).")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    lines = "\n".join(
        f"{alias} = host={at['HOST']} port={at['PORT']} dbname={at['NAME']} "
        f"user={at['USER']} password={at['PASSWORD']}"
        for alias, at in site.databases.items()
    )
    folder = Path(tempfile.mkdtemp(prefix="shoal-pooler-"))
    folder.chmod(0o755)
    path = folder / "pgbouncer.ini"
    path.write_text(SETTINGS.format(databases=lines, port=port))
    path.chmod(0o644)
    argv = [PROGRAM, str(path)]
    if os.geteuid() == 0:
        argv[1:1] = ["-u", pwd.getpwnam("nobody").pw_name]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: _answers(port))
        more = {"PORT": port, "HOST": "127.0.0.1", "DISABLE_SERVER_SIDE_CURSORS": True}
        yield {alias: {**at, **more} for alias, at in site.databases.items()}
    finally:
        process.kill()
        process.communicate()
        shutil.rmtree(folder)


def _answers(port: str) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", int(port))).close()
        return True
    return False


@pytest.mark.parametrize("halt", [None, "prepared 2", "decided"])
def test_a_unit_behind_a_pooler(
    site: Site, pooled: dict[str, Any], halt: str | None
) -> None:
    through = Site(pooled, site.servers, numbers=site.numbers)
    work = through.start(halt=halt, how="SIGKILL", settle=10)
    told = work.end()
    assert told == ("" if halt else "told of success"), (told, work.err)
    if halt:
        done = through.command("recover")
        assert (done.returncode, done.stderr) == (0, "")
        assert "Finished what was in doubt" in done.stdout
    assert recover().found == ()
    assert site.require_finished(work.number, told) == (halt != "prepared 2")
