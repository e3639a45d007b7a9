from django.contrib.auth.models import User
from django.urls import reverse

from products.models import Category, Product
from reviews.models import Review
from shoal.testing import TestCase


class Reviews(TestCase):
    def setUp(self):
        self.ada = User.objects.create_superuser("ada")
        films = Category.objects.create(name="Films")
        self.film = Product.objects.create(name="Heat", category=films)
        self.review = Review.objects.create(product=self.film, author=self.ada, stars=5)
        self.client.force_login(self.ada)

    def test_the_list_asks_each_server_once_whatever_its_length(self):
        page = self.client.get(reverse("admin:reviews_review_changelist"))
        self.assertContains(page, "Heat")
        with self.assertQueriesOn("products", 2):  # for the filter, for the rows
            self.client.get(reverse("admin:reviews_review_changelist"))

    def test_what_a_review_points_to_is_fetched_from_its_own_server(self):
        reviews = Review.objects.prefetch_related("product__category", "author")
        with self.assertQueriesOn("reviews", 1), self.assertQueriesOn("products", 2):
            names = [(r.product.category.name, r.author.username) for r in reviews]
        self.assertEqual(names, [("Films", "ada")])

    def test_a_deleted_product_takes_its_reviews_along(self):
        self.film.delete()
        self.assertFalse(Review.objects.exists())
