from shoal.errors import ReplicaWrite
from shoal.testing import TestCase
from stock.models import Item


class Stock(TestCase):
    def test_a_replica_shows_what_the_test_has_written(self):
        Item.objects.create(name="Lamp")
        self.assertEqual(Item.objects.using("replica").count(), 1)

    def test_an_item_is_added_and_seen(self):
        page = self.client.post("/items/", {"name": "Lamp"}, follow=True)
        self.assertEqual(page.json()["items"], ["Lamp"])

    def test_the_replica_takes_no_writes(self):
        with self.assertRaisesMessage(ReplicaWrite, "is a replica of 'default'"):
            Item.objects.using("replica").update(count=0)
