"""Takes the address of the site and its servers, visits every page, tells of it."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from shoal.lab import Lab

from smoke import crashing, outages, places, reading, staff, writing
from smoke.visit import Visit

STEPS: list[Callable[[Visit], str]] = [
    reading.front_page,
    reading.static_files,
    reading.browse,
    reading.search,
    reading.paging,
    reading.product_page,
    reading.another_person,
    writing.sign_up,
    writing.write,
    writing.edit,
    writing.log_out_and_in,
    writing.account,
    writing.delete,
    writing.replicas_behind,
    staff.admin_products,
    staff.admin_reviews,
    staff.admin_adds_and_deletes,
    staff.admin_accounts,
    staff.admin_deletes,
    crashing.killed_in_the_middle,
    crashing.two_in_doubt_at_once,
    crashing.pressed_by_several,
    reading.not_found,
    outages.a_shard_down,
    outages.accounts_server_down,
    outages.primary_of_films_down,
    places.tables,
]


def walk(address: str, lab: Lab, console: Console) -> int:
    """Take all steps; a step that fails doesn't keep the others from being taken."""
    visit, failures = Visit(address, lab), 0
    for step in STEPS:
        begun = time.perf_counter()
        try:
            seen, mark = step(visit), "[green]ok[/green]  "
        except Exception as error:
            failures += 1
            seen, mark = f"{type(error).__name__}: {error}", "[red]FAIL[/red]"
        name = step.__name__.replace("_", " ")
        took = 1000 * (time.perf_counter() - begun)
        console.print(f"{mark} {name:<20} {took:5.0f} ms  {escape(seen)}")
    console.print(f"{len(STEPS) - failures} of {len(STEPS)} steps went well.")
    return 1 if failures else 0
