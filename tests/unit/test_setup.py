"""The programs behind `make`: what they take for done, and what they say if not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ASK_AN_ENVIRONMENT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from environment import DEV, Environment
folder = Environment(Path(sys.argv[2]))
print(DEV.digest if sys.argv[3] == "digest" else folder.has(DEV))
"""


def ask(folder: Path, question: str) -> str:
    scripts = str(ROOT / "scripts" / "bootstrap")
    command = [sys.executable, "-B", "-c", ASK_AN_ENVIRONMENT, scripts]
    answer = subprocess.run(
        [*command, str(folder), question], capture_output=True, text=True, check=True
    )
    return answer.stdout.strip()


def environment_with(tmp_path: Path, **changes: str) -> Path:
    """Make what looks like a finished environment, but for `changes`."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    stamp = {"dev": ask(tmp_path, "digest")} | changes
    (tmp_path / "shoal-setup.json").write_text(json.dumps(stamp))
    return tmp_path


def program(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def run_setup(*parts: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / "setup", *parts],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_a_finished_environment_is_taken_for_done(tmp_path: Path) -> None:
    assert ask(environment_with(tmp_path), "has") == "True"


@pytest.mark.parametrize(
    "changes",
    [{"dev": "another digest"}, {"under way": "docs"}],
    ids=["the pins changed", "an install was interrupted"],
)
def test_an_unfinished_environment_is_not(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    assert ask(environment_with(tmp_path, **changes), "has") == "False"


def test_an_environment_whose_python_is_gone_is_not(tmp_path: Path) -> None:
    folder = environment_with(tmp_path)
    (folder / "bin" / "python").unlink()
    (folder / "bin" / "python").symlink_to(tmp_path / "removed")
    assert ask(folder, "has") == "False"


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("keep me")
    done = run_setup(
        "dev", PYTHON=sys.executable, VENV=str(tmp_path), PATH=os.environ["PATH"]
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"Setup stopped. {tmp_path} is there and is no virtual environment.\n"
        "Hint: Name another place: make VENV=...\n"
    )
    assert (tmp_path / "letter.txt").read_text() == "keep me"


def test_a_named_python_that_is_too_old_is_refused(tmp_path: Path) -> None:
    program(tmp_path, "old", '[ "$1" = --version ] && echo Python 3.9.2; exit 1')
    old = str(tmp_path / "old")
    done = run_setup("dev", PYTHON=old, PATH=os.environ["PATH"])
    assert done.returncode == 1
    assert done.stderr == (
        f"PYTHON={old} cannot run Shoal, which needs Python 3.11 or later: "
        "Python 3.9.2.\n"
    )


def test_without_a_python_the_ones_found_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    # The answer that scripts/pythons asks for: good or not, minor, version, path.
    program(folder, "python3", "echo 0 9 3.9.2 /usr/bin/python3; exit 1")
    for tool in ("sh", "dirname", "sort", "awk", "cut", "tail", "paste", "sed"):
        found = subprocess.check_output(["which", tool], text=True).strip()
        (folder / tool).symlink_to(found)
    done = run_setup("dev", PATH=str(folder), HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == (
        "Shoal needs Python 3.11 or later. Found: 3.9.2 (/usr/bin/python3).\n"
        "Hint: install one, or name it: make PYTHON=/path/to/python3\n"
    )


def test_an_unknown_part_is_a_usage_error() -> None:
    done = run_setup("everything", PYTHON=sys.executable, PATH=os.environ["PATH"])
    assert done.returncode == 2
    assert "dev, docs, pins, mariadb, pgbouncer, browser" in done.stderr


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("see https://pypi" + ".org/project/x", "a package registry's host"),
        ("open('/wo" + "rk/main/x')", "a path of one machine"),
        ("cd /home/" + "jane/src", "a path of one machine"),
        ("https://example.com/work", None),
        ("</root>", None),
        ("pip install django-shoal", None),
    ],
)
def test_a_committed_file_must_make_sense_elsewhere(
    tmp_path: Path, line: str, finding: str | None
) -> None:
    (tmp_path / "scripts").mkdir()
    source = (ROOT / "scripts" / "committed.py").read_text()
    (tmp_path / "scripts" / "committed.py").write_text(source)
    (tmp_path / "notes.txt").write_text(f"first line\n{line}\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "scripts/committed.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    wanted = "" if finding is None else f"notes.txt:2: names {finding}: {line}\n"
    assert done.stdout == wanted
    assert done.returncode == (1 if finding else 0)
