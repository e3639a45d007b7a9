"""What a film is called, how it is found and in which order."""

from django.test import SimpleTestCase
from django.urls import reverse
from shoal.testing import TestCase

from products.forms import SearchForm
from products.models import Genre, Product
from products.titles import search_form, shown_title


class Titles(SimpleTestCase):
    def test_an_article_goes_back_to_the_front(self) -> None:
        for catalogued, shown in [
            ("Matrix, The", "The Matrix"),
            ("American in Paris, An", "An American in Paris"),
            ("Misérables, Les", "Les Misérables"),
            ("Avventura, L' (Adventure, The)", "L'Avventura (Adventure, The)"),
            ("Crazy, Stupid, Love", "Crazy, Stupid, Love"),
            ("Good, the Bad and the Ugly, The", "The Good, the Bad and the Ugly"),
            ("Cook the Thief, The (a.k.a. X)", "The Cook the Thief (a.k.a. X)"),
            ("The", "The"),
        ]:
            with self.subTest(catalogued):
                self.assertEqual(shown_title(catalogued), shown)

    def test_search_ignores_case_accents_and_marks(self) -> None:
        self.assertEqual(search_form("Léon: The Professional"), "leon the professional")
        self.assertEqual(search_form("Ocean's  Eleven"), "oceans eleven")
        self.assertEqual(search_form("WALL·E"), "wall e")
        self.assertEqual(search_form("%_\\'; --"), "_")
        self.assertEqual(search_form(""), "")


class Search(TestCase):
    def setUp(self) -> None:
        self.drama = Genre.objects.create(name="Drama")
        self.leon = self.film("Léon", 1994, reviews=(40, 360))
        self.alien = self.film("Alien", 1979, reviews=(100, 800))
        self.heat = self.film("Heat", None, reviews=(1, 10))
        self.alien.genres.add(self.drama)

    def film(self, title: str, year: int | None, reviews: tuple[int, int]) -> Product:
        count, total = reviews
        return Product.objects.create(
            title=title, year=year, review_count=count, rating_sum=total
        )

    def found(self, **asked: str) -> list[str]:
        return [film.title for film in SearchForm(asked).found()]

    def test_words_in_any_order_and_the_year(self) -> None:
        self.assertEqual(self.found(q="1994 leon"), ["Léon"])
        self.assertEqual(self.found(q="leon 1995"), [])

    def test_orders(self) -> None:
        self.assertEqual(self.found(), ["Alien", "Léon", "Heat"])
        self.assertEqual(self.found(order="rating"), ["Léon", "Alien", "Heat"])
        self.assertEqual(self.found(order="new"), ["Léon", "Alien", "Heat"])
        self.assertEqual(self.found(order="title"), ["Alien", "Heat", "Léon"])

    def test_a_genre(self) -> None:
        self.assertEqual(self.found(genre="Drama"), ["Alien"])

    def test_nonsense_is_ignored(self) -> None:
        self.assertEqual(len(self.found(genre="Nope", order="nope")), 3)

    def test_a_like_pattern_is_not_one(self) -> None:
        self.assertEqual(self.found(q="_"), [])

    def test_page_of_one_film_with_a_very_long_title(self) -> None:
        film = self.film("W" * 250, 2000, reviews=(0, 0))
        page = self.client.get(film.get_absolute_url())
        self.assertContains(page, "W" * 250)
        self.assertContains(page, "Nobody has rated this film yet")

    def test_pages_past_the_end_offer_the_last(self) -> None:
        page = self.client.get(reverse("browse"), {"q": "leon", "page": "7"})
        self.assertContains(page, "only 1 page", status_code=404)
        self.assertContains(page, "?q=leon&amp;page=1", status_code=404)

    def test_without_films_the_front_page_says_so(self) -> None:
        Product.objects.all().delete()
        self.assertContains(self.client.get("/"), "There are no films yet")
