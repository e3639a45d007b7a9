"""Takes an environment, brings what pip cannot: MariaDB, PgBouncer and a browser.

Of MariaDB only the programs are installed (`mariadb-server-core`), not the package
that creates a database and starts a service: the lab makes its own, elsewhere.
Of PgBouncer there is only a package that does.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import debian
from environment import MINOR, MYSQL, Environment
from failure import LeftOut, SetupError, nothing_may_be_left_out

SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def bring_mariadb(environment: Environment) -> None:
    """Bring the server's programs and the driver, or raise `LeftOut`."""
    missing = _missing_programs()
    if not environment.has(MYSQL):
        missing += _missing_to_build()
    if missing:
        debian.install(*missing)
    if not environment.has(MYSQL):
        try:
            environment.install(MYSQL)
        except SetupError as error:
            raise LeftOut("pip could not build mysqlclient, see above.") from error


def bring_pgbouncer(_: Environment) -> None:
    """Bring the pooler if nothing may be left out; its tests skip without it."""
    if nothing_may_be_left_out() and not _found("pgbouncer"):
        debian.install("pgbouncer")


def bring_browser(_: Environment) -> None:
    """Bring headless Chromium and its driver, or raise `LeftOut`."""
    wanted = {"chromium": "chromium", "chromedriver": "chromium-driver"}
    missing = [package for program, package in wanted.items() if not _found(program)]
    if missing:
        debian.install(*missing)


def _missing_programs() -> list[str]:
    wanted = {
        "mariadbd": "mariadb-server-core",
        "mariadb-install-db": "mariadb-server-core",
        "mariadb": "mariadb-client-core",
    }
    missing = [package for program, package in wanted.items() if not _found(program)]
    return list(dict.fromkeys(missing))


def _missing_to_build() -> list[str]:
    """Return the packages that building mysqlclient still needs."""
    missing = []
    if not _found("gcc") or not Path("/usr/include/stdio.h").exists():
        missing += ["gcc", "libc6-dev"]
    if not _found("pkg-config"):
        missing += ["pkg-config", "libmariadb-dev"]
    elif not _pkg_config_knows("libmariadb"):
        missing += ["libmariadb-dev"]
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    if not headers.exists():
        if not sys.base_prefix.startswith("/usr"):
            raise LeftOut(
                f"mysqlclient: {headers}, which building it needs, is missing"
            )
        missing += [f"python{MINOR}-dev"]
    return missing


def _found(program: str) -> bool:
    return shutil.which(program, path=SEARCHED) is not None


def _pkg_config_knows(library: str) -> bool:
    asked = subprocess.run(["pkg-config", "--exists", library], capture_output=True)
    return asked.returncode == 0
