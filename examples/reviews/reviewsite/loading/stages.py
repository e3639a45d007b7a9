"""Takes films, people and ratings, brings each into its own cluster.

Every stage is all or nothing, that of the reviews on each shard, and leaves alone what
is there already; so a load that was interrupted is finished by loading again.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache

from django.contrib.auth.hashers import make_password
from django.db import router
from shoal.placement import shard_of
from shoal.sharding import new_ids

from accounts.models import User
from products.models import Genre, Product
from products.titles import search_form, shown_title
from reviews.models import Review
from reviewsite.loading.copying import Tick, advance_sequence, copy_new
from reviewsite.loading.ratings import Film, Rating

DEMO_PASSWORD = "shoal-demo"
STAFF = "staff"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PRODUCT_COLUMNS = "id title sort_title search_text year review_count rating_sum"
USER_COLUMNS = (
    "username display_name password date_joined generated review_count"
    " is_superuser is_staff is_active first_name last_name email"
)
REST = (False, False, True, "", "", "")
REVIEW_COLUMNS = "id product_id author_id half_stars text generated created"


def load_films(films: Sequence[Film], tick: Tick) -> int:
    genres = sorted({genre for film in films for genre in film.genres})
    copy_new(Genre, ["name"], ([genre] for genre in genres))
    new = copy_new(
        Product,
        PRODUCT_COLUMNS.split(),
        (row_of(film) for film in films),
        tick,
    )
    alias = router.db_for_write(Genre)
    ids = dict(Genre.objects.using(alias).values_list("name", "id"))
    copy_new(
        Product.genres.through,
        ["product_id", "genre_id"],
        ([film.id, ids[genre]] for film in films for genre in film.genres),
    )
    advance_sequence(Product)
    return new


def row_of(film: Film) -> list[object]:
    title = shown_title(film.catalogued)
    search = search_form(f"{title} {film.year or ''}")
    return [film.id, title, film.catalogued, search, film.year, 0, 0]


def load_people(ratings: Iterable[Rating]) -> int:
    """Give all the same password, hashed once: one hash takes a quarter of a second."""
    secrets = {False: make_password(DEMO_PASSWORD), True: make_password(None)}
    first: dict[str, Rating] = {}
    for rating in ratings:
        known = first.get(rating.login)
        if known is None or rating.created < known.created:
            first[rating.login] = rating
    return copy_new(
        User,
        USER_COLUMNS.split(),
        (
            [
                login,
                name_of(login),
                secrets[r.generated],
                r.created,
                r.generated,
                0,
                *REST,
            ]
            for login, r in first.items()
        ),
    )


def name_of(login: str) -> str:
    number = login.lstrip(LETTERS)
    kind = "Generated reviewer" if login.startswith("generated") else "Reviewer"
    return f"{kind} {number}"


def load_staff() -> bool:
    """Make the one account that may enter the admin, unless it is there."""
    alias = router.db_for_write(User)
    people = User.objects.using(alias)
    if people.filter(username=STAFF).exists():
        return False
    User.objects.db_manager(alias).create_superuser(
        STAFF, password=DEMO_PASSWORD, display_name="Staff"
    )
    return True


def load_reviews(ratings: Sequence[Rating], tick: Tick) -> int:
    """Send each review to the shard of its film."""
    alias = router.db_for_write(User)
    people = dict(User.objects.using(alias).values_list("username", "id"))
    shard = cache(lambda film: shard_of(Review, film))
    rows: dict[str, list[Sequence[object]]] = defaultdict(list)
    ids = new_ids(Review, [rating.film for rating in ratings])
    for id, r in zip(ids, ratings, strict=True):
        what = (r.half_stars, r.text, r.generated, r.created)
        rows[shard(r.film)].append([id, r.film, people[r.login], *what])
    columns = REVIEW_COLUMNS.split()
    return sum(
        copy_new(Review, columns, rows[name], tick, alias=name) for name in sorted(rows)
    )
