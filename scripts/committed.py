"""Takes the files that git knows, names those that only make sense on one machine.

A package index or mirror, an option that chooses one, or the path of somebody's
checkout must not be committed: they differ on every machine, and some are private.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "a package registry's host": re.compile(
        r"\b(?:(?:test\.)?pypi\.org|pythonhosted\.org|registry\.npmjs\.org"
        r"|npmjs\.com|(?:deb|security|ftp)\.debian\.org|anaconda\.org)\b"
    ),
    "a path of one machine": re.compile(
        r"(?<![\w.<-])/(?:work|root|home/\w+|Users/\w+|tmp/bash_jobs)(?![\w.-])"
    ),
}
IN_REQUIREMENTS = {
    "the address of a package index": re.compile(
        r"://|^\s*(?:-i|-f|--(?:extra-)?index-url|--find-links|--trusted-host)\b"
    ),
}


def main() -> int:
    findings = [finding for path in committed() for finding in read(path)]
    for finding in findings:
        print(finding)
    return 1 if findings else 0


def committed() -> list[Path]:
    """Return what is tracked and what is about to be: all but the ignored files."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def read(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        return []  # data, or deleted and not committed yet
    rules = dict(FORBIDDEN)
    if path.parent.name == "requirements":
        rules |= IN_REQUIREMENTS
    name = path.relative_to(ROOT)
    return [
        f"{name}:{number}: names {what}: {line.strip()[:80]}"
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in rules.items()
        if pattern.search(line)
    ]


if __name__ == "__main__":
    sys.exit(main())
