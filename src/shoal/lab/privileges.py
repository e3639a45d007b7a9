"""
Takes who runs this process, gives who shall run the servers.

PostgreSQL refuses to run as root, so root hands its servers to someone with less
rights. Whoever that is may be unable to enter root's directories.
"""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import LabError

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, kw_only=True)
class Account:
    """The user of the operating system that servers run as."""

    name: str
    uid: int
    gid: int


def account() -> Account | None:
    """Return who the servers shall run as; None for the user of this process."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name=name, uid=found.pw_uid, gid=found.pw_gid)
    raise LabError(
        "The lab runs as root, and there is no user to run the servers as.",
        hint=f"Create one of the users {', '.join(CANDIDATES)}, or don't run as root.",
    )


def may_run(argv: Sequence[str | Path], user: Account | None) -> bool:
    """Say whether `user` can run this program, by running it as `user`."""
    try:
        subprocess.run(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=30,
            cwd="/",
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def check_enterable(directory: Path, user: Account | None) -> None:
    """Raise `LabError` where `user` can't enter the directory that labs live in."""
    if user and not may_run(["sh", "-c", 'cd "$1"', "sh", directory], user):
        raise LabError(
            f"User {user.name!r}, who runs the servers, can't enter "
            f"{str(directory)!r}.",
            hint="Set TMPDIR to a directory that everyone may enter, such as /tmp.",
        )


def give(path: Path, user: Account | None) -> None:
    """Make `path` belong to `user`, who runs the servers."""
    if user:
        os.chown(path, user.uid, user.gid)
