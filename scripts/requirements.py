"""Takes pyproject.toml, gives requirements/*.txt: every package pinned, with hashes.

    requirements.py compile [uv's options]     write them anew, e.g. with --upgrade
    requirements.py check                      fail if pyproject.toml has moved on

One file serves every supported Python, so it may hold two versions of one package:
Django 5.2 where 6.1 does not run. The first line of a file is a digest of what went
in, so the check needs no network.
"""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "requirements"
# What is compiled later must agree with dev.txt: all of them share one environment.
NAMES = ("dev", "mysql", "docs", "pins")


def main(arguments: list[str]) -> int:
    match arguments:
        case ["check"]:
            return check()
        case ["compile", *options]:
            return compile_all(options)
    print("Usage: requirements.py check | compile [uv's options]", file=sys.stderr)
    return 2


def check() -> int:
    stale = [name for name in NAMES if first_line(name) != heading(name)]
    for name in stale:
        print(f"requirements/{name}.txt does not fit pyproject.toml any more.")
    if stale:
        print("Hint: run `make requirements` and commit what it writes.")
    return 1 if stale else 0


def compile_all(options: list[str]) -> int:
    for name in NAMES:
        status = compile_one(name, options)
        if status:
            return status
    return 0


def compile_one(name: str, options: list[str]) -> int:
    target = FOLDER / f"{name}.txt"
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "-"]
    command += ["--universal", "--python-version", python_floor()]
    command += ["--fork-strategy", "requires-python", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url"]
    if name != "dev":
        command += ["--constraints", str(FOLDER / "dev.txt")]
    done = subprocess.run(
        # uv reads the file that it writes and keeps the pins that still fit.
        [*command, "--output-file", str(target), *options],
        input="\n".join(inputs(name)),
        text=True,
        stdout=subprocess.DEVNULL,
    )
    if done.returncode == 0:
        target.write_text(heading(name) + "\n" + target.read_text())
    return done.returncode


def inputs(name: str) -> list[str]:
    """Return the requirements that a file is compiled from."""
    project = pyproject()["project"]
    extras = project["optional-dependencies"]
    match name:
        case "dev":
            wanted = [*project["dependencies"], *expanded("dev", extras)]
            return [*wanted, *pyproject()["build-system"]["requires"]]
        case "mysql":
            return [*extras["mysql"]]
    return [*pyproject()["dependency-groups"][name]]


def expanded(extra: str, extras: dict[str, list[str]]) -> list[str]:
    """Put what `django-shoal[a,b]` stands for in its place."""
    found: list[str] = []
    for requirement in extras[extra]:
        own = re.fullmatch(r"django-shoal\[(.+)\]", requirement)
        if own is None:
            found.append(requirement)
            continue
        for name in own[1].split(","):
            found += expanded(name.strip(), extras)
    return found


def heading(name: str) -> str:
    fed = json.dumps([python_floor(), sorted(inputs(name))])
    digest = hashlib.sha256(fed.encode()).hexdigest()[:16]
    return f"# Written by `make requirements` from pyproject.toml ({digest})"


def first_line(name: str) -> str:
    try:
        return (FOLDER / f"{name}.txt").read_text().partition("\n")[0]
    except FileNotFoundError:
        return ""


def python_floor() -> str:
    return str(pyproject()["project"]["requires-python"]).removeprefix(">=")


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
