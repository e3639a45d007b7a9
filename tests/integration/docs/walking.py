"""
Takes a page of the docs and an empty directory, does there what the page says.

A block whose first line names a file becomes part of it, a `console` block is typed
and a `pycon` block is played in the project's shell; what they print is compared, with
`...` standing for anything. `$ echo $?` tells the exit status of the command before,
and a command that fails without it fails the walk.
"""

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.integration.docs.merging import merged
from tests.integration.docs.pages import Block, Command, blocks, commands

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_NOT_TYPED = re.compile(r"(python3? -m )?(pip install|venv)\b|(source|\.) ")
"""What sets a machine up. The environment of the tests has it all."""
_EXPORT = re.compile(r"export (\w+)=(.*)")
_PLAY = """
import doctest, sys
flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
test = doctest.DocTestParser().get_doctest(sys.stdin.read(), {{}}, {name!r}, None, 0)
runner = doctest.DocTestRunner(verbose=False, optionflags=flags)
runner.run(test)
sys.exit(min(runner.failures, 1))
"""


class Walk:
    """One reader with one shell, who types what a page says."""

    def __init__(self, page: Path, directory: Path, env: Mapping[str, str]) -> None:
        self.page = page
        self.directory = directory
        hidden = ("DJANGO_", "PYTEST_", "COV_")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
        self.env |= {
            "COLUMNS": "80",
            "NO_COLOR": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(directory),
            **env,
        }
        self.status, self.last = 0, ""

    def go(self) -> None:
        """Do everything that the page says, from its top to its end."""
        for block in blocks(self.page):
            if block.path:
                self.write(block)
            elif block.language == "console":
                for command in commands(block):
                    self.type(command, block)
            elif block.language == "pycon":
                self.play(block)
        self.finish()

    def write(self, block: Block) -> None:
        """Put a block into its file; a new app gets what `startapp` would give it."""
        assert block.path
        file = self.directory / block.path
        if file.exists():
            file.write_text(merged(file.read_text(), block.text))
            return
        if not file.parent.exists():
            for package in (file.parent, file.parent / "migrations"):
                package.mkdir(parents=True)
                (package / "__init__.py").touch()
        file.write_text(block.text)

    def type(self, command: Command, block: Block) -> None:
        if _NOT_TYPED.match(command.line):
            return
        if exported := _EXPORT.fullmatch(command.line):
            self.env[exported[1]] = exported[2]
            return
        if command.line == "echo $?":
            self._compare(command, f"{self.status}\n", block)
            self.status = 0
            return
        self.finish()
        done = self.run(command.line)
        self.status, self.last = done.returncode, f"$ {command.line}\n{done.stdout}"
        self._compare(command, done.stdout, block)

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run one line of shell as the reader would."""
        return self._run(["bash", "-c", line], "")

    def play(self, block: Block) -> None:
        session = _PLAY.format(name=self._at(block))
        shell = [sys.executable, "manage.py", "shell", "--verbosity", "0"]
        done = self._run([*shell, "--command", session], block.text)
        assert done.returncode == 0, done.stdout

    def finish(self) -> None:
        """Fail if the last command did, and nobody asked for its exit status."""
        assert self.status == 0, f"{self.page.name}: status {self.status}\n{self.last}"

    def _run(self, argv: list[str], text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=self.directory,
            env=self.env,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=240,
        )

    def _compare(self, command: Command, printed: str, block: Block) -> None:
        same = doctest.OutputChecker().check_output(
            _anything(command.expected), _anything(printed), _FLAGS
        )
        assert same, (
            f"{self._at(block)}: $ {command.line}\nexpected:\n{command.expected}\n"
            f"printed (status {self.status}):\n{printed}"
        )

    def _at(self, block: Block) -> str:
        return f"{self.page.name}:{block.line}"


def _anything(text: str) -> str:
    """Let `...` stand for no output at all, too."""
    return f"|{text.strip()}|" if text.strip() != "..." else "|...|"
