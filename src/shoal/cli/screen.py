"""
Takes a command's streams and options, gives consoles: for people, or for programs.

With `--json` standard output holds one JSON document and nothing else.
"""

import json
import os
from collections.abc import Mapping
from typing import Any, TextIO, TypeAlias

from django.core.management.base import OutputWrapper
from rich.console import Console

Stream: TypeAlias = TextIO | OutputWrapper

WIDE = 160
"""Columns where no terminal says how many there are."""


class Screen:
    """
    Where a subcommand writes.

    The streams write text as it is: an `OutputWrapper` with an empty ending will do.
    """

    def __init__(
        self,
        stdout: OutputWrapper,
        stderr: Stream,
        *,
        is_json: bool = False,
        verbosity: int = 1,
        no_color: bool = False,
        force_color: bool = False,
    ) -> None:
        self.is_json, self.verbosity = is_json, verbosity
        self._stdout = stdout
        colors = {"no_color": no_color, "force_color": force_color}
        talk: Any = stderr if is_json else stdout
        self.talk = OutputWrapper(talk)
        """For people, and for what signal handlers print."""
        self.out = _console(talk, quiet=is_json, **colors)
        """The result, for people."""
        self.progress = _console(talk, quiet=verbosity == 0, **colors)
        """What goes on, for people; on standard error beside JSON."""
        self.wrote_data = False

    def data(self, data: Mapping[str, Any]) -> None:
        """Write the one JSON document."""
        self._stdout.write(json.dumps(data, indent=2) + "\n")
        self.wrote_data = True


def _console(
    stream: Stream, *, quiet: bool, no_color: bool, force_color: bool
) -> Console:
    file: Any = stream
    is_terminal = file.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    plain = no_color or bool(os.environ.get("NO_COLOR"))
    colored = force_color or (is_terminal and not plain)
    return Console(
        file=file,
        quiet=quiet,
        highlight=False,
        markup=False,
        emoji=False,
        force_terminal=is_terminal or force_color,
        color_system="auto" if colored else None,
        no_color=None if force_color else plain,
        width=None if is_terminal else max(WIDE, int(os.environ.get("COLUMNS") or 0)),
    )
