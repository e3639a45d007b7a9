"""Takes a part's name, brings its pinned packages into the virtual environment.

What is in is written to a stamp inside the environment, with a digest of everything
that decided it: a second call compares digests and is done. A part is entered as
"under way" before pip starts, so an install that was killed is never taken for done:
the next call finds the entry and builds the environment anew.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import debian
from failure import LeftOut, SetupError

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
# The interpreter behind an activated environment: the one we may have to rebuild.
BASE_PYTHON = getattr(sys, "_base_executable", sys.executable)


@dataclass(frozen=True)
class Part:
    """One requirements file, and how pip has to read it."""

    name: str
    options: tuple[str, ...] = ("--only-binary=:all:",)
    """Wheels only: building a source package would fetch unpinned build tools."""

    @property
    def requirements(self) -> Path:
        return REQUIREMENTS / f"{self.name}.txt"

    @property
    def digest(self) -> str:
        """Name the state that this part has to be in."""
        found = hashlib.sha256(f"{ROOT}\n{MINOR}\n".encode())
        found.update(self.requirements.read_bytes())
        if self.name == "dev":
            found.update((ROOT / "pyproject.toml").read_bytes())
        return found.hexdigest()


DEV = Part("dev")
DOCS = Part("docs")
# No wheel exists; it is built with the setuptools that dev.txt has pinned.
MYSQL = Part("mysql", ("--no-build-isolation",))
PINS = Part("pins")


class Environment:
    """A virtual environment and the stamp that says what is in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self._stamp = folder / "shoal-setup.json"

    def has(self, part: Part) -> bool:
        """Return whether `part` is in, complete and as the pins now say."""
        stamp = self._read()
        whole = "under way" not in stamp and os.access(self.python, os.X_OK)
        return whole and stamp.get(part.name) == part.digest

    def install(self, part: Part) -> None:
        """Bring `part` in, after making the environment if need be. Hold the lock."""
        self._make_usable()
        stamp = self._read()
        say(f"Installing requirements/{part.name}.txt into {self.folder}")
        self._write(stamp | {"under way": part.name})
        try:
            self._pip("--require-hashes", *part.options, "-r", str(part.requirements))
            if part is DEV:
                # The editable build runs with the pinned setuptools: nothing unpinned.
                self._pip("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
        except SetupError:
            # pip itself gave up and rolled back. Without dev there is nothing to keep.
            if part is not DEV:
                self._write(stamp)
            raise
        self._write(stamp | self._origin | {part.name: part.digest})

    @property
    def _origin(self) -> dict[str, str]:
        """What an environment cannot change: its scripts name this place."""
        return {"python": MINOR, "root": str(ROOT)}

    def _make_usable(self) -> None:
        stamp = self._read()
        if not stamp and self._is_current():
            return  # made by hand: pip goes on in it
        whole = "under way" not in stamp and os.access(self.python, os.X_OK)
        if not (whole and self._origin.items() <= stamp.items()):
            self._make()

    def _is_current(self) -> bool:
        ask = "import sys; print('%d.%d' % sys.version_info[:2])"
        try:
            answer = subprocess.run(
                [self.python, "-c", ask], capture_output=True, text=True
            )
        except OSError:
            return False
        return answer.stdout.strip() == MINOR

    def _make(self) -> None:
        self._clear()
        require_ensurepip()
        version = ".".join(map(str, sys.version_info[:3]))
        say(f"Making {self.folder} with Python {version}; this takes half a minute")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write({"under way": "the environment"})
        made = subprocess.run([BASE_PYTHON, "-I", "-m", "venv", str(self.folder)])
        if made.returncode != 0:
            raise SetupError(
                f"{BASE_PYTHON} could not make {self.folder}.",
                hint="Its own words are above. Another Python: make PYTHON=...",
            )
        self._write(self._origin)

    def _clear(self) -> None:
        """Remove an environment of ours; refuse to remove anything else."""
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return
        if not (self._stamp.exists() or (self.folder / "pyvenv.cfg").exists()):
            raise SetupError(
                f"{self.folder} is there and is no virtual environment.",
                hint="Name another place: make VENV=...",
            )
        shutil.rmtree(self.folder)

    def _pip(self, *arguments: str) -> None:
        command = [str(self.python), "-I", "-m", "pip", "install", "-qq"]
        quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar=off"]
        # pip keeps the lock open: if this program is killed, the next setup waits
        # until the pip that it left behind has finished writing.
        done = subprocess.run([*command, *quiet, *arguments], close_fds=False)
        if done.returncode < 0:
            raise KeyboardInterrupt
        if done.returncode != 0:
            raise SetupError(
                f"pip stopped with exit status {done.returncode}.",
                hint="Its own words are above. Run make again: it starts over.",
            )

    def _read(self) -> dict[str, str]:
        try:
            stamp: dict[str, str] = json.loads(self._stamp.read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return {}
        return stamp

    def _write(self, stamp: dict[str, str]) -> None:
        fresh = self._stamp.with_suffix(".new")
        fresh.write_text(json.dumps(stamp, indent=1) + "\n")
        fresh.replace(self._stamp)


def require_ensurepip() -> None:
    """Make sure that this Python can fill an environment with pip."""
    if importlib.util.find_spec("ensurepip") is not None:
        return
    # Debian cuts these two out of its python3 into a package of their own.
    package = f"python{MINOR}-venv"
    if not sys.base_prefix.startswith("/usr") or shutil.which("apt-get") is None:
        raise SetupError(
            f"{BASE_PYTHON} comes without ensurepip, so it has no pip to give.",
            hint="Name another Python: make PYTHON=...",
        )
    try:
        debian.install(package)
    except LeftOut as error:
        raise SetupError(
            f"{BASE_PYTHON} comes without ensurepip: {error}",
            hint=f"Have {package} installed, or name another Python: make PYTHON=...",
        ) from error


@contextlib.contextmanager
def setup_lock() -> Iterator[None]:
    """Let one setup of this checkout run at a time; the others wait."""
    # The folder itself is locked, so there is no lock file to leave behind.
    handle = os.open(ROOT / "scripts", os.O_RDONLY)
    os.set_inheritable(handle, True)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another setup of this checkout to finish")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
