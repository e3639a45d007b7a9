"""Where the servers of a run have their files."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests import memory

WHERE = "import tempfile; print(tempfile.gettempdir())"


@pytest.fixture
def meminfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One gigabyte of memory is left, and no more is needed."""
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 9999999 kB\nMemAvailable:    1048576 kB\n")
    monkeypatch.setattr(memory, "NEEDED", 2**30)
    return path


def test_room_is_both_in_the_folder_and_in_memory(
    tmp_path: Path, meminfo: Path
) -> None:
    assert memory.has_room(tmp_path, meminfo)
    assert not memory.has_room(tmp_path / "nowhere", meminfo)
    assert not memory.has_room(tmp_path, tmp_path / "nowhere")
    meminfo.write_text("MemAvailable:    1048575 kB\n")
    assert not memory.has_room(tmp_path, meminfo)


@pytest.mark.parametrize(
    ("flags", "free", "has"),
    [(0, 2**30, True), (0, 2**30 - 1, False), (os.ST_NOEXEC, 2**30, False)],
)
def test_a_folder_may_be_full_or_let_no_program_run(
    tmp_path: Path,
    meminfo: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: int,
    free: int,
    has: bool,
) -> None:
    found = SimpleNamespace(f_flag=flags, f_bavail=free, f_frsize=1)
    monkeypatch.setattr(os, "statvfs", lambda folder: found)
    assert memory.has_room(tmp_path, meminfo) is has


@pytest.fixture
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The usual folder of temporary files, whatever that of this very run is."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.delenv("PYTEST_DEBUG_TEMPROOT", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(memory, "IN_MEMORY", tmp_path)
    monkeypatch.setattr(memory, "NEEDED", 0)
    return tempfile.gettempdir()


def test_temporary_files_are_there_for_a_while(usual: str, tmp_path: Path) -> None:
    with memory.temporary_folder():
        (folder,) = tmp_path.glob("shoal-tests-*")
        assert tempfile.gettempdir() == str(folder)
        assert run(WHERE) == str(folder)
        assert run("import os; print(os.environ['PYTEST_DEBUG_TEMPROOT'])") == usual
        (folder / "left").touch()
    assert tempfile.gettempdir() == run(WHERE) == usual
    assert not folder.exists()


def test_a_choice_that_was_made_is_left_alone(
    usual: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    monkeypatch.setenv("TMPDIR", str(chosen))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with memory.temporary_folder():
        assert tempfile.gettempdir() == str(chosen)
    assert not list(tmp_path.glob("shoal-tests-*"))


def test_what_a_killed_run_has_left_is_removed(usual: str, tmp_path: Path) -> None:
    gone = int(run("import os; print(os.getpid())"))
    left, running = (tmp_path / f"shoal-tests-{n}-x" for n in (gone, os.getpid()))
    for folder in (left, running):
        folder.mkdir()
    with memory.temporary_folder():
        assert not left.exists()
        assert running.exists()


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
