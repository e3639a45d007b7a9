"""Takes a port and a number of reviews, gives the whole site on servers of its own.

Starts eight PostgreSQL servers, makes the tables, loads the ratings, and serves until
Ctrl-C. Nothing of it stays. With --smoke it visits every page itself instead.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import django
from django.core.management import CommandError, call_command
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from rich.console import Console
from shoal.errors import ShoalError
from shoal.lab import Lab, LabServer, Postgres

HOST, USUAL_PORT = "127.0.0.1", 8000
SHARDS = 4
console = Console(highlight=False, soft_wrap=True)


def main(arguments: Sequence[str]) -> int:
    options = read(arguments)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        with listening(options) as server:
            return run(server, options)
    except (ShoalError, CommandError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped. Nothing is left behind.")
        return 0


def read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo.py", description=__doc__)
    parser.add_argument(
        "--port", type=int, help=f"{USUAL_PORT}, or a free one; 0 for a free one"
    )
    parser.add_argument(
        "--reviews", type=int, metavar="N", help="generate more, up to N in all"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="visit every page, report, and end"
    )
    return parser.parse_args(arguments)


def interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def listening(options: argparse.Namespace) -> Iterator[ThreadedWSGIServer]:
    """Take the port before anything else is started: it may not be free."""
    asked = 0 if options.smoke else options.port
    usual = USUAL_PORT if asked is None else asked
    try:
        server = ThreadedWSGIServer((HOST, usual), WSGIRequestHandler)
    except (OSError, OverflowError) as error:
        if asked is not None:
            raise CommandError(
                f"Port {asked} can't be used: {error}.\n"
                f"Hint: leave --port out to take a free one."
            ) from error
        server = ThreadedWSGIServer((HOST, 0), WSGIRequestHandler)
    try:
        yield server
    finally:
        server.server_close()


def run(server: ThreadedWSGIServer, options: argparse.Namespace) -> int:
    begun = time.perf_counter()
    with lab() as servers:
        console.print(
            f"{len(list(servers))} servers: {time.perf_counter() - begun:.1f} s"
        )
        prepare(servers, options)
        address = f"http://{HOST}:{server.server_address[1]}"
        with serving(server):
            if options.smoke:
                be_quiet()
                import smoke

                return smoke.walk(address, servers, console)
            greet(address, servers)
            threading.Event().wait()
    return 0


def lab() -> Lab:
    return Lab(
        Postgres("products", replicas=("products_r1", "products_r2")),
        *(Postgres(f"reviews_{number}") for number in range(SHARDS)),
        Postgres("accounts"),
    )


def prepare(servers: Lab, options: argparse.Namespace) -> None:
    os.environ["REVIEWS_DATABASES"] = json.dumps(servers.databases)
    os.environ["DJANGO_SETTINGS_MODULE"] = "reviewsite.settings"
    django.setup()
    call_command("shoal", "migrate", "-v0")
    call_command("load_ratings", reviews=options.reviews)
    for server in servers:
        if server.primary:
            server.wait_until_replayed()


def be_quiet() -> None:
    """A smoke test stops servers on purpose, and says itself what it saw."""
    for name in ("django", "django.server", "shoal.routing"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


@contextmanager
def serving(server: ThreadedWSGIServer) -> Iterator[None]:
    from django.contrib.staticfiles.handlers import StaticFilesHandler

    from reviewsite.wsgi import application

    logging.getLogger("django.server").setLevel(logging.ERROR)
    server.set_app(StaticFilesHandler(application))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def greet(address: str, servers: Lab) -> None:
    from reviewsite.loading.stages import DEMO_PASSWORD, STAFF

    console.print(f"\n[bold]{address}[/bold]\n")
    console.print(f"  log in    reviewer17 (1 to 671), password {DEMO_PASSWORD}")
    console.print(f"  admin     {address}/admin/ as {STAFF}, password {DEMO_PASSWORD}")
    for server in servers:
        console.print(f"  server    {server.name}, {kind(server)}, port {server.port}")
    console.print(
        "\nEach page tells at its end who answered, and why. Ctrl-C stops all."
    )
    sys.stdout.flush()


def kind(server: LabServer) -> str:
    if server.primary:
        return f"replica of {server.primary}"
    return "shard of reviews" if server.name.startswith("reviews_") else "primary"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
