"""Takes the parts that a Make target needs, sets up what is not there yet.

    setup dev          the virtual environment with the pinned packages and Shoal
    setup docs, pins   the same, and what builds the docs, or compiles the pins
    setup mariadb      the same, and MariaDB's programs and driver
    setup pgbouncer    the same, and under CI=true PgBouncer
    setup browser      the same, and Chromium with its driver

Standard library only. Prints to stderr what it does, and nothing when all is there.
For `mariadb`, what had to be left out goes to stdout in one line, which is an error
under CI=true. Exit status: 0 set up, 1 not, 2 usage, 130 interrupted.
"""

import os
import sys
from pathlib import Path

from environment import DEV, DOCS, PINS, Environment, Part, say, setup_lock
from failure import LeftOut, SetupError, nothing_may_be_left_out
from servers import bring_browser, bring_mariadb, bring_pgbouncer

PARTS = {"dev": DEV, "docs": DOCS, "pins": PINS}
SERVERS = {"mariadb": "MariaDB", "pgbouncer": "PgBouncer", "browser": "Chromium"}
BRING = {
    "mariadb": bring_mariadb,
    "pgbouncer": bring_pgbouncer,
    "browser": bring_browser,
}


def set_up(environment: Environment, name: str) -> None:
    bring(environment, DEV)
    if name in SERVERS:
        bring_server(environment, name)
    else:
        bring(environment, PARTS[name])


def bring(environment: Environment, part: Part) -> None:
    if environment.has(part):
        return
    with setup_lock():
        # Another setup may have done it while this one waited.
        if not environment.has(part):
            environment.install(part)


def bring_server(environment: Environment, name: str) -> None:
    try:
        with setup_lock():
            BRING[name](environment)
    except LeftOut as error:
        if name == "browser" or nothing_may_be_left_out():
            raise SetupError(
                f"The tests on {SERVERS[name]} cannot run: {error}",
                hint="Run make as root, or have it installed.",
            ) from error
        print(f"Left out the tests on {SERVERS[name]}: {error}")


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in PARTS and name not in SERVERS]
    if unknown or not names:
        known = ", ".join([*PARTS, *SERVERS])
        say(f"Usage: setup PART ...  with parts out of: {known}")
        return 2
    environment = Environment(Path(os.environ.get("VENV") or ".venv").absolute())
    try:
        for name in names:
            set_up(environment, name)
    except (SetupError, OSError) as error:
        say(f"Setup stopped. {error}")
        return 1
    except KeyboardInterrupt:
        say("Setup interrupted. Run make again: it starts over.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
