"""
`python -m benchmarks [name ...]`: run the benchmarks and print their tables.

Without a name all of them, `sessions` with fewer reads: it takes half a minute then,
and four when it is named. Each run adds a line to `benchmarks/history/`.
"""

import argparse
import subprocess
import sys

from benchmarks import lab, router, sessions

BENCHMARKS = {"router": router.main, "lab": lab.main, "sessions": sessions.main}
FEWER_READS = 10_000


def main() -> int:
    options = parse()
    names = options.names or list(BENCHMARKS)
    reads = options.reads or (sessions.READS if options.names else FEWER_READS)
    if len(names) > 1:
        return max(run(name, reads, keep=options.keep) for name in names)
    if names == ["sessions"]:
        return sessions.main(reads=reads, keep=options.keep)
    return BENCHMARKS[names[0]](keep=options.keep)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(BENCHMARKS))
    parser.add_argument("--reads", type=int, metavar="N", help="of Shoal in sessions")
    parser.add_argument(
        "--no-record", dest="keep", action="store_false", help="leave history alone"
    )
    options = parser.parse_args()
    for name in options.names:
        if name not in BENCHMARKS:
            known = ", ".join(BENCHMARKS)
            parser.error(f"No benchmark is named {name!r}. Known: {known}.")
    if options.reads is not None and options.reads < 1:
        parser.error(f"--reads {options.reads}: at least 1.")
    return options


def run(name: str, reads: int, *, keep: bool) -> int:
    """Run one in a process of its own, since Django is set up once in each."""
    command = [sys.executable, "-m", "benchmarks", name, "--reads", str(reads)]
    if not keep:
        command.append("--no-record")
    return subprocess.run(command, check=False).returncode


sys.exit(main())
