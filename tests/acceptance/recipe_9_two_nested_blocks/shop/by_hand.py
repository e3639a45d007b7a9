from django.db import transaction
from django.db.models import F

from shop.models import Order, Stock


def order(article, number):
    """Order, and take it from the stock: in two blocks, one in the other."""
    with transaction.atomic(using="stock"):
        with transaction.atomic():
            Order.objects.create(article=article, number=number)
        # The order is committed here, whatever becomes of the rest.
        Stock.objects.filter(article=article).update(left=F("left") - number)
