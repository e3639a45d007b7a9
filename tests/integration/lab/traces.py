"""
Takes a directory that labs were made in, gives what is still there of them.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 60.0


@dataclass(frozen=True)
class Traces:
    """What labs leave, or should not leave, in their temporary directory."""

    path: Path

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())

    @property
    def processes(self) -> dict[int, str]:
        """All processes that speak of the directory, by their ids."""
        found = {}
        for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                text = cmdline.read_bytes().replace(b"\0", b" ").decode()
                if str(self.path) in text and "pytest" not in text:
                    found[int(cmdline.parent.name)] = text
        return found

    @property
    def keepers(self) -> list[int]:
        return [pid for pid, text in self.processes.items() if "keeper.py" in text]

    def await_file(self, pattern: str) -> Path:
        """Return the first file that matches, as soon as there is one."""
        # Found once: what `initdb` makes for a while is gone again soon.
        found: list[Path] = []
        until(lambda: found.extend(self.path.glob(pattern)) or bool(found))
        return found[0]

    def assert_none_soon(self) -> None:
        until(lambda: not self.files and not self.processes)
        self.assert_none()

    def assert_none(self) -> None:
        assert self.files == []
        assert self.processes == {}


def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds, or after a while in any case."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
