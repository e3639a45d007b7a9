"""Signing up and in, and where one goes from there."""

from shoal.testing import TestCase

from accounts.models import User

GOOD = {
    "username": "ada",
    "password1": "herring and sprat 47",
    "password2": "herring and sprat 47",
}


class Accounts(TestCase):
    def test_signing_up_goes_on_to_where_one_wanted_to_go(self) -> None:
        page = self.client.post("/account/signup/", {**GOOD, "next": "/films/?q=x"})
        self.assertRedirects(page, "/films/?q=x")

    def test_but_never_to_another_site(self) -> None:
        for there in ("https://example.com/", "//example.com", "javascript:alert(1)"):
            User.objects.all().delete()
            self.client.logout()
            page = self.client.post("/account/signup/", {**GOOD, "next": there})
            self.assertRedirects(page, "/account/")

    def test_a_name_that_is_taken(self) -> None:
        User.objects.create_user("Ada")
        page = self.client.post("/account/signup/", GOOD)
        self.assertContains(page, "already exists")

    def test_the_shown_name_is_the_user_name_until_one_is_given(self) -> None:
        user = User.objects.create_user("ada")
        self.assertEqual(str(user), "ada")
        self.client.force_login(user)
        self.client.post("/account/", {"display_name": "Ada L."})
        user.refresh_from_db()
        self.assertEqual(str(user), "Ada L.")

    def test_a_shown_name_that_is_too_long(self) -> None:
        self.client.force_login(User.objects.create_user("ada"))
        page = self.client.post("/account/", {"display_name": "x" * 61})
        self.assertContains(page, "at most 60")

    def test_a_person_who_was_shut_out_has_no_page(self) -> None:
        User.objects.create_user("ada", is_active=False)
        self.assertEqual(self.client.get("/people/ada/").status_code, 404)

    def test_an_account_without_reviews(self) -> None:
        self.client.force_login(User.objects.create_user("a.b@c+d-e_f"))
        self.assertContains(self.client.get("/account/"), "not written a review yet")
        page = self.client.get("/people/a.b@c+d-e_f/")
        self.assertContains(page, "No reviews yet")
