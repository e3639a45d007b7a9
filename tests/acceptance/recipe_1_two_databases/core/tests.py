from django.contrib.auth.models import User
from django.urls import reverse

from core.models import CustomerInformation, CustomerSupport
from shoal.testing import TestCase


class TwoDatabases(TestCase):
    """The tests name no databases: they may use every cluster."""

    def test_each_model_is_asked_for_in_its_own_database(self):
        CustomerInformation.objects.create(name="Ada", email="ada@example.com")
        CustomerSupport.objects.create(email="ada@example.com", question="Why?")

        with self.assertQueriesOn("user", 1), self.assertQueriesOn("admin", 0):
            self.assertEqual(CustomerInformation.objects.get().name, "Ada")
        with self.assertQueriesOn("user", 0), self.assertQueriesOn("admin", 1):
            self.assertEqual(CustomerSupport.objects.get().question, "Why?")

    def test_the_admin_edits_both(self):
        self.client.force_login(User.objects.create_superuser("root"))
        self.client.post(
            reverse("admin:core_customerinformation_add"),
            {"name": "Ada", "email": "ada@example.com"},
        )
        self.client.post(
            reverse("admin:core_customersupport_add"),
            {"email": "ada@example.com", "question": "Why?"},
        )
        self.assertEqual(CustomerInformation.objects.count(), 1)
        self.assertEqual(CustomerSupport.objects.count(), 1)

    def test_no_row_of_the_other_tests_is_seen(self):
        self.assertFalse(CustomerInformation.objects.exists())
        self.assertFalse(CustomerSupport.objects.exists())
