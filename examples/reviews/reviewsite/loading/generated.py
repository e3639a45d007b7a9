"""Takes the real ratings, gives any number of made-up ones that look like them.

Made-up people rate popular films more often, agree mostly with what others gave, and
differ in how many films they rate and how strict they are. The same seed gives the
same ratings, and a smaller number is the beginning of a larger one.
"""

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate, count, islice

from reviewsite.loading.ratings import Film, Rating

OPENINGS = {
    0: ("I gave up halfway.", "Not for me.", "Two hours I would like to have back."),
    1: ("Some good ideas, badly told.", "It starts well and loses its way."),
    2: ("Decent, if a bit long.", "Better than I had expected."),
    3: ("A film to see twice.", "It stayed with me for days.", "Wonderful."),
}
SUBJECTS = ("The story", "The cast", "The camera", "The music", "The ending")
VERDICTS = {
    0: ("falls flat", "makes no sense", "is a disappointment"),
    1: ("is uneven", "never quite works", "could have been better"),
    2: ("does its job", "holds it together", "has its moments"),
    3: ("is a joy", "is the best part", "could not be better"),
}


@dataclass(frozen=True)
class Market:
    """What the real ratings say about each film."""

    films: Sequence[int]
    weights: Sequence[float]
    """Cumulative, so that a draw is one bisection."""
    means: Sequence[float]


def study(films: Sequence[Film], ratings: Sequence[Rating]) -> Market:
    given: dict[int, list[int]] = {film.id: [] for film in films}
    for rating in ratings:
        given[rating.film].append(rating.half_stars)
    return Market(
        films=list(given),
        weights=list(accumulate((len(stars) + 1) ** 0.9 for stars in given.values())),
        means=[(sum(stars) + 35) / (len(stars) + 5) for stars in given.values()],
    )


def generate(market: Market, after: Sequence[Rating], seed: int) -> Iterator[Rating]:
    """Give ratings without end, one person after the other."""
    first = min(rating.created for rating in after)
    span = max(rating.created for rating in after) - first
    for number in count(1):
        dice = random.Random(f"{seed}/{number}")
        strictness = dice.gauss(0, 0.9)
        began = dice.random()
        size = min(max(20, int(dice.lognormvariate(4.2, 0.9))), len(market.films) // 4)
        for place in draw(market, dice, size):
            opinion = market.means[place] + strictness + dice.gauss(0, 1.7)
            half_stars = give(opinion, whole=dice.random() < 0.55)
            yield Rating(
                login=f"generated{number}",
                film=market.films[place],
                half_stars=half_stars,
                created=first
                + (0.95 * began + 0.05 * dice.random()) * span
                + timedelta(microseconds=place),
                text=write(half_stars, dice) if dice.random() < 0.4 else "",
                generated=True,
            )


def give(opinion: float, *, whole: bool) -> int:
    """Round to half stars, or, as most people like it, to whole ones."""
    rounded = 2 * round(opinion / 2) if whole else round(opinion)
    return min(10, max(1, rounded))


def draw(market: Market, dice: random.Random, size: int) -> list[int]:
    """Draw different films, the popular ones more often, in a stable order."""
    drawn: dict[int, None] = {}
    while len(drawn) < size:
        at = dice.random() * market.weights[-1]
        drawn[bisect_right(market.weights, at)] = None
    return list(drawn)


def write(half_stars: int, dice: random.Random) -> str:
    mood = min(3, max(0, (half_stars - 1) // 2 - 1))
    subject, other = dice.sample(SUBJECTS, 2)
    verdict, another = dice.sample(VERDICTS[mood], 2)
    opening = dice.choice(OPENINGS[mood])
    return f"{opening} {subject} {verdict}, and {other.lower()} {another}."


def generated_ratings(
    films: Sequence[Film], ratings: Sequence[Rating], number: int, seed: int
) -> Iterator[Rating]:
    return islice(generate(study(films, ratings), ratings, seed), number)
