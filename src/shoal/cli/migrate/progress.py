"""Shows a run while it goes on: bars on a terminal, lines everywhere else."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from shoal.cli.migrate.coordination import Watcher
from shoal.cli.migrate.steps import Step
from shoal.cli.migrate.worker import Event
from shoal.types import Alias

STOPPING = (
    "Stopping when the current migration is through. Press Ctrl-C again not to wait "
    "for it."
)


class Lines:
    """A line for each migration, when it is through on all of its databases."""

    def __init__(self, console: Console, *, verbose: bool = False) -> None:
        self._console, self._verbose = console, verbose
        self._left: set[Alias] = set()
        self._through: dict[Alias, Event] = {}

    def began(self, step: Step, aliases: Sequence[Alias]) -> None:
        self._left, self._through = set(aliases), {}

    def through(self, event: Event) -> None:
        self._through[event.alias] = event
        self._leave(event.alias)

    def failed(self, alias: Alias, step: Step | None, error: BaseException) -> None:
        if step is not None:
            self._console.print(f"Failed {step} on {alias}", style="red")
        self._leave(alias)

    def stopping(self) -> None:
        self._console.print(STOPPING, style="yellow")

    def _leave(self, alias: Alias) -> None:
        self._left.discard(alias)
        if self._through and not self._left:
            through, self._through = self._through, {}
            self._console.print(_line(through, verbose=self._verbose), soft_wrap=True)


def _line(through: Mapping[Alias, Event], *, verbose: bool) -> str:
    event = next(iter(through.values()))
    assert event.through is not None
    word = "Unapplied" if event.through.backwards else "Applied"
    if event.faked:
        word = f"{word} (faked)"
    if verbose:
        where = ", ".join(f"{a} {e.seconds:.2f} s" for a, e in sorted(through.items()))
        return f"{word} {event.through} on {where}"
    longest = max(event.seconds for event in through.values())
    return f"{word} {event.through} on {', '.join(sorted(through))} ({longest:.2f} s)"


class Bars:
    """A bar for each database."""

    def __init__(self, progress: Progress, totals: Mapping[Alias, int]) -> None:
        self._progress = progress
        self._tasks: dict[Alias, TaskID] = {
            alias: progress.add_task(alias, total=total, what="")
            for alias, total in totals.items()
        }

    def began(self, step: Step, aliases: Sequence[Alias]) -> None:
        for alias in aliases:
            self._progress.update(self._tasks[alias], what=str(step))

    def through(self, event: Event) -> None:
        self._progress.update(self._tasks[event.alias], advance=1, what="")

    def failed(self, alias: Alias, step: Step | None, error: BaseException) -> None:
        self._progress.update(self._tasks[alias], what=f"[red]failed: {step}[/red]")

    def stopping(self) -> None:
        self._progress.console.print(STOPPING, style="yellow")


@contextlib.contextmanager
def shown(
    console: Console, totals: Mapping[Alias, int], *, verbose: bool
) -> Iterator[Watcher]:
    """Show a run of so many migrations by alias."""
    busy = {alias: total for alias, total in totals.items() if total}
    is_live = console.file.isatty() and console.is_terminal and not console.quiet
    if not (is_live and busy):
        yield Lines(console, verbose=verbose)
        return
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[what]}"),
        console=console,
    )
    bars = Bars(progress, busy)
    with progress:
        yield bars
