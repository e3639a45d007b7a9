"""
Takes nothing, gives a folder in memory for the servers of a run, and the way back.

Their files are made and removed by the hundred thousand, which can cost a multiple of
all else on a disk. Where memory is short or there is no such folder it is the disk.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

IN_MEMORY = Path("/dev/shm")
NEEDED = 8 * 2**30
"""Bytes, far more than the servers of four processes have at one time."""
MEMORY = Path("/proc/meminfo")
PREFIX = "shoal-tests-"


@contextlib.contextmanager
def temporary_folder() -> Iterator[None]:
    """
    Let temporary files be made in memory, by this process and those that it starts.

    Not those of pytest's `tmp_path`, which somebody may want to look at afterwards.
    """
    if os.environ.get("TMPDIR") or not has_room(IN_MEMORY):
        yield
        return
    sweep(IN_MEMORY)
    usual = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=IN_MEMORY)
    # The servers' user is another one where the tests are run by root.
    os.chmod(folder, 0o755)
    names = {"TMPDIR": folder, "PYTEST_DEBUG_TEMPROOT": usual, **os.environ}
    with patch.dict(os.environ, names), patch.object(tempfile, "tempdir", folder):
        yield
    shutil.rmtree(folder, ignore_errors=True)


def has_room(folder: Path, meminfo: Path = MEMORY) -> bool:
    """Say whether programs may run there, and all servers find room."""
    try:
        found = os.statvfs(folder)
        lines = meminfo.read_text().splitlines()
    except OSError:
        return False
    if found.f_flag & os.ST_NOEXEC or not os.access(folder, os.W_OK | os.X_OK):
        return False
    (available,) = (line for line in lines if line.startswith("MemAvailable:"))
    room = min(found.f_bavail * found.f_frsize, int(available.split()[1]) * 1024)
    return room >= NEEDED


def sweep(place: Path) -> None:
    """Remove what runs have left that were killed: it would stay in memory."""
    for folder in place.glob(f"{PREFIX}*-*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        # Another run may end, or sweep as well.
        with contextlib.suppress(FileNotFoundError):
            if folder.stat().st_uid == os.getuid() and not Path("/proc", pid).exists():
                shutil.rmtree(folder, ignore_errors=True)
