"""`python -m benchmarks [name ...]`: run the benchmarks and print their tables."""

import sys

from benchmarks import lab, router

BENCHMARKS = {"router": router.main, "lab": lab.main}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"No benchmark is named {unknown[0]!r}. Known: {', '.join(BENCHMARKS)}.")
        return 2
    return max(BENCHMARKS[name]() for name in names or BENCHMARKS)


sys.exit(main(sys.argv[1:]))
