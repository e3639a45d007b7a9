"""Takes the installed Django, gives the folder with the tests of that same version.

The wheel has no tests, so the source release is fetched with pip, once. It must have a
hash that requirements/dev.txt pins. Only its tests are kept, inside the environment:
`make clean` takes them away.
"""

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path, PurePosixPath

import django

from tests.django_suite.failure import SuiteError

ROOT = Path(__file__).resolve().parents[2]
A_DAY = 24 * 60 * 60.0
PINS = ROOT / "requirements" / "dev.txt"


def cache() -> Path:
    """Return the folder for everything that belongs to the installed Django's tests."""
    return Path(sys.prefix) / "django-suite" / django.__version__


def bring_tests() -> Path:
    """Return the folder of Django's tests, fetched if it is not there yet."""
    folder = cache() / "tests"
    if folder.exists():
        return folder
    requirement = pinned(PINS.read_text(), django.__version__)
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as name:
        print(f"Fetching the source of Django {django.__version__} for its tests")
        unpacked = unpack(download(requirement, Path(name)), Path(name))
        # One step, so that no run ever sees half of the tests.
        if not folder.exists():
            unpacked.rename(folder)
    return folder


def pinned(pins: str, version: str) -> str:
    """Return the line of a requirements file that pins this version of Django."""
    found = re.search(
        rf"^django=={re.escape(version)}(?=[\s;]).*\n(?:\s+--hash=.*\n?)+", pins, re.M
    )
    if found is None:
        raise SuiteError(
            f"requirements/dev.txt has no hash for Django {version}.",
            hint="Run `make setup`, so that the pinned Django is the installed one.",
        )
    return found[0]


def download(requirement: str, folder: Path) -> Path:
    """Fetch the source release into `folder`; pip compares it with the pinned hash."""
    wanted = folder / "wanted.txt"
    wanted.write_text(requirement)
    # pip asks the release for its name and version by building its metadata: without
    # isolation that needs nothing but the pinned setuptools.
    command = [sys.executable, "-I", "-m", "pip", "download", "-q", "--no-input"]
    command += ["--disable-pip-version-check", "--require-hashes", "--no-deps"]
    command += ["--no-binary=:all:", "--no-build-isolation", "--progress-bar=off"]
    done = subprocess.run([*command, "--dest", folder, "--requirement", wanted])
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode != 0 or len(archives) != 1:
        raise SuiteError(
            f"pip fetched {len(archives)} source releases of Django, not one; "
            f"its exit status is {done.returncode}.",
            hint="Its own words are above.",
        )
    return archives[0]


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack the tests alone, after a look at the version; return their folder."""
    with tarfile.open(archive) as release:
        names = {PurePosixPath(name).parts[0] for name in release.getnames()}
        top = names.pop()
        if names or version_of(release, top) != django.__version__:
            raise SuiteError(
                f"{archive.name} is not the source of Django {django.__version__}.",
                hint=f"Remove {str(cache())!r} and run this again.",
            )
        # Python 3.11.3 and older have no filters; the hash has been compared anyway.
        release.extraction_filter = getattr(
            tarfile, "data_filter", lambda member, path: member
        )
        inside = f"{top}/tests/"
        members = (m for m in release if m.name.startswith(inside))
        release.extractall(folder, members=members)
    return folder / top / "tests"


def version_of(release: tarfile.TarFile, top: str) -> str:
    described = release.extractfile(f"{top}/PKG-INFO")
    assert described is not None
    found = re.search(rb"^Version: (\S+)", described.read(), re.MULTILINE)
    return found[1].decode() if found else ""


def remove_old(folder: Path, *, keep: int) -> None:
    """Remove the folders of earlier runs, but the newest and those of today."""
    for old in sorted(folder.iterdir(), reverse=True)[keep:]:
        if time.time() - old.stat().st_mtime > A_DAY:  # A run may still write there.
            shutil.rmtree(old, ignore_errors=True)
