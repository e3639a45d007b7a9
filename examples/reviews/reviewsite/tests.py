"""Loading, generating, the panel of queries, and pages that say what went wrong."""

from collections import Counter
from io import StringIO
from itertools import islice
from typing import get_args

from django.core.management import CommandError, call_command
from django.test import RequestFactory, SimpleTestCase
from shoal.routing.context import Reason
from shoal.testing import TestCase, assertQueriesOn

from accounts.models import User
from products.models import Genre, Product
from reviews.models import Review
from reviewsite.loading.generated import generate, study
from reviewsite.loading.ratings import Rating, read_films, read_ratings
from reviewsite.queries import LONGEST_SQL, shorten
from reviewsite.templatetags.sources import WORDS


class Loading(TestCase):
    def load(self, **options: object) -> None:
        call_command("load_ratings", stdout=StringIO(), **options)

    def counted(self) -> tuple[int, int, int]:
        reviews = Review.objects.count()
        return Product.objects.count(), User.objects.count(), reviews

    def test_all_real_ratings_and_again_without_doubling(self) -> None:
        self.load()
        self.assertEqual(self.counted(), (9066, 672, 100_004))
        self.assertEqual(Genre.objects.count(), 19)
        film = Product.objects.using("products").get(pk=2571)
        self.assertEqual((film.title, film.sort_title), ("The Matrix", "Matrix, The"))
        self.assertEqual((film.review_count, film.rating_sum), (259, 2167))
        self.assertFalse(Review.objects.exclude(text="").exists())
        self.assertEqual(Review.objects.filter(product=2571).count(), 259)
        self.load(reviews=101_000)
        self.assertEqual(self.counted()[2], 101_000)
        self.assertEqual(Review.objects.filter(generated=True).count(), 996)
        self.assertFalse(Review.objects.filter(generated=False).exclude(text=""))
        self.load(reviews=101_000)
        self.assertEqual(self.counted()[2], 101_000)
        added = Product.objects.create(title="New")
        self.assertGreater(added.pk, 163_949)

    def test_the_staff_and_everyone_else_can_log_in(self) -> None:
        self.load()
        for name, staff in [("staff", True), ("reviewer17", False)]:
            self.assertTrue(self.client.login(username=name, password="shoal-demo"))
            self.assertEqual(User.objects.get(username=name).is_staff, staff)

    def test_fewer_than_the_real_ones(self) -> None:
        with self.assertRaisesMessage(CommandError, "--reviews 5 is less than the"):
            self.load(reviews=5)


class Generating(SimpleTestCase):
    films = read_films()
    ratings = read_ratings()
    market = study(films, ratings)

    def made(self, number: int, seed: int = 1) -> list[Rating]:
        return list(islice(generate(self.market, self.ratings, seed), number))

    def test_the_same_seed_gives_the_same_and_fewer_are_the_beginning(self) -> None:
        self.assertEqual(self.made(2000)[:700], self.made(700))
        self.assertNotEqual(self.made(700, seed=2), self.made(700))

    def test_nobody_rates_a_film_twice(self) -> None:
        pairs = [(rating.login, rating.film) for rating in self.made(20_000)]
        self.assertEqual(len(set(pairs)), len(pairs))

    def test_they_look_like_the_real_ones(self) -> None:
        made = self.made(30_000)
        mean = sum(r.half_stars for r in made) / len(made)
        real = sum(r.half_stars for r in self.ratings) / len(self.ratings)
        self.assertAlmostEqual(mean, real, delta=0.5)
        self.assertEqual({r.half_stars for r in made}, set(range(1, 11)))
        popular = [film for film, _ in Counter(r.film for r in made).most_common(50)]
        really = Counter(r.film for r in self.ratings)
        self.assertGreater(min(really[film] for film in popular), 80)
        latest = max(r.created for r in self.ratings)
        self.assertLess(max(r.created for r in made).year, latest.year + 1)

    def test_texts_are_marked_as_generated(self) -> None:
        made = self.made(500)
        self.assertTrue(all(rating.generated for rating in made))
        self.assertTrue(any(rating.text for rating in made))


class Panel(TestCase):
    def test_tells_servers_and_costs_no_query_per_query(self) -> None:
        Product.objects.create(title="Heat")
        self.client.get("/")
        with assertQueriesOn("reviews", 1):
            page = self.client.get("/")
        self.assertContains(page, 'data-cluster="products" data-server="products"')
        for number in range(4):
            part = f'data-server="reviews_{number}" data-role="shard" data-event="part"'
            self.assertContains(page, f'data-cluster="reviews" {part}', 1)
        self.assertContains(page, " quer")
        self.assertNotContains(page, "<!-- queries -->")
        self.assertEqual(int(page["Content-Length"]), len(page.content))

    def test_long_sql_is_shortened_to_what_tells_queries_apart(self) -> None:
        columns = ", ".join(f'"films"."column_{i}"' for i in range(20))
        sql = f'SELECT {columns} FROM "films" WHERE "id" IN (%s, %s, %s, %s, %s)'
        self.assertEqual(shorten(sql), "SELECT … FROM films WHERE id IN (…)")
        self.assertEqual(shorten("SELECT  1\n AS x"), "SELECT 1 AS x")
        pairs = "x IN ((%s), (%s), (%s), (%s), (%s))"
        self.assertEqual(shorten(pairs), "x IN (…)")
        self.assertEqual(len(shorten("x" * 5000)), LONGEST_SQL)


class Sources(TestCase):
    def test_there_are_words_for_every_reason(self) -> None:
        self.assertEqual(set(WORDS), set(get_args(Reason)))

    def test_a_page_says_which_server_its_films_came_from(self) -> None:
        Product.objects.create(title="Heat")
        page = self.client.get("/")
        self.assertContains(page, 'data-cluster="products" data-reason="')
        self.assertContains(page, "Films came from ")
        self.assertNotContains(self.client.get("/account/login/"), "came from")


class WhenSomethingFails(SimpleTestCase):
    def test_a_page_of_its_own_without_asking_any_server(self) -> None:
        from reviewsite.errors import failed

        page = failed(RequestFactory().get("/"))
        self.assertContains(page, "That was our mistake", status_code=500)
