"""The staff's page on which a process is killed: who may, and what it says."""

from typing import Any
from unittest import mock

from django.test import Client
from shoal.testing import TransactionTestCase

from accounts.models import User
from crashing import killing
from crashing.killing import NotKilled
from products.models import Product
from reviews.models import Review
from reviews.writing import keep

PATH = "/staff/crash/"


class Crashing(TransactionTestCase):
    def setUp(self) -> None:
        self.staff = User.objects.create_superuser("staff")
        self.client.force_login(self.staff)

    def pressed(self, **fields: str) -> Any:
        return self.client.post(PATH, fields, follow=True)

    def test_staff_only(self) -> None:
        User.objects.create_user("ada")
        for name in ("", "ada"):
            self.client.logout()
            if name:
                self.client.force_login(User.objects.get(username=name))
            for page in (self.client.get(PATH), self.client.post(PATH, {"kill": "1"})):
                self.assertRedirects(page, f"/admin/login/?next={PATH}")

    def test_a_press_needs_the_token_of_the_form(self) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(self.staff)
        for button in ("kill", "recover"):
            page = strict.post(PATH, {button: "1", "step": "decided"})
            self.assertEqual(page.status_code, 403)

    def test_reading_the_page_kills_nobody(self) -> None:
        with mock.patch.object(killing, "kill") as kill:
            page = self.client.get(PATH, {"kill": "1", "step": "decided"})
        self.assertContains(page, "Nothing is in doubt")
        kill.assert_not_called()

    def test_nothing_in_doubt(self) -> None:
        self.assertContains(self.pressed(recover="1"), "Nothing was in doubt.")

    def test_empty_and_strange_presses(self) -> None:
        self.assertContains(self.pressed(kill="1"), "Choose when to kill it")
        page = self.pressed(kill="1", step="else")
        self.assertContains(page, "Select a valid choice")
        self.assertContains(self.pressed(), "Nothing is in doubt")
        for address in ("film=x&author=1", "film=1", f"film={2**70}&author=1"):
            self.assertNotContains(self.client.get(f"{PATH}?{address}"), "servers say")

    def test_without_films_nobody_is_killed(self) -> None:
        page = self.pressed(kill="1", step="decided")
        self.assertContains(page, "There is no film that nobody could review.")

    def test_a_process_that_ends_otherwise(self) -> None:
        Product.objects.create(title="Heat")
        User.objects.create_user("ada")
        with mock.patch.object(killing, "kill", side_effect=NotKilled("it is ill")):
            page = self.pressed(kill="1", step="decided")
        self.assertContains(page, "The process was not killed: it is ill.")
        self.assertContains(page, "The three agree: there is no such review")

    def test_who_has_reviewed_everything_is_not_drawn(self) -> None:
        film = Product.objects.create(title="Heat")
        ada, bob = (User.objects.create_user(name) for name in ("ada", "bob"))
        keep(film.pk, ada.pk, {"half_stars": 8})
        drawn = killing.choose()
        assert drawn
        self.assertEqual((drawn.film, drawn.author), (film.pk, bob.pk))
        keep(film.pk, bob.pk, {"half_stars": 8})
        self.assertIsNone(killing.choose())

    def test_a_review_that_was_written_past_the_site_is_no_agreement(self) -> None:
        film = Product.objects.create(title="Heat")
        Review.objects.create(product=film, author=self.staff, half_stars=8)
        page = self.client.get(PATH, {"film": film.pk, "author": self.staff.pk})
        self.assertContains(page, 'data-agree="no" data-review="yes"')

    def test_a_film_and_a_person_that_are_gone(self) -> None:
        page = self.client.get(PATH, {"film": 10**9, "author": 10**9})
        self.assertContains(page, 'data-agree="unknown" data-review="no"')
