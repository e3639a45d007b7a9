"""
Takes what a server wrote into its log, gives the lines that say what went wrong.
"""

import re

TELLING = re.compile(
    r"FATAL(?!:  the database system is starting up)|PANIC|ERROR|\berror\b"
    r"|No space left|in use|unknown (variable|option)"
)
"""The exception is what the lab itself is told while it waits."""
TELLING_LINES, LAST_LINES = 6, 5
LONGEST_LINE = 160


def essence(text: str) -> str:
    """Return the first lines that tell of errors, and the last ones anyhow."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    telling = [n for n, line in enumerate(lines) if TELLING.search(line)]
    last = range(max(len(lines) - LAST_LINES, 0), len(lines))
    chosen = sorted({*telling[:TELLING_LINES], *last})
    return "\n".join(f"  {lines[n][:LONGEST_LINE]}" for n in chosen) or "  (empty)"
