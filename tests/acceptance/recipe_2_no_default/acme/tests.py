from django.contrib.auth.models import User
from django.urls import reverse

from acme.models import Note
from shoal.testing import TestCase


class Notes(TestCase):
    """Touches both databases in each test and lists neither."""

    def setUp(self):
        self.ada = User.objects.create_user("ada", password="lovelace")

    def test_a_person_logs_in_and_writes_a_note(self):
        self.assertTrue(self.client.login(username="ada", password="lovelace"))
        self.client.post(reverse("notes"), {"text": "Difference engine"})
        page = self.client.get(reverse("notes"))
        self.assertEqual(page.json(), {"author": "ada", "notes": ["Difference engine"]})

    def test_a_note_finds_its_author_in_the_other_database(self):
        note = Note.objects.create(author=self.ada, text="Hello")
        note.refresh_from_db()
        with self.assertQueriesOn("auth_db", 1), self.assertQueriesOn("acmeapp_db", 0):
            self.assertEqual(note.author.username, "ada")

    def test_nothing_of_the_other_tests_is_left(self):
        self.assertEqual(User.objects.count(), 1)
        self.assertEqual(Note.objects.count(), 0)
