from django.urls import reverse

from records.models import Record
from shoal.routing import role
from shoal.testing import TestCase


class Audiences(TestCase):
    def test_the_host_name_decides_which_records_are_shown(self):
        Record.objects.create(title="Price list")
        with role("records", "internal"):
            Record.objects.create(title="Salaries")

        outside = self.client.get(reverse("records"), headers={"host": "localhost"})
        inside = self.client.get(
            reverse("records"), headers={"host": "intranet.localhost"}
        )
        self.assertEqual(outside.json(), {"records": ["Price list"]})
        self.assertEqual(inside.json(), {"records": ["Salaries"]})
