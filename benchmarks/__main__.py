"""
`python -m benchmarks [name ...]`: run the benchmarks and print their tables.

Without a name all of them, `sessions` with fewer reads, `sharding` with fewer rows and
`transactions` with fewer units: a minute each, four and ten when they are named. Each
run adds a line to `benchmarks/history/`.
"""

import argparse
import subprocess
import sys

from benchmarks import lab, router, sessions, sharding, transactions
from benchmarks.sharding import plot

BENCHMARKS = {
    "router": router.main,
    "lab": lab.main,
    "sessions": sessions.main,
    "sharding": sharding.main,
    "transactions": transactions.main,
}
FEWER_READS = 10_000
FEWER_ROWS = 20_000
FEWER_UNITS = 300
LEAST = {"reads": 1, "rows": 100, "units": 2}


def main() -> int:
    options = parse()
    if options.plot:
        print(plot.draw(options.rows or sharding.ROWS))
        return 0
    names = options.names or list(BENCHMARKS)
    if len(names) > 1:
        return max([run(name, options) for name in names])
    [name] = names
    amounts = {
        "sessions": {"reads": options.reads or sessions.READS},
        "sharding": {"rows": options.rows or sharding.ROWS},
        "transactions": {"units": options.units or transactions.UNITS},
    }
    return BENCHMARKS[name](keep=options.keep, **amounts.get(name, {}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHMARKS))
    parser.add_argument("--reads", type=int, metavar="N", help="of Shoal in sessions")
    parser.add_argument("--rows", type=int, metavar="N", help="of reviews in sharding")
    parser.add_argument("--units", type=int, metavar="N", help="in transactions")
    parser.add_argument(
        "--no-record", dest="keep", action="store_false", help="leave history alone"
    )
    parser.add_argument(
        "--plot",
        action="store_true",
        help="measure nothing; draw the newest record of sharding into the docs",
    )
    options = parser.parse_args()
    for name in options.names:
        if name not in BENCHMARKS:
            known = ", ".join(BENCHMARKS)
            parser.error(f"No benchmark is named {name!r}. Known: {known}.")
    for name, least in LEAST.items():
        value = getattr(options, name)
        if value is not None and value < least:
            parser.error(f"--{name} {value}: at least {least}.")
    if not options.names:
        options.reads = options.reads or FEWER_READS
        options.rows = options.rows or FEWER_ROWS
        options.units = options.units or FEWER_UNITS
    return options


def run(name: str, options: argparse.Namespace) -> int:
    """Run one in a process of its own, since Django is set up once in each."""
    command = [sys.executable, "-m", "benchmarks", name]
    for amount in LEAST:
        value = getattr(options, amount)
        command += [] if value is None else [f"--{amount}", str(value)]
    if not options.keep:
        command.append("--no-record")
    return subprocess.run(command, check=False).returncode


sys.exit(main())
