from django.urls import reverse

from metrics.models import Event
from shoal.errors import ReplicaWrite, WrongCluster
from shoal.testing import TestCase
from shop.models import Order


class Shop(TestCase):
    def test_an_order_is_placed_and_counted(self):
        page = self.client.post(reverse("orders"), {"item": "Lamp"})
        self.assertEqual(page.json(), {"items": ["Lamp"]})
        self.assertEqual(Event.objects.get().order_id, Order.objects.get().pk)

    def test_a_replica_shows_what_the_test_has_written(self):
        Order.objects.create(item="Lamp", price="9.90")
        self.assertEqual(Order.objects.using("main_replica").count(), 1)

    def test_a_write_to_the_wrong_database_is_refused(self):
        with self.assertRaisesMessage(WrongCluster, "lives on the cluster 'analytics'"):
            Event(name="lost").save(using="main")
        with self.assertRaisesMessage(ReplicaWrite, "is a replica of 'main'"):
            Order.objects.using("main_replica").update(price=0)
