"""Writing and deleting reviews, whose products and people are on other servers."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from io import StringIO
from threading import Barrier
from typing import Any

from django.core.management import call_command
from django.db import DataError, IntegrityError, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, SimpleTestCase
from django.utils import timezone
from shoal.placement import shard_of
from shoal.testing import TestCase, TransactionTestCase, assertQueriesOn

from accounts.models import User
from products.models import Product
from reviews.figures import Distribution
from reviews.models import Review
from reviews.reading import latest_reviews
from reviews.writing import keep, remove
from reviewsite.queries import PLACE, QueryPanel

SHARDS = ("reviews_0", "reviews_1", "reviews_2", "reviews_3")


def film_on(shard: str, title: str = "Heat") -> Product:
    """Make films until one has its reviews on this shard."""
    while True:
        film = Product.objects.create(title=title, year=1995)
        if shard_of(Review, film.pk) == shard:
            return film


class Figures(SimpleTestCase):
    def test_of_some_reviews(self) -> None:
        figures = Distribution({10: 3, 1: 1})
        self.assertEqual((figures.total, figures.average), (4, 7.75))
        best, worst = figures.bars[0], figures.bars[-1]
        self.assertEqual((best.half_stars, best.count, best.percent), (10, 3, 75.0))
        self.assertEqual((worst.half_stars, worst.count, worst.percent), (1, 1, 25.0))

    def test_of_none(self) -> None:
        figures = Distribution({})
        self.assertEqual((figures.total, figures.average), (0, None))
        self.assertEqual([bar.percent for bar in figures.bars], [0.0] * 10)


class Reviews(TestCase):
    def setUp(self) -> None:
        self.film = Product.objects.create(title="Heat", year=1995)
        self.ada = User.objects.create_user("ada", display_name="Ada")
        self.bob = User.objects.create_superuser("bob")
        self.path = f"/films/{self.film.pk}/review/"

    def post(self, path: str, **fields: object) -> None:
        with self.captureOnCommitCallbacks(using="reviews", execute=True):
            page = self.client.post(path, fields)
        self.assertIn(page.status_code, (200, 302))

    def copied(self, film: Product) -> tuple[int, int]:
        found = Product.objects.using("products").get(pk=film.pk)
        return found.review_count, found.rating_sum

    def counted(self) -> int:
        """Say how many reviews Ada's own row tells of."""
        return User.objects.get(pk=self.ada.pk).review_count

    def test_whoever_is_not_logged_in_is_sent_to_log_in(self) -> None:
        for path in (self.path, f"{self.path}delete/", "/account/"):
            page = self.client.post(path, {"half_stars": 8})
            self.assertRedirects(page, f"/account/login/?next={path}")
        self.assertFalse(Review.objects.exists())

    def test_a_second_review_changes_the_first(self) -> None:
        self.client.force_login(self.ada)
        self.post(self.path, half_stars=8, text="Good.")
        self.post(self.path, half_stars=5, text="Not so good.")
        review = Review.objects.get()
        self.assertEqual((review.half_stars, review.text), (5, "Not so good."))
        self.assertIsNotNone(review.updated)
        self.assertEqual((self.copied(self.film), self.counted()), ((1, 5), 1))
        self.post(f"{self.path}delete/")
        self.assertEqual((self.copied(self.film), self.counted()), ((0, 0), 0))

    def test_two_windows_that_send_at_once_end_in_one_review(self) -> None:
        keep(self.film.pk, self.ada.pk, {"half_stars": 3, "text": ""})
        keep(self.film.pk, self.ada.pk, {"half_stars": 4, "text": ""})
        self.assertEqual(Review.objects.get().half_stars, 4)
        self.assertEqual((self.copied(self.film), self.counted()), ((1, 4), 1))
        with self.assertRaises(IntegrityError), transaction.atomic(using="reviews"):
            Review.objects.create(product=self.film, author=self.ada, half_stars=1)

    def test_the_server_itself_refuses_a_rating_that_is_none(self) -> None:
        with self.assertRaises(IntegrityError), transaction.atomic(using="reviews"):
            Review.objects.create(product=self.film, author=self.ada, half_stars=11)

    def test_nobody_deletes_another_persons_review(self) -> None:
        Review.objects.create(product=self.film, author=self.bob, half_stars=8)
        self.client.force_login(self.ada)
        self.post(f"{self.path}delete/")
        self.assertEqual(Review.objects.get().author_id, self.bob.pk)

    def test_a_page_asks_the_same_number_of_queries_for_any_number_of_reviews(
        self,
    ) -> None:
        Review.objects.create(product=self.film, author=self.ada, half_stars=8)
        for expected in (1, 2):
            with (
                assertQueriesOn(shard_of(Review, self.film.pk), 2),
                assertQueriesOn("reviews", 2),
                assertQueriesOn("accounts", 1),
            ):
                page = self.client.get(self.film.get_absolute_url())
            self.assertContains(page, '<article class="review', expected)
            Review.objects.get_or_create(
                product=self.film, author=self.bob, defaults={"half_stars": 3}
            )

    def test_words_are_shown_as_written(self) -> None:
        Review.objects.create(
            product=self.film, author=self.ada, half_stars=8, text="<script>x</script>"
        )
        page = self.client.get(self.film.get_absolute_url())
        self.assertContains(page, "&lt;script&gt;x&lt;/script&gt;")

    def test_a_deleted_film_takes_its_reviews_along(self) -> None:
        other = Product.objects.create(title="Alien")
        keep(self.film.pk, self.ada.pk, {"half_stars": 8})
        keep(other.pk, self.ada.pk, {"half_stars": 8})
        with self.captureOnCommitCallbacks(using="products", execute=True):
            self.film.delete()
        self.assertEqual(Review.objects.get().product_id, other.pk)
        self.assertEqual((self.copied(other), self.counted()), ((1, 8), 1))

    def test_a_person_who_leaves_takes_only_the_name_along(self) -> None:
        Review.objects.create(product=self.film, author=self.ada, half_stars=8)
        with self.captureOnCommitCallbacks(using="accounts", execute=True):
            self.ada.delete()
        self.assertIsNone(Review.objects.get().author_id)
        self.assertContains(self.client.get(self.film.get_absolute_url()), "Former")

    def test_pages_bear_what_was_left_over_while_a_server_was_down(self) -> None:
        Review.objects.create(product_id=10**9, author=self.ada, half_stars=8)
        Review.objects.create(product=self.film, author_id=10**9, half_stars=8)
        self.client.force_login(self.bob)
        person = self.client.get(self.ada.get_absolute_url())
        self.assertContains(person, "A film that is no longer here")
        film = self.client.get(self.film.get_absolute_url())
        self.assertContains(film, "Former reviewer")
        listed = self.client.get("/admin/reviews/review/")
        self.assertContains(listed, "2 reviews")
        self.assertContains(listed, "Heat (1995)", 1)

    def test_reconcile_puts_right_what_was_left_over(self) -> None:
        Review.objects.create(product_id=10**9, author=self.ada, half_stars=8)
        Review.objects.create(product=self.film, author_id=10**9, half_stars=7)
        call_command("reconcile", stdout=(out := StringIO()))
        review = Review.objects.get()
        self.assertEqual((review.product_id, review.author_id), (self.film.pk, None))
        self.assertEqual((self.copied(self.film), self.counted()), ((1, 7), 0))
        lines = out.getvalue().splitlines()
        self.assertEqual([line[:2] for line in lines], ["1 ", "1 ", "1 ", "0 "])
        call_command("reconcile", stdout=(again := StringIO()))
        self.assertEqual(
            [line[:2] for line in again.getvalue().splitlines()], ["0 "] * 4
        )

    def test_reconcile_counts_for_people_what_was_written_past_the_site(self) -> None:
        Review.objects.create(product=self.film, author=self.ada, half_stars=8)
        call_command("reconcile", stdout=(out := StringIO()))
        self.assertEqual((self.copied(self.film), self.counted()), ((1, 8), 1))
        self.assertIn("1 people with a wrong count", out.getvalue())

    def test_a_film_that_went_while_its_review_was_written_is_nobodys_concern(
        self,
    ) -> None:
        keep(10**9, self.ada.pk, {"half_stars": 8})
        self.assertEqual(self.counted(), 1)
        self.assertEqual(remove(product_id=10**9), 1)
        self.assertEqual(self.counted(), 0)

    def test_the_admin_changes_a_review_but_not_its_film(self) -> None:
        other = Product.objects.create(title="Alien")
        review = keep(self.film.pk, self.ada.pk, {"half_stars": 8})
        self.client.force_login(self.bob)
        fields = {"product": other.pk, "author": self.ada.pk, "half_stars": 6}
        when = {"created_0": "2020-01-01", "created_1": "12:00:00"}
        self.post(f"/admin/reviews/review/{review.pk}/change/", **fields, **when)
        self.assertEqual(self.copied(self.film), (1, 6))
        self.assertEqual(Review.objects.get().product_id, self.film.pk)

    def test_the_admin_gives_a_review_to_another_person(self) -> None:
        review = keep(self.film.pk, self.ada.pk, {"half_stars": 8})
        self.client.force_login(self.bob)
        fields = {"author": self.bob.pk, "half_stars": 8}
        when = {"created_0": "2020-01-01", "created_1": "12:00:00"}
        self.post(f"/admin/reviews/review/{review.pk}/change/", **fields, **when)
        self.assertEqual((self.copied(self.film), self.counted()), ((1, 8), 0))
        self.assertEqual(User.objects.get(pk=self.bob.pk).review_count, 1)
        self.post(f"/admin/reviews/review/{review.pk}/delete/", post="yes")
        self.assertEqual(self.copied(self.film), (0, 0))
        self.assertEqual(User.objects.get(pk=self.bob.pk).review_count, 0)

    def test_the_admin_adds_a_review_of_any_film(self) -> None:
        self.client.force_login(self.bob)
        for number, shard in enumerate(SHARDS):
            film = film_on(shard)
            fields = {"product": film.pk, "author": self.ada.pk, "half_stars": 6}
            when = {"created_0": "2020-01-01", "created_1": "12:00:00"}
            self.post("/admin/reviews/review/add/", **fields, **when)
            self.assertEqual(Review.objects.using(shard).get().product_id, film.pk)
            self.assertEqual(Review.objects.count(), number + 1)
            self.assertEqual(self.copied(film), (1, 6))
            page = self.client.post("/admin/reviews/review/add/", {**fields, **when})
            self.assertContains(page, "already exists")

    def test_the_admin_deletes_several_and_counts_their_films(self) -> None:
        review = keep(self.film.pk, self.ada.pk, {"half_stars": 8})
        self.client.force_login(self.bob)
        chosen = {"action": "delete_selected", "_selected_action": [review.pk]}
        self.post("/admin/reviews/review/", **chosen, post="yes")
        self.assertFalse(Review.objects.exists())
        self.assertEqual((self.copied(self.film), self.counted()), ((0, 0), 0))

    def test_the_admin_finds_reviews_by_title_person_and_words(self) -> None:
        Review.objects.create(
            product=self.film, author=self.ada, half_stars=8, text="Superb."
        )
        self.client.force_login(self.bob)
        for words, found in [("heat", 1), ("ADA", 1), ("superb", 1), ("alien", 0)]:
            with self.subTest(words):
                page = self.client.get("/admin/reviews/review/", {"q": words})
                self.assertContains(page, "Heat (1995)", found)


class AllOrNothing(TransactionTestCase):
    """Without the transaction that a `TestCase` is in: two phases are at work."""

    def setUp(self) -> None:
        self.film = film_on("reviews_2")
        self.people = [User.objects.create_user(f"person{n}") for n in range(8)]

    def said(self) -> tuple[int, int, int, int]:
        film = Product.objects.using("products").get(pk=self.film.pk)
        counters = User.objects.values_list("review_count", flat=True)
        reviews = Review.objects.count()
        return reviews, film.review_count, film.rating_sum, sum(counters)

    def test_many_at_once_are_all_counted(self) -> None:
        ready = Barrier(len(self.people))

        def write(person: User) -> None:
            ready.wait(10)
            for half_stars in (3, 10, 7):
                keep(self.film.pk, person.pk, {"half_stars": half_stars})
            connections.close_all()

        with ThreadPoolExecutor(len(self.people)) as threads:
            list(threads.map(write, self.people))
        self.assertEqual(self.said(), (8, 8, 56, 8))

    def test_one_person_in_many_windows_is_counted_once(self) -> None:
        ready = Barrier(4)

        def write(half_stars: int) -> None:
            ready.wait(10)
            keep(self.film.pk, self.people[0].pk, {"half_stars": half_stars})
            connections.close_all()

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(write, [9, 8, 3, 1]))
        last = Review.objects.get().half_stars
        self.assertEqual(self.said(), (1, 1, last, 1))

    def test_what_one_server_refuses_none_keeps(self) -> None:
        User.objects.filter(pk=self.people[0].pk).update(review_count=2**31 - 1)
        with self.assertRaises(DataError):
            keep(self.film.pk, self.people[0].pk, {"half_stars": 8})
        self.assertEqual(self.said()[:3], (0, 0, 0))

    def test_the_panel_of_the_next_page_lists_the_unit(self) -> None:
        self.client.force_login(self.people[0])
        path = f"{self.film.get_absolute_url()}review/"
        page = self.client.post(path, {"half_stars": 8}, follow=True)
        self.assertContains(page, "were written in one unit of work")
        [unit] = page.context["trace"].units
        self.assertEqual({*unit.servers}, {"reviews_2", "products", "accounts"})
        self.assertContains(page, f"<b>{unit.home}</b> decided.")
        steps = re.findall(r'data-step="(\w+)"', page.content.decode())
        self.assertEqual(
            steps,
            ["written", *["prepared"] * 2, "decided", *["committed"] * 2, "forgotten"],
        )
        again = self.client.get(self.film.get_absolute_url())
        self.assertNotContains(again, "were written in one unit of work")

    def test_a_forged_cookie_shows_nothing(self) -> None:
        self.client.cookies["shoal_reviews_units"] = "forged:signature"
        page = self.client.get(self.film.get_absolute_url())
        self.assertNotContains(page, "were written in one unit of work")

    def test_a_film_that_is_locked_is_said_to_be(self) -> None:
        self.client.force_login(self.people[0])
        path = f"{self.film.get_absolute_url()}review/"
        with transaction.atomic(using="products"):
            Product.objects.using("products").select_for_update().get(pk=self.film.pk)
            self.client.raise_request_exception = False
            logged = self.assertLogs("django.request", "ERROR")
            with ThreadPoolExecutor(1) as apart, logged:
                page = apart.submit(self.post_apart, path).result(30)
        self.assertContains(page, "Somebody else is changing this", status_code=503)
        self.assertEqual(self.said(), (0, 0, 0, 0))

    def post_apart(self, path: str) -> Any:
        page = self.client.post(path, {"half_stars": 8})
        connections.close_all()
        return page


class OnFourShards(TestCase):
    def setUp(self) -> None:
        self.ada = User.objects.create_user("ada", display_name="Ada")
        self.films = {shard: film_on(shard, f"Film of {shard}") for shard in SHARDS}

    def review(self, shard: str, **fields: object) -> Review:
        fields = {"author": self.ada, "half_stars": 8, **fields}
        return Review.objects.create(product=self.films[shard], **fields)

    def test_a_review_lands_on_the_shard_of_its_film_and_nowhere_else(self) -> None:
        for shard in SHARDS:
            review = self.review(shard)
            where = Review.objects.filter(pk=review.pk)
            found = [name for name in SHARDS if where.using(name).exists()]
            self.assertEqual(found, [shard])

    def test_the_page_of_a_film_asks_one_shard(self) -> None:
        for asked in SHARDS:
            self.review(asked)
            others = [shard for shard in SHARDS if shard != asked]
            with (
                assertQueriesOn(asked, 2),
                assertQueriesOn(others[0], 0),
                assertQueriesOn(others[1], 0),
                assertQueriesOn(others[2], 0),
            ):
                page = self.client.get(self.films[asked].get_absolute_url())
            self.assertContains(page, 'data-event="query_on_one_shard"', 2)
            self.assertContains(page, "One shard: product_id is the key")
            self.assertContains(page, "Reviews came from one shard, ")

    def test_a_persons_reviews_are_those_of_all_shards(self) -> None:
        for shard in SHARDS:
            self.review(shard)
        self.review("reviews_2", author=None)
        self.client.force_login(self.ada)
        for path in ("/account/", self.ada.get_absolute_url()):
            page = self.client.get(path)
            self.assertContains(page, "4 reviews, 4.0 stars on average")
            for film in self.films.values():
                self.assertContains(page, film.title, 1)
            self.assertContains(page, 'data-event="query_scattered"', 2)
            self.assertNotContains(page, "query_gathered")
            self.assertContains(page, "Reviews came from 4 shards, and were merged.")

    def test_a_persons_reviews_are_paged_over_all_shards(self) -> None:
        for number in range(23):
            film = Product.objects.create(title=f"Film {number}")
            when = datetime(2020, 1, 1 + number, tzinfo=UTC)
            Review.objects.create(
                product=film, author=self.ada, half_stars=4, created=when
            )
        second = self.client.get(f"{self.ada.get_absolute_url()}?page=2")
        shown = re.findall(r">(Film \d+)<", second.content.decode())
        self.assertEqual(shown, ["Film 2", "Film 1", "Film 0"])
        self.assertContains(second, "23 reviews, 2.0 stars on average")

    def test_the_latest_are_the_latest_of_all_shards(self) -> None:
        begin = datetime(2020, 1, 1, tzinfo=UTC)
        days = {"reviews_0": 1, "reviews_1": 7, "reviews_2": 3, "reviews_3": 5}
        for shard, day in days.items():
            self.review(shard, created=begin + timedelta(day))
        with assertQueriesOn("reviews", 1):
            shown = [review.product for review in latest_reviews(3)]
        latest = ("reviews_1", "reviews_3", "reviews_2")
        self.assertEqual(shown, [self.films[shard] for shard in latest])

    def test_each_shard_sends_no_more_of_the_latest_than_are_shown(self) -> None:
        for shard in SHARDS:
            for person in range(1000, 1009):
                self.review(shard, author_id=person)
        page = self.client.get("/").content.decode()
        self.assertEqual(re.findall(r">(\d+) rows ·", page), ["6"] * 4)

    def test_the_panel_says_why_all_shards_were_asked(self) -> None:
        shown = self.panel(lambda: list(Review.objects.all()))
        self.assertIn("merged from 4 shards", shown)
        merged = "Each shard answered its part, and the parts were merged"
        self.assertIn(f"{merged}: no key says where the rows are.", shown)
        two = [self.films[shard].pk for shard in ("reviews_1", "reviews_3")]
        shown = self.panel(lambda: Review.objects.filter(product__in=two).count())
        self.assertIn("merged from 2 shards", shown)
        of = "the rows of several keys are on reviews_1 and reviews_3."
        self.assertIn(f"{merged}: {of}", shown)
        parts = re.findall(r'data-server="(\w+)" data-role="shard"', shown)
        self.assertEqual(parts, ["reviews_1", "reviews_3"])

    def test_the_panel_says_what_was_brought_together(self) -> None:
        self.review("reviews_2")
        shown = self.panel(lambda: list(Review.objects.select_related("author")))
        self.assertIn("Brought together, to join what lives on other servers.", shown)
        self.assertIn("1 row of reviews_review", shown)

    def test_staff_page_and_filter_the_reviews_of_all_shards(self) -> None:
        for shard in SHARDS:
            for person in range(1000, 1030):
                self.review(shard, author_id=person, half_stars=person % 10 + 1)
        self.client.force_login(User.objects.create_superuser("bob"))
        seen = set()
        for number, expected in [(1, 50), (2, 50), (3, 20)]:
            page = self.client.get("/admin/reviews/review/", {"p": number})
            self.assertContains(page, "120 reviews")
            self.assertNotContains(page, "query_gathered")
            found = re.findall(
                r'name="_selected_action" value="(\d+)"', str(page.content)
            )
            self.assertEqual(len(found), expected)
            seen.update(found)
        self.assertEqual(len(seen), 120)
        best = {"half_stars__exact": 10, "created__year": timezone.now().year}
        page = self.client.get("/admin/reviews/review/", best)
        self.assertContains(page, "12 results")
        self.assertContains(page, "120 total")
        counts = self.client.get("/admin/reviews/review/", {"_facets": ""})
        self.assertContains(counts, "0.5 (12)")
        self.assertNotContains(counts, "query_gathered")
        by_stars = self.client.get("/admin/reviews/review/", {"o": "3"})
        self.assertContains(by_stars, '<td class="field-half_stars">0.5</td>', 12)
        self.assertNotContains(by_stars, "query_gathered")

    def panel(self, act: Callable[[], object]) -> str:
        """Say what the panel of a page shows that does this."""

        def view(request: HttpRequest) -> HttpResponse:
            act()
            return HttpResponse(PLACE)

        page: Any = QueryPanel(view)(RequestFactory().get("/"))
        return str(page.content.decode())

    def test_the_panel_says_where_a_change_was_written(self) -> None:
        created = self.panel(lambda: self.review("reviews_3"))
        self.assertIn("Written on one shard: product_id is the key.", created)
        mine = Review.objects.filter(author=self.ada)
        changed = self.panel(lambda: mine.update(half_stars=1))
        every = "reviews_0, reviews_1, reviews_2 and reviews_3"
        self.assertIn(f"Written on {every}: no key says where the rows are.", changed)
        deleted = self.panel(mine.get().delete)
        self.assertIn("Written on one shard: id carries its place.", deleted)

    def test_staff_find_one_review_among_all_by_its_id(self) -> None:
        review = self.review("reviews_1")
        self.client.force_login(User.objects.create_superuser("bob"))
        with assertQueriesOn("reviews_0", 0), assertQueriesOn("reviews_1", 1):
            page = self.client.get(f"/admin/reviews/review/{review.pk}/change/")
        self.assertContains(page, "One shard: id carries its place")
