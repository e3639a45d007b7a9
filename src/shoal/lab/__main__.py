"""
Takes `python -m shoal.lab up|status|down`, gives labs that run in the background.

Exit status: 0 done, 1 something is wrong with what was asked or found, 2 usage.
"""

import argparse
import contextlib
import json
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from shoal.errors import LabError
from shoal.lab import plan, standing
from shoal.lab.lab import Lab
from shoal.lab.report import labs_table, ways_in
from shoal.lab.tether import Tether

USUAL = ("default=replica1,replica2", "shard_0", "shard_1", "shard_2", "shard_3")


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        return int(options.run(options, parser))
    except LabError as error:
        console = Console(stderr=True)
        console.print(f"{error}", style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        Console(stderr=True).print("Interrupted. Nothing was left running.")
        return 1


def up(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    try:
        clusters = [plan.parse(spec) for spec in options.specs or USUAL]
        lab = Lab(*clusters, pg_bin=options.pg_bin)
    except LabError as error:
        parser.error(str(error))
    started = time.monotonic()
    tether = Tether()
    try:
        with Console(stderr=True).status("Starting servers"):
            found = standing.stand(lab, options.name, tether)
        seconds = time.monotonic() - started
        _print_up(found, seconds, as_json=options.json)
        if options.wait:
            _stay(tether)
        else:
            tether.detach()
    finally:
        tether.close()
    return 0


def status(options: argparse.Namespace, _: argparse.ArgumentParser) -> int:
    if options.name:
        named = standing.find(options.name)
        if not named:
            raise standing.no_lab(options.name)
        labs = [named]
    else:
        labs = standing.find_all()
    found = {lab.name: _state(lab) for lab in labs}
    if options.json:
        _print_json(found)
    elif labs:
        Console().print(labs_table(found))
    else:
        Console().print("No lab is up.", style="dim")
    servers = [server for lab in found.values() for server in lab["servers"]]
    return 0 if all(server["running"] for server in servers) else 1


def down(options: argparse.Namespace, _: argparse.ArgumentParser) -> int:
    lab = standing.take_down(options.name)
    names = [server.name for server in lab.servers]
    if options.json:
        _print_json({"lab": lab.name, "stopped": names})
    else:
        stopped = f"Stopped and removed {lab.name}: {', '.join(names)}."
        Console().print(stopped, soft_wrap=True)
    return 0


def _stay(tether: Tether) -> None:
    """Stay until Ctrl-C, SIGTERM, or until somebody else takes the lab down."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        tether.wait_until_gone()


def _state(lab: standing.StandingLab) -> dict[str, Any]:
    servers = []
    for server in lab.servers:
        role, position = server.reading() or (None, None)
        servers.append(
            {
                "name": server.name,
                "vendor": server.vendor,
                "version": server.version,
                "running": role is not None,
                "role": role or ("replica" if server.primary else "primary"),
                "primary": server.primary if role != "primary" else None,
                "host": server.alias["HOST"],
                "port": int(server.alias["PORT"]),
                "pid": server.pid,
                "position": position,
            }
        )
    return {
        "directory": lab.directory,
        "keeper": lab.keeper,
        "servers": servers,
        "databases": lab.databases,
    }


def _print_up(lab: standing.StandingLab, seconds: float, *, as_json: bool) -> None:
    if as_json:
        _print_json(lab.databases)
        return
    console = Console()
    console.print(labs_table({lab.name: _state(lab)}))
    console.print(f"{len(lab.servers)} servers up in {seconds:.1f} s.\n", style="bold")
    for line in ways_in(lab):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2), flush=True)


def _name(text: str) -> str:
    if not plan.NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a name of lower-case letters, digits and underscores"
        )
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shoal.lab",
        description="Start real database servers from local binaries.",
    )
    commands = parser.add_subparsers(required=True, metavar="up|status|down")
    starts = commands.add_parser("up", help="start servers and leave them running")
    starts.add_argument(
        "specs",
        nargs="*",
        metavar="SPEC",
        help="name, name=replica1,replica2 or mariadb:name=replica "
        f"(default: {' '.join(USUAL)})",
    )
    starts.add_argument(
        "--pg-bin", metavar="DIR", help="the programs of PostgreSQL (15 to 18)"
    )
    starts.add_argument(
        "--wait",
        action="store_true",
        help="stay, and take everything down at Ctrl-C",
    )
    shows = commands.add_parser("status", help="list labs and their servers")
    ends = commands.add_parser("down", help="stop the servers and remove their files")
    for command, run, name in (
        (starts, up, "lab"),
        (shows, status, None),
        (ends, down, "lab"),
    ):
        usual = f"(default: {name})" if name else "(default: all labs)"
        command.add_argument(
            "--name", type=_name, default=name, metavar="LAB", help=f"which lab {usual}"
        )
        command.add_argument("--json", action="store_true", help="for programs")
        command.set_defaults(run=run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
