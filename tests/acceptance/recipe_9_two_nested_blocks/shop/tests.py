from django.db import IntegrityError

from shoal.testing import TransactionTestCase
from shoal.transactions import atomic
from shop import by_hand, ordering
from shop.models import Order, Stock


class Ordering(TransactionTestCase):
    """Not a TestCase: that is a transaction of its own, in which nothing commits."""

    def setUp(self):
        Stock.objects.create(article="net", left=3)

    def left(self):
        return Stock.objects.get(article="net").left

    def test_by_hand_leaves_half_of_it(self):
        with self.assertRaises(IntegrityError):
            by_hand.order("net", 5)
        self.assertEqual(Order.objects.count(), 1)
        self.assertEqual(self.left(), 3)

    def test_all_or_nothing(self):
        ordering.order("net", 2)
        self.assertEqual((Order.objects.count(), self.left()), (1, 1))
        with self.assertRaises(IntegrityError):
            ordering.order("net", 2)
        self.assertEqual((Order.objects.count(), self.left()), (1, 1))

    def test_a_block_around_what_was_written_by_hand(self):
        with self.assertRaises(IntegrityError):
            atomic("default", "stock")(by_hand.order)("net", 5)
        self.assertEqual((Order.objects.count(), self.left()), (0, 3))
