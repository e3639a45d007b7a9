"""
Takes the state of labs, gives what a person reads in a terminal.
"""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from shoal.lab.server import USER
from shoal.lab.standing import StandingLab


def labs_table(labs: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return one row per server."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("lab", "server", "", "role", "port", "pid", "", "position"):
        numeric = heading in ("port", "pid")
        table.add_column(heading, justify="right" if numeric else "left")
    for lab, state in labs.items():
        for server in state["servers"]:
            follows = f"replica of {server['primary']}"
            table.add_row(
                lab,
                server["name"],
                f"{server['vendor']} {server['version']}",
                follows if server["primary"] else server["role"],
                str(server["port"]),
                str(server["pid"]),
                "[green]up[/]" if server["running"] else "[red]down[/]",
                server["position"] or "",
            )
    return table


def ways_in(lab: StandingLab) -> Iterator[str]:
    """Return lines that say how to connect; they hold no password."""
    server = lab.servers[0]
    name, directory = shlex.quote(server.alias["NAME"]), Path(server.socket).parent
    yield "Connect to the first, for instance:"
    if server.vendor == "postgresql":
        port, client = server.alias["PORT"], shlex.quote(server.client)
        yield f"  {client} -h {directory} -p {port} -U {USER} {name}"
    else:
        yield f"  {server.client} --socket={server.socket} -u {USER} -p {name}"
    option = "" if lab.name == "lab" else f" --name {lab.name}"
    yield "DATABASES for Django, with passwords:"
    yield f"  python -m shoal.lab status --json{option}"
    yield "Stop and remove everything:"
    yield f"  python -m shoal.lab down{option}"
