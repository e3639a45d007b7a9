"""Takes lines of texts and numbers, prints them as a table that nothing is cut off."""

from collections.abc import Iterable, Sequence


def show(
    rows: Iterable[Sequence[str]],
    *,
    title: str,
    texts: Sequence[str],
    numbers: Sequence[str],
) -> None:
    """Print the columns `texts`, then `numbers`, then one of remarks without a name."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    table = Table(title=title)
    for name in texts:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    # A line is worth more whole than within the width of a terminal that is none.
    needed = Measurement.get(console, console.options.update(max_width=1000), table)
    console.width = max(console.width, needed.maximum)
    console.print(table)
