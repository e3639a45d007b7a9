"""Takes names of Debian packages, installs those with apt when this user may.

Nothing is asked, no service is started by what Shoal asks for, and the package lists
are fetched only when an install without fresh ones has failed.
"""

import os
import shutil
import subprocess
import sys

from failure import LeftOut

ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "NEEDRESTART_SUSPEND": "1",
    "LC_ALL": "C.UTF-8",
}
APT = [
    "apt-get",
    "-qq",
    "-o",
    "DPkg::Lock::Timeout=600",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
]


def install(*packages: str) -> None:
    """
    Install `packages`, or raise `LeftOut` with the reason.

    Tries with the package lists that are there, and once more with fresh ones: a new
    container has none, and an old machine's name versions that are gone.
    """
    asked = f"`apt-get install {' '.join(packages)}`"
    if shutil.which("apt-get") is None:
        raise LeftOut(f"there is no apt-get here for {asked}.")
    prefix = _as_root()
    if prefix is None:
        raise LeftOut(f"it needs {asked}, which only root may do.")
    print(f"Installing with apt: {' '.join(packages)}", file=sys.stderr, flush=True)
    command = [*APT, "install", "--yes", "--no-install-recommends", *packages]
    if _run(prefix, command) is None:
        return
    _run(prefix, [*APT, "update"])
    complaint = _run(prefix, command)
    if complaint is not None:
        raise LeftOut(f"{asked} failed: {complaint}")


def _as_root() -> list[str] | None:
    """Return what to put before a command to run it as root; `None` if we may not."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    asked = subprocess.run(
        ["sudo", "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True
    )
    return ["sudo", "-n"] if asked.returncode == 0 else None


def _run(prefix: list[str], command: list[str]) -> str | None:
    """Run a command; return `None`, or the last line of what it complained about."""
    # sudo empties the environment, so the variables are given on the far side of it.
    variables = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    done = subprocess.run(
        [*prefix, "env", *variables, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode == 0:
        return None
    lines = done.stdout.strip().splitlines()
    return lines[-1].strip() if lines else f"exit status {done.returncode}"
