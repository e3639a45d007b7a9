"""Takes the two CSV files of the MovieLens data, gives films and ratings as values."""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "data"
NO_GENRES = "(no genres listed)"


@dataclass(frozen=True, slots=True)
class Film:
    id: int
    catalogued: str
    """As in the file: "Matrix, The". Five films have no title there."""
    year: int | None
    genres: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rating:
    login: str
    film: int
    half_stars: int
    created: datetime
    text: str = ""
    generated: bool = False


def read_films() -> list[Film]:
    return [
        Film(
            id=int(row["movie_id"]),
            catalogued=row["title"] or f"Untitled film {row['movie_id']}",
            year=int(row["year"]) if row["year"] else None,
            genres=tuple(g for g in row["genres"].split("|") if g != NO_GENRES),
        )
        for row in rows_of("movies.csv.gz")
    ]


def read_ratings() -> list[Rating]:
    return [
        Rating(
            login=f"reviewer{row['user_id']}",
            film=int(row["movie_id"]),
            half_stars=round(2 * float(row["rating"])),
            created=datetime.fromtimestamp(int(row["timestamp"]), UTC),
        )
        for row in rows_of("ratings.csv.gz")
    ]


def rows_of(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
