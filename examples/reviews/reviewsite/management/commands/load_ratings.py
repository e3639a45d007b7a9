"""Takes how many ratings are wanted, loads them and what they are about."""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from reviews.figures import refresh_people, refresh_products
from reviewsite.loading import stages
from reviewsite.loading.generated import generated_ratings
from reviewsite.loading.ratings import Film, Rating, read_films, read_ratings

CHUNK = 50_000


class Command(BaseCommand):
    help = "Load the films and ratings of MovieLens. May be run again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--reviews",
            type=int,
            metavar="N",
            help="this many in all, by generating what the real ones lack",
        )
        parser.add_argument("--seed", type=int, default=1, help="of what is generated")

    def handle(self, *, reviews: int | None, seed: int, **_: Any) -> None:
        films, ratings = read_films(), read_ratings()
        wanted = len(ratings) if reviews is None else reviews
        if wanted < len(ratings):
            raise CommandError(
                f"--reviews {wanted} is less than the {len(ratings):,} real ones,"
                f" which are always loaded. Leave it out, or ask for more."
            )
        made_up = generated_ratings(films, ratings, wanted - len(ratings), seed)
        with progress_bar(self.stdout) as progress:
            load(progress, films, ratings, wanted, made_up)


def progress_bar(out: Any) -> Progress:
    return Progress(
        TextColumn("{task.description:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(file=getattr(out, "_out", out)),
    )


def load(
    progress: Progress,
    films: Sequence[Film],
    ratings: Sequence[Rating],
    wanted: int,
    made_up: Iterator[Rating],
) -> None:
    task = progress.add_task("films", total=len(films))
    stages.load_films(films, lambda rows: progress.advance(task, rows))
    progress.update(task, completed=len(films))
    people = progress.add_task("people", total=None)
    reviews = progress.add_task("reviews", total=wanted)
    arrived = found = 0
    for chunk in chunks(ratings, made_up):
        found += stages.load_people(chunk)
        progress.update(people, completed=found)
        stages.load_reviews(chunk, lambda rows: progress.advance(reviews, rows))
        arrived += len(chunk)
        progress.update(reviews, completed=arrived)
    stages.load_staff()
    progress.update(people, total=found, completed=found)
    for what, refresh, number in (
        ("averages", refresh_products, len(films)),
        ("counters", refresh_people, found),
    ):
        task = progress.add_task(what, total=number)
        refresh()
        progress.update(task, completed=number)


def chunks(
    ratings: Sequence[Rating], made_up: Iterator[Rating]
) -> Iterator[Sequence[Rating]]:
    """The real ones at once, so that each person's first rating is known."""
    yield ratings
    while chunk := list(islice(made_up, CHUNK)):
        yield chunk
